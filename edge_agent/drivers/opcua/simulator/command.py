"""The command line of `edge-agent simulate opcua`."""

import argparse
import logging
import socket
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from edge_agent.drivers.opcua.simulator.control import obey
from edge_agent.drivers.opcua.simulator.server import Identity, Simulator, SimulatorConfig, self_signed
from edge_agent.drivers.simulating.command import add_running, run_simulator
from edge_agent.runtime.atomic import write_atomic


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port; 0: any free one")
    parser.add_argument("--items", type=int, default=100, help="number of variables in the folder Items")
    parser.add_argument("--tick-ms", type=int, default=1000, help="time after which all values change")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="what the server takes for a request")
    parser.add_argument(
        "--pki", type=Path, metavar="DIR",
        help="keep the server's certificate and key here, so that clients know it again; default: a new one",
    )  # fmt: skip
    parser.add_argument("--only-secured", action="store_true", help="no endpoint without security")
    parser.add_argument("--without-security", action="store_true", help="no endpoint with security")
    parser.add_argument(
        "--user", action="append", default=[], metavar="NAME:PASSWORD", help="who may log in; default: anyone"
    )
    parser.add_argument(
        "--user-cert", action="append", default=[], type=Path, metavar="FILE",
        help="certificate (PEM) that may log in",
    )  # fmt: skip
    add_running(parser)


def run(args: argparse.Namespace) -> int:
    # The library logs each connection and what clients do wrong: that is the client's to tell here.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    return run_simulator("opcua", _made, obey, _announcement, args)


def _made(args: argparse.Namespace) -> Simulator:
    if args.only_secured and args.without_security:
        raise ValueError("--only-secured and --without-security leave no endpoint")
    users = dict(each.split(":", 1) for each in args.user if ":" in each)
    if len(users) != len(args.user):
        raise ValueError("--user is NAME:PASSWORD")
    config = SimulatorConfig(
        host=args.host,
        port=args.port,
        items=args.items,
        tick_ms=args.tick_ms,
        latency_seconds=args.latency_ms / 1000,
        identity=None if args.without_security else _identity(args.pki),
        users=users,
        user_certificates=frozenset(
            x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(Encoding.DER)
            for file in args.user_cert
        ),
        open=not args.only_secured,
        writable=args.writable,
    )
    return Simulator(config)


def _identity(directory: Path | None) -> Identity:
    host = socket.gethostname()
    if directory is None:
        return self_signed(host)
    certificate, key = directory / "server.der", directory / "server.key.pem"
    if not certificate.exists():
        made = self_signed(host)
        directory.mkdir(parents=True, exist_ok=True)
        private = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomic(key, private)
        write_atomic(certificate, made.certificate.public_bytes(Encoding.DER), 0o644)
    private_key = load_pem_private_key(key.read_bytes(), None)
    if not isinstance(private_key, rsa.RSAPrivateKey):
        raise ValueError(f"{key}: is not an RSA key")
    return Identity(x509.load_der_x509_certificate(certificate.read_bytes()), private_key)


def _announcement(simulator: Simulator) -> tuple[dict[str, Any], str]:
    identity = simulator.config.identity
    thumbprint = None
    if identity is not None:
        thumbprint = identity.certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 - the specification's
    text = f"OPC UA server on {simulator.url}, {len(simulator.signals)} variables"
    if thumbprint is not None:
        text += f"; certificate {thumbprint}"
    return {"ports": [simulator.port], "url": simulator.url, "thumbprint": thumbprint}, text
