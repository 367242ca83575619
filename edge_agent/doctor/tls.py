"""Check `tls`: whether the centre shows a certificate that the agent trusts, and for how long it will."""

import http.client
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from edge_agent.config.models import CentralSettings
from edge_agent.contracts.diagnosis import Finding, Outcome, failed, ok, unreachable, warning
from edge_agent.contracts.figures import latency
from edge_agent.doctor.certificate import Certificate, parse
from edge_agent.doctor.examination import Tell
from edge_agent.doctor.exchange import Shake, is_broker, is_tls, shake_hands, shown_certificate
from edge_agent.doctor.resolving import is_address
from edge_agent.doctor.site import Site, first_hop
from edge_agent.doctor.waiting import in_thread

NAME: Final = "tls"
SOON_DAYS: Final = 21
_STEP_SECONDS: Final = 8.0
# X509_V_ERR_… of openssl/x509_vfy.h.
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_SELF_SIGNED: Final = 18
_UNKNOWN_CA: Final = frozenset({2, 19, 20, 21})
_WRONG_NAME: Final = frozenset({62, 64})


def judge_trusted(shake: Shake, now: float) -> list[Finding]:
    """A handshake that came about. now: seconds since 1970."""
    ends = shake.certificate.get("notAfter")
    text = f"{shake.version} in {latency(shake.seconds)}"
    if not isinstance(ends, str):
        return [ok(text)]
    days = int((ssl.cert_time_to_seconds(ends) - now) // 86_400)
    text = f"{text}, the centre's certificate is valid for {days} more days"
    if days < SOON_DAYS:
        return [warning(text, "renew the centre's certificate; agents stop sending when it ends")]
    return [ok(text)]


def judge_refused(
    code: int, message: str, shown: Certificate | None, central: CentralSettings, now: float
) -> Finding:
    """A certificate that is not trusted. code: why, as OpenSSL numbers it. shown: the certificate."""
    when = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M}Z"
    trusts = f"central.ca_file ({central.ca_file})" if central.ca_file else "the system's authorities"
    if code == _EXPIRED:
        ended = f" on {shown.ends:%Y-%m-%d}" if shown else ""
        remedy = (
            f"if this machine's clock is right ({when}), renew the centre's certificate; else set the clock"
        )
        return failed(f"the centre's certificate has expired{ended}", remedy)
    if code == _NOT_YET_VALID:
        begins = f" before {shown.begins:%Y-%m-%d %H:%M}Z" if shown else ""
        remedy = f"this machine's clock says {when}: set it if that is wrong (see check `clock`)"
        return failed(f"the centre's certificate is not valid yet, not{begins or ' today'}", remedy)
    if code in _WRONG_NAME:
        whose = f" (it is for {shown.subject})" if shown and shown.subject else ""
        remedy = "write a name of the certificate into central.url, or issue one for this name"
        return failed(f"the centre's certificate is for another name{whose}: {message}", remedy)
    if code == _SELF_SIGNED:
        remedy = "if it is the centre's own, copy it here and name it as central.ca_file"
        return failed(f"the centre's certificate is self-signed and not among {trusts}", remedy)
    if code in _UNKNOWN_CA:
        whose = f", {shown.issuer}," if shown and shown.issuer else ""
        remedy = (
            "name the file of the authority that issued it (PEM) as central.ca_file; a device between that "
            "opens TLS shows a certificate of its own"
        )
        return failed(
            f"the authority{whose} that issued the centre's certificate is not among {trusts}", remedy
        )
    return failed(f"the centre's certificate is not trusted: {message}", "issue one that OpenSSL accepts")


def judge_broken(error: Exception, central: CentralSettings) -> Finding:
    """No handshake, and no certificate to blame."""
    host = first_hop(central)
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).lower().replace("_", " ")
        if "wrong version number" in reason or "http request" in reason:
            remedy = "see whether the port in central.url is that of HTTPS, or begin the address with http://"
            return failed("what listens there does not speak TLS", remedy)
        return failed(f"no TLS connection: {reason}", "see the centre's tls settings; TLS 1.2 is the least")
    if isinstance(error, OSError) and "407" in str(error):
        return failed(
            f"the proxy wants a login: {error}", "write it into central.proxy: http://USER:PASSWORD@HOST"
        )
    return unreachable(f"{host} {connection_text(error)}", f"see whether {host} is on and a firewall between")


def connection_text(error: Exception) -> str:
    """Why there is no connection, as what follows a host's name."""
    if isinstance(error, ConnectionRefusedError):
        return "refuses the connection: nothing listens on the port"
    if isinstance(error, TimeoutError):
        return "does not answer"
    if isinstance(error, ConnectionResetError):
        return "resets the connection"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"cannot be reached: {text}"


def judge_plain(central: CentralSettings) -> Finding:
    """An address that begins with http://."""
    host = first_hop(central) if central.proxy is None else ""
    if host == "localhost" or (is_address(host) and host.startswith(("127.", "::1"))):
        return ok("not needed: the centre is on this machine")
    whose, scheme = ("broker", "mqtts") if is_broker(central) else ("centre", "https")
    remedy = f"give the {whose} a certificate, and begin central.url with {scheme}://"
    secret = "password" if is_broker(central) else "token"
    return warning(f"not used: the {secret} and all data can be read on the way", remedy)


def trust(central: CentralSettings, directory: Path) -> ssl.SSLContext:
    """What the agent trusts. Raises OSError for a ca_file that cannot be used."""
    return ssl.create_default_context(cafile=central.ca_file and str(directory / central.ca_file))


class Tls:
    name = NAME
    needs = ("config", "dns centre")
    seconds = 20.0

    async def run(self, site: Site, tell: Tell) -> None:
        central = site.central
        if central is None:
            tell(Outcome(NAME, (ok("no centre is configured"),)))
            return
        began = time.monotonic()
        found = [judge_plain(central)] if not is_tls(central) else await _try(central, site.directory)
        tell(Outcome(NAME, tuple(found), seconds=time.monotonic() - began))


async def _try(central: CentralSettings, directory: Path) -> list[Finding]:
    try:
        context = await in_thread(lambda: trust(central, directory), _STEP_SECONDS)
    except OSError as error:  # ssl.SSLError is one
        why = "there is no PEM certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
        file = directory / (central.ca_file or "")
        return [
            failed(f"central.ca_file {file} cannot be used: {why}", "put the authority's certificate there")
        ]
    try:
        shake = await in_thread(lambda: shake_hands(central, context, _STEP_SECONDS), _STEP_SECONDS)
    except ssl.SSLCertVerificationError as error:
        shown = await _shown(central)
        return [judge_refused(error.verify_code, error.verify_message, shown, central, time.time())]
    except (OSError, TimeoutError, http.client.HTTPException) as error:
        return [judge_broken(error, central)]
    return judge_trusted(shake, time.time())


async def _shown(central: CentralSettings) -> Certificate | None:
    try:
        return parse(await in_thread(lambda: shown_certificate(central, _STEP_SECONDS), _STEP_SECONDS))
    except (OSError, TimeoutError, http.client.HTTPException, ValueError):
        return None
