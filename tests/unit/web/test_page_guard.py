import pytest

from edge_agent.web.guard import names_loopback


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8470", "127.0.0.1", "127.0.0.1:8470", "127.8.9.1:1", "[::1]", "[::1]:8470"],
)
def test_loopback_names_are_taken(host: str) -> None:
    assert names_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:8470", "192.0.2.1:8470", "0.0.0.0:8470", "127.0.0.1.evil.example",
     "localhost.evil.example:8470", "localhost:", "localhost:x", "[::1]x", "::1", "[::]:8470",
     "127.0.0.1@evil.example", "127.0.0.1:8470:80", "2130706433", "localhost.", "[127.0.0.1]x:1",
     "[fe80::1]"],
)  # fmt: skip
def test_all_other_names_are_not(host: str) -> None:
    assert not names_loopback(host)
