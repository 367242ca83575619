"""Addresses that only this machine can reach."""

import ipaddress


def parse_loopback(listen: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:9464`, `localhost:9464` or `[::1]:9464`. Raises ValueError."""
    host, colon, port = listen.rpartition(":")
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
        number = int(port)
        if not colon or not address.is_loopback or not 0 <= number <= 65_535:
            raise ValueError
    except ValueError as error:
        raise ValueError(
            f"{listen!r} is not a loopback address with a port; write 127.0.0.1:9464 or [::1]:9464"
        ) from error
    return str(address), number
