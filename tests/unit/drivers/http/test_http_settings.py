"""Settings and plans of HTTP connections: one request a path, and errors that say what to do."""

from typing import Any

import pytest
from pydantic import ValidationError

from edge_agent.drivers.http.plan import plan
from edge_agent.drivers.http.settings import HttpConnection


def connection(groups: list[dict[str, Any]], **transport: Any) -> HttpConnection:
    return HttpConnection.model_validate(
        {"name": "c", "transport": {"url": "http://192.0.2.1/api", **transport}, "groups": groups}
    )


def group(**more: Any) -> dict[str, Any]:
    return {"name": "g", "interval": "1s", "path": "/a", "tags": [{"name": "t", "address": "/x"}], **more}


def test_tags_of_one_path_share_a_request() -> None:
    tags = [
        {"name": "a", "address": "/a"}, {"name": "b", "address": "/b", "path": "/other?x=1"},
        {"name": "c", "address": "/c", "type": "string"},
        {"name": "d", "address": "/d", "path": "/other?x=1"},
    ]  # fmt: skip
    made = connection([group(tags=tags)])
    planned = plan(made, made.groups[0])
    assert [each.text for each in planned.requests] == ["GET /api/a", "GET /api/other?x=1"]
    assert [each.tags for each in planned.requests] == [2, 2]
    assert [tag.name for tag in planned.schema.tags] == ["a", "b", "d", "c"]
    assert {want.tag: want.address for each in planned.documents for want in each.wants} == {
        0: "/a", 1: "/b", 2: "/d", 3: "/c",
    }  # fmt: skip


def test_a_shelly_needs_no_path() -> None:
    made = connection(
        [group(format="shelly", path=None, tags=[{"name": "p", "address": "power_total_watts"}])]
    )
    assert plan(made, made.groups[0]).documents[0].target == "/api/rpc/Switch.GetStatus?id=0"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (group(path=None), "tag t has no path"),
        (group(path="status"), "begins with one slash"),
        (group(path="//elsewhere.example/x"), "begins with one slash"),
        (group(path="/a b"), "%20"),
        (group(unit_id=1), "no units"),
        (group(time="at"), "begins with a slash"),
        (group(format="text", time="/at", tags=[{"name": "t", "address": "{}"}]), "pointer into JSON"),
        (group(tags=[{"name": "t", "address": "x"}]), "tag t: 'x' is no JSON pointer"),
        (group(tags=[{"name": "t", "address": "/x", "type": "string", "count": 2}]), "take type json"),
    ],
)
def test_groups_that_cannot_be_read_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        connection([settings])


@pytest.mark.parametrize(
    ("transport", "says"),
    [
        ({"url": "ftp://192.0.2.1"}, "begins with http"),
        ({"url": "http://"}, "begins with http"),
        ({"url": "http://me:pw@192.0.2.1"}, "use username and password"),
        ({"url": "http://192.0.2.1/?a=1"}, "belongs into the path"),
        ({"url": "http://192.0.2.1//evil.example"}, "name another one"),
        ({"url": "http://192.0.2.1\r\nX: y"}, "begins with http"),
        ({"headers": {"Authorization": "Bearer x"}}, "use token"),
        ({"headers": {"X": "a\r\nY: b"}}, "not one line"),
        ({"headers": {"a b": "c"}}, "no name of a header"),
        ({"username": "a"}, "go together"),
        ({"username": "a", "password": "b", "token": "c"}, "either token"),
        ({"authentication": "digest", "token": "c"}, "digest needs username"),
        ({"ca_file": "ca.pem"}, "are for https"),
        ({"url": "https://192.0.2.1", "verify": "none", "ca_file": "ca.pem"}, "of no use"),
        ({"max_body": "1GiB"}, "less than or equal"),
    ],
)
def test_transports_that_cannot_be_used_are_refused(transport: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        connection([], **transport)


def test_secrets_are_not_shown() -> None:
    made = connection([], username="u", password="hush", secret_headers={"X-Key": "quiet"})
    assert "hush" not in repr(made)
    assert "quiet" not in repr(made)
    assert (made.transport.host, made.transport.port) == ("192.0.2.1", 80)
