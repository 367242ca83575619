"""Polls documents over one link with keep-alive: the I/O of the driver.

A request is bounded as a whole, its body included, so that a server that trickles is one that does not
answer in time. After that the link is dropped: HTTP/1.1 has no ids by which a late answer could be told.
"""

import asyncio
import ssl
from base64 import b64encode
from typing import Final, NoReturn

import aiohttp
from yarl import URL

from edge_agent.contracts.driver import Reading
from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.http.body import ENCODINGS, Body, Unreadable
from edge_agent.drivers.http.documents import ABSENT, NO_VALUE, Found, take
from edge_agent.drivers.http.plan import Document, HttpPlan
from edge_agent.drivers.http.settings import Authentication, HttpConnection, HttpTransport, Verify
from edge_agent.drivers.packing import MISSING, Mark, Packer
from edge_agent.drivers.tls import client_context

_MOST_REDIRECTS: Final = 3
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_HINTS: Final = {
    401: ": it wants to know who asks: see username, password and token of the transport",
    403: ": this user may not read it",
    404: ": there is no such path",
    405: ": it does not answer GET",
    429: ": it is asked too often",
}
# What may be otherwise at the next request: told of the device, not of the config.
_PASSING: Final = (408, 425, 429)


class _Refused(Exception):
    """The server answered this request, and not with a document. mark: what its tags are."""

    def __init__(self, mark: Mark, text: str) -> None:
        super().__init__(text)
        self.mark = mark


class HttpDriver:
    """Implements contracts.driver.Driver."""

    def __init__(self, settings: HttpConnection) -> None:
        self._transport = settings.transport
        self._base = URL(settings.transport.url, encoded=True)
        self._where = f"{settings.transport.host}:{settings.transport.port}"
        self._session: aiohttp.ClientSession | None = None
        self._asking: asyncio.Task[bytes] | None = None
        self._lost = "not connected"
        self._sent = False  # of the request under way

    async def connect(self) -> None:
        """Makes ready; the first request opens the link, and tells whether anybody is there."""
        await self.close()
        trust = await _trust(self._transport)
        watch = aiohttp.TraceConfig()
        watch.on_request_headers_sent.append(self._on_sent)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust, limit=1, keepalive_timeout=3600),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_headers(self._transport),
            middlewares=_middlewares(self._transport),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
            trace_configs=[watch],
            max_line_size=16 << 10,
            max_field_size=16 << 10,
        )

    async def _on_sent(self, *_: object) -> None:
        self._sent = True

    async def close(self) -> None:
        await self._drop("closed")

    async def _drop(self, why: str) -> None:
        session, self._session = self._session, None
        self._lost = why
        if self._asking is not None:
            self._asking.cancel()
        if session is not None:
            await session.close()

    async def read(self, plan: HttpPlan) -> Reading:
        if self._session is None:
            raise NotConnected(self._lost)
        found = Found()
        unanswered = False
        for document in plan.documents:
            try:
                body = await self._ask(self._session, document)
                part = take(plan.format, body, document.wants)
            except TimeoutError:
                found.errors[document.target] = f"no answer within {self._transport.timeout:g} s"
                await self._drop("a request was not answered in time")
                unanswered = True
                break
            except _Refused as error:
                _all(found, document, error.mark, str(error))
            except Unreadable as error:
                _all(found, document, NO_VALUE, str(error))
            else:
                _add(found, document, part)
        return _reading(plan, found, unanswered=unanswered)

    async def _ask(self, session: aiohttp.ClientSession, document: Document) -> bytes:
        """Raises TimeoutError, _Refused, Unreadable, NotConnected."""
        # A task of its own, so that `close` can end it, whatever the library is at.
        self._asking = asyncio.ensure_future(self._exchange(session, document.target))
        try:
            return await self._asking
        except asyncio.CancelledError:
            # Either this read was cancelled, or the driver was closed meanwhile.
            if self._session is session:
                self._asking.cancel()
                await asyncio.gather(self._asking, return_exceptions=True)
                await self._drop("a request was cancelled")
                raise
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise NotConnected(self._lost) from None
        finally:
            self._asking = None

    async def _exchange(self, session: aiohttp.ClientSession, target: str) -> bytes:
        self._sent = False
        try:
            async with asyncio.timeout(self._transport.timeout):
                url = self._base.join(URL(target, encoded=True))
                for _ in range(_MOST_REDIRECTS + 1):
                    # Compressed or not, it is counted here; redirects are judged here.
                    async with session.get(url, allow_redirects=False) as answer:
                        if answer.status not in _REDIRECTS:
                            return await self._body(answer)
                        url = self._redirected(answer)
                raise _Refused(ABSENT, f"{answer.status}: more than {_MOST_REDIRECTS} redirects")
        except TimeoutError as error:
            if self._sent:
                raise
            text = f"{self._where}: no connection within {self._transport.timeout:g} s"
            raise NotConnected(text) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._fail(error)

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        if answer.status != 200:
            passing = answer.status >= 500 or answer.status in _PASSING or answer.status < 400
            text = f"{answer.status} {answer.reason or ''}".strip()[:100] + _HINTS.get(answer.status, "")
            raise _Refused(NO_VALUE if passing else ABSENT, text)
        body = Body(answer.headers.get("Content-Encoding", ""), self._transport.max_body)
        async for data in answer.content.iter_any():
            body.feed(data)
        return body.whole()

    def _redirected(self, answer: aiohttp.ClientResponse) -> URL:
        """Where to, on this server alone: what the config sends, secrets among it, goes nowhere else."""
        location = answer.headers.get("Location", "")
        try:
            url = answer.url.join(URL(location))
            same = bool(location) and url.origin() == self._base.origin() and url.user is None
        except ValueError:
            same = False
        if not same:
            raise _Refused(
                ABSENT, f"{answer.status}: it points to {location[:200]!r}; if that is right, put it in url"
            )
        return url

    def _fail(self, error: Exception) -> NoReturn:
        text = str(error) or type(error).__name__
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            text = f"the server's certificate is not trusted: {error.certificate_error}"
        elif isinstance(error, aiohttp.ServerDisconnectedError):
            text = "the server hung up"
        elif isinstance(error, OSError) and error.strerror:
            text = error.strerror
        raise NotConnected(f"{self._where}: {text}"[:500]) from error


