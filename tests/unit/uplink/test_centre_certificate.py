"""A certificate that is not valid yet, by a clock that is wrong: transient, so it is tried again for ever."""

import ssl
from pathlib import Path

import pytest
from aiohttp import web

from edge_agent.config.models import CentralSettings
from edge_agent.uplink.client import CentreClient
from edge_agent.uplink.errors import Unreachable

TLS = Path(__file__).parents[2] / "golden" / "tls"


async def _answer(_: web.BaseRequest) -> web.Response:
    return web.json_response({"version": 1, "sections": {}}, headers={"ETag": '"a"'})


async def test_a_certificate_that_is_not_valid_yet_is_tried_again_with_the_same_client() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "not-yet.cert.pem", TLS / "localhost.key.pem")
    runner = web.ServerRunner(web.Server(_answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://localhost:{runner.addresses[0][1]}"
    settings = CentralSettings.model_validate({"url": url, "token": "t", "ca_file": "localhost.cert.pem"})
    client = CentreClient(settings, "press-01", TLS)
    await client.open()
    try:
        for _ in range(2):
            with pytest.raises(Unreachable, match="not yet valid"):
                await client.config(None)
        # What the right time does to the one certificate, another one does at the wrong time.
        context.load_cert_chain(TLS / "issued.cert.pem", TLS / "localhost.key.pem")
        assert await client.config(None) is not None
    finally:
        await client.close()
        await runner.cleanup()
