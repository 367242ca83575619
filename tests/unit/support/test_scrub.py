"""No form of a secret gets through, and what is none does."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from edge_agent.support.config_text import masked_config
from edge_agent.support.scrub import Scrubber, user_infos

SECRET = 'p@ss "wörd"/+&=7'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        repr(SECRET)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_known_secret_is_masked_however_it_is_written(form: str) -> None:
    clean = Scrubber([SECRET]).clean(f"before {form} after")
    assert form not in clean
    assert clean.startswith("before ***")
    assert clean.endswith(" after")


def test_the_lines_of_a_key_are_masked_one_by_one() -> None:
    lines = ["MIIEvQIBADANBgkqhkiG9w0B", "AQEFAASCBKcwggSjAgEAAoIB"]
    clean = Scrubber(["\n".join(lines)]).clean(f"x {lines[1]} y")
    assert clean == "x *** y"


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("GET /x?api_token=abc123&y=1", "abc123"),
        ("password=hunter22 user=a", "hunter22"),
        ('{"passphrase": "open sesame", "b": 1}', "open sesame"),
        ("Authorization: Bearer eyJhbGciOi.J9", "eyJhbGciOi.J9"),
        ("proxy-authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("cannot reach http://op:geheim@192.0.2.1:3128/", "geheim"),
        ("token hf_0123456789ab_abcdefghij", "hf_0123456789ab_abcdefghij"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "MIIE"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE cut short", "MIIE"),
    ],
)
def test_what_looks_like_a_secret_is_masked_although_nobody_knows_it(text: str, gone: str) -> None:
    assert gone not in Scrubber([]).clean(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "press1", "samples": 1234, "state": "connected"}',
        "token: !secret central-token",
        "password: ${PLC_PASSWORD}",
        "https://central.example.com/api/fleet/health",
        "2 tokens were read; the passwords are elsewhere",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Scrubber(["another-secret"]).clean(text) == text


def test_a_masked_json_document_is_still_one() -> None:
    document = {
        "central": {"token": SECRET, "url": "http://u:p4ss@h"},
        "log": [f"it was {SECRET}"],
        "n": None,
    }
    clean = json.loads(Scrubber([SECRET]).clean(json.dumps(document)))
    assert clean["central"]["token"] == "***"
    assert clean["log"] == ["it was ***"]


def test_passwords_of_urls_are_found_plain_encoded_and_as_headers() -> None:
    found = user_infos("proxy: http://op:s%40fe-word@192.0.2.1:3128")
    assert {"op:s%40fe-word", "s%40fe-word", "s@fe-word"} <= found
    assert base64.b64encode(b"op:s@fe-word").decode().rstrip("=") in found


# --- configs as they are written -----------------------------------------------------------------------

CONFIG = """\
agent: {id: press-shop-01}   # the token is elsewhere
central:
  url: https://central.example.com
  token: PLANTED-1
  proxy: http://op:PLANTED-2@192.0.2.1:3128
  "api_token" : "PLANTED-3"
secrets:
  plc: PLANTED-4
  other: !secret other-file
  long: |
    PLANTED-5
    key: PLANTED-6
passwords:
- PLANTED-7
- PLANTED-8
tail: {a: 1, password: PLANTED-9, b:
  PLANTED-10}
connections:
  - name: press1
    password:
      PLANTED-11
    passphrase: >-
      PLANTED-12
      more PLANTED-13
    key: ${KEY}
    token: ${TOKEN:-PLANTED-14}
    groups: []
  - token: PLANTED-15
    name: press2
    other: ${X:-PLANTED-16}
  - {name: press3, token: !secret press3, password:
PLANTED-17
# password: PLANTED-18
end: here
"""


def test_no_secret_of_a_config_is_left_and_the_rest_is_as_it_was() -> None:
    shown = masked_config(CONFIG)
    left = [number for number in range(1, 19) if f"PLANTED-{number}" in shown.replace("***", " ").split()]
    assert left == []
    assert "PLANTED" not in shown
    assert len(shown.splitlines()) == len(CONFIG.splitlines())
    for kept in (
        "url: https://central.example.com", "other: !secret other-file", "- name: press1", "groups: []",
        "name: press2", "key: ${KEY}", "token: !secret press3", "end: here", "agent: {id: press-shop-01}",
        "  plc: ***", "connections:",
    ):  # fmt: skip
        assert kept in shown, kept


@pytest.mark.parametrize("text", ["", "\t", "token:", "{token:", "token: [\n'x", "a\n: b\n- -", "\x00: \x01"])
def test_what_is_no_config_is_shown_all_the_same(text: str) -> None:
    assert masked_config(text).endswith("\n")