def _all(found: Found, document: Document, mark: Mark, why: str) -> None:
    found.marks |= {want.tag: mark for want in document.wants}
    found.errors[document.target] = why


def _add(found: Found, document: Document, part: Found) -> None:
    found.values |= part.values
    found.marks |= part.marks
    found.times |= part.times
    found.errors |= {f"{document.target} {place}": why for place, why in part.errors.items()}


def _reading(plan: HttpPlan, found: Found, *, unanswered: bool) -> Reading:
    tags = range(len(plan.schema.tags))
    for tag in tags:
        if tag not in found.values and tag not in found.marks:
            found.marks[tag] = MISSING
    return Packer(plan.schema).reading(
        [found.values.get(tag) for tag in tags], found.marks, [found.times.get(tag) for tag in tags],
        found.errors, unanswered=unanswered,
    )  # fmt: skip


def _headers(transport: HttpTransport) -> dict[str, str]:
    headers = {"Accept-Encoding": ENCODINGS, "User-Agent": "holdfast-edge-agent", **transport.headers}
    headers |= transport.secret_headers
    if transport.token is not None:
        headers["Authorization"] = f"Bearer {transport.token}"
    elif transport.username is not None and transport.authentication is Authentication.BASIC:
        pair = f"{transport.username}:{transport.password}".encode()
        headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
    return headers


def _middlewares(transport: HttpTransport) -> tuple[aiohttp.DigestAuthMiddleware, ...]:
    """The library's digest (RFC 7616): a challenge costs a second request, and is remembered."""
    if transport.authentication is not Authentication.DIGEST:
        return ()
    return (aiohttp.DigestAuthMiddleware(transport.username or "", transport.password or ""),)


async def _trust(transport: HttpTransport) -> ssl.SSLContext | bool:
    """What certificates are judged by. Raises NotConnected."""
    if not transport.is_tls or transport.verify is Verify.NONE:
        return transport.verify is not Verify.NONE
    if transport.ca_file is None:
        return True
    context = await asyncio.to_thread(client_context, transport.ca_file)
    # What stands in the file is trusted itself, be it the server's own certificate or an authority's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
