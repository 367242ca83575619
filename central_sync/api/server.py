"""The router, built from the route table: authenticate, check the parameters, call the handler."""

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from central_sync.api import (
    agents,
    api_tokens,
    audit,
    commands,
    config_jobs,
    configs,
    credentials,
    desk,
    devices,
    documents,
    enrolment,
    fleet,
    people,
    scrape,
    scripts,
    templates,
    topology,
    trends,
    v1_mappings,
)
from central_sync.api.access_log import Mode, access_log, note, write_id
from central_sync.api.problems import problem, problems
from central_sync.api.route import Call, Query, Route, Services
from central_sync.services.access.roles import Scope, area, authorise
from central_sync.services.access.tokens import check_device_id
from central_sync.services.errors import Invalid

ROUTES: Final[list[Route[Any]]] = [
    *people.ROUTES,
    *api_tokens.ROUTES,
    *enrolment.ROUTES,
    *agents.ROUTES,
    *credentials.ROUTES,
    *desk.ROUTES,
    *devices.ROUTES,
    *trends.ROUTES,
    *topology.ROUTES,
    *scrape.ROUTES,
    *fleet.ROUTES,
    *commands.ROUTES,
    *configs.ROUTES,
    *config_jobs.ROUTES,
    *templates.ROUTES,
    *v1_mappings.ROUTES,
    *scripts.ROUTES,
    *audit.ROUTES,
    *documents.ROUTES,
]
# What API tokens can be limited to.
AREAS: Final = frozenset(area(route.tag, route.method) for route in ROUTES if route.scope is not Scope.PUBLIC)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


_DOCUMENTS: Final = documents.Documents(ROUTES)


def make_application(
    services: Services, proxies: Network | None, secure: bool, log: Mode = "changes"
) -> web.Application:
    """`proxies`: the only peers allowed, loopback beside. `secure`: browsers shall insist on TLS."""
    access = access_log(log, ids_given=proxies is not None)
    application = web.Application(middlewares=[access, problems, _peer_guard(proxies)])
    application[documents.DOCUMENTS] = _DOCUMENTS
    application[api_tokens.AREAS] = AREAS
    for route in ROUTES:
        application.router.add_route(route.method, route.path, _endpoint(route, services), name=route.name)
    application.on_response_prepare.append(_header_writer(secure))
    return application


def _endpoint(
    route: Route[Any], services: Services
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        identity = None
        trace = note(request, route)
        if route.scope is Scope.PUBLIC:
            services.gate.count_public(request)
        else:
            identity = await services.gate.identify(request)
            if trace is not None:
                trace.identity = identity
            wanted = area(route.tag, route.method)
            authorise(route.scope, identity, request.match_info.get("id"), wanted)
        # `{id}` names a device in every path, and nothing else does.
        if "id" in request.match_info:
            device = check_device_id(request.match_info["id"])
            if identity is not None:
                await services.sight.require(identity, device)
        if identity is not None and identity.device is None and route.method == "GET":
            await services.devices.settle()
        return await route.handler(Call(request, services, identity, _query(route, request)))

    return endpoint


def _query(route: Route[Any], request: web.Request) -> Query:
    given: dict[str, str] = {}
    for name, text in request.query.items():
        if name in given:
            raise Invalid("bad_query", f"{name} is given twice")
        given[name] = text
    try:
        query = route.query.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise Invalid("bad_query", f"{name}: {first['msg']}") from error
    assert isinstance(query, Query)
    return query


def _peer_guard(proxies: Network | None) -> Any:
    """Behind a proxy everybody else is turned away: their traffic would not be encrypted."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if proxies is not None and not is_proxy(request.remote, proxies):
            return problem(403, "not_the_proxy", "this centre answers its proxy alone")
        return await handler(request if proxies is None else forwarded(request, proxies))

    return guard


def forwarded(request: web.Request, proxies: Network) -> web.Request:
    """The request as its client sent it: whence, by which name, over TLS unless the proxy says otherwise."""
    # A proxy that adds a line, rather than to the client's own, adds the last one.
    lines = request.headers.getall
    name, scheme = (lines(f"X-Forwarded-{part}", [""])[-1].strip() for part in ("Host", "Proto"))
    remote = request.remote
    for part in reversed(",".join(lines("X-Forwarded-For", [""])).split(",")):
        # Whoever is no address came with the request; the last one that is no proxy is the client.
        try:
            inside = is_proxy(part.strip(), proxies)
        except ValueError:
            break
        remote = part.strip().partition("%")[0]
        if not inside:
            break
    return request.clone(
        scheme="http" if scheme.lower() == "http" else "https", host=name or request.host, remote=remote or ""
    )


def is_proxy(remote: str | None, proxies: Network) -> bool:
    if remote is None:
        return False
    address = ipaddress.ip_address(remote.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback or address in proxies


def _header_writer(secure: bool) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def write(request: web.Request, response: web.StreamResponse) -> None:
        caching = "no-store" if request.path.startswith("/api/") else "no-cache"
        caching = response.headers.get("Cache-Control", caching)
        response.headers.update(common_headers(secure, caching))
        write_id(request, response)

    return write


def common_headers(secure: bool, caching: str) -> dict[str, str]:
    """What every answer carries."""
    headers = {**SECURITY_HEADERS, "Cache-Control": caching, "Server": "holdfast"}
    return headers | ({"Strict-Transport-Security": "max-age=31536000"} if secure else {})
