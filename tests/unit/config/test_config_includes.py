"""Includes, secrets and variables: what a document takes from elsewhere."""

from pathlib import Path

import pytest

from tests.unit.config.conftest import CONNECTION, DOCUMENT, ErrorsOf, LoadText

AGENT = "agent: {id: a}\n"
SECOND = CONNECTION.replace("press1", "press2").replace("192.0.2.10", "192.0.2.11")


def names(loaded: object) -> list[str]:
    return [connection.name for connection in loaded.document.connections]  # type: ignore[attr-defined]


# --- includes ---------------------------------------------------------------------------------------


def test_mappings_are_merged_and_connections_joined(load_text: LoadText) -> None:
    files = {
        "site.yaml": "agent: {labels: {site: north}}\nbuffer: {path: x.db}\n" + CONNECTION,
        "line.yaml": SECOND,
    }
    loaded = load_text("include: [site.yaml, line.yaml]\nagent: {id: a, labels: {line: b}}\n", files=files)
    assert loaded.document.agent.labels == {"site": "north", "line": "b"}
    assert loaded.document.buffer.path == "x.db"
    assert names(loaded) == ["press1", "press2"]
    assert loaded.files == (Path("config.yaml"), Path("site.yaml"), Path("line.yaml"))


def test_a_pattern_takes_files_in_the_order_of_their_names(load_text: LoadText) -> None:
    files = {"conf.d/20.yaml": SECOND, "conf.d/10.yaml": CONNECTION, "conf.d/30.txt": "not: read"}
    assert names(load_text(AGENT + "include: conf.d/*.yaml\n", files=files)) == ["press1", "press2"]


def test_a_pattern_may_match_nothing(load_text: LoadText) -> None:
    assert names(load_text(DOCUMENT + "include: conf.d/*.yaml\n")) == ["press1"]


def test_includes_are_relative_to_the_file_they_stand_in(load_text: LoadText) -> None:
    files = {"a/b.yaml": "include: c/d.yaml\n", "a/c/d.yaml": CONNECTION}
    loaded = load_text(AGENT + "include: a/b.yaml\n", files=files)
    assert loaded.files == (Path("config.yaml"), Path("a/b.yaml"), Path("a/c/d.yaml"))


def test_an_include_alone_stands_for_a_list(load_text: LoadText) -> None:
    files = {
        "all.yaml": CONNECTION.removeprefix("connections:\n"),
        "tags.yaml": '- {name: one, address: "holding:1"}\n- {name: two, address: "holding:2"}\n',
    }
    text = AGENT + "connections: {include: all.yaml}\n"
    assert names(load_text(text, files=files)) == ["press1"]
    text = DOCUMENT.replace("tags: [{", "tags: [{include: tags.yaml}, {")
    group = load_text(text, files=files).document.connections[0].groups[0]  # type: ignore[attr-defined]
    assert [tag.name for tag in group.tags] == ["one", "two", "oil_temp"]


def test_an_include_completes_an_item(load_text: LoadText) -> None:
    files = {"plc.yaml": "driver: sample\ntransport: {type: tcp, host: h}\n"}
    text = DOCUMENT.replace("driver: sample", "include: plc.yaml")
    text = text.replace("    transport: {type: tcp, host: 192.0.2.10}\n", "")
    assert names(load_text(text, files=files)) == ["press1"]


def test_errors_carry_the_included_file(errors_of: ErrorsOf) -> None:
    files = {"site.yaml": "buffer:\n  pth: x\n", "line.yaml": "a: b: c\n"}
    assert errors_of(DOCUMENT + "include: [site.yaml, line.yaml]\nremote: {x: 1}\n", files=files) == [
        "11:10: remote.x: unknown key 'x'; known: manage",
        "site.yaml:2:3: buffer.pth: unknown key 'pth', did you mean 'path'?",
        "line.yaml:1:5: this is not YAML: a ':' is not expected here: check the indentation, "
        "or put the text "
        "in quotes",
    ]


def test_a_value_is_set_once(errors_of: ErrorsOf) -> None:
    files = {"site.yaml": "agent: {id: b}\nremote: {manage: [hooks]}\n"}
    assert errors_of(DOCUMENT + "include: site.yaml\nremote: {manage: [connections]}\n", files=files) == [
        "site.yaml:1:9: agent.id: 'id' is already set in config.yaml:1:9",
        "site.yaml:2:10: remote.manage: 'manage' is already set in config.yaml:11:10",
    ]


def test_cycles_are_refused(errors_of: ErrorsOf) -> None:
    files = {"one.yaml": "include: sub/two.yaml\n", "sub/two.yaml": "include: [../one.yaml]\n"}
    assert errors_of(DOCUMENT + "include: one.yaml\n", files=files) == [
        "sub/two.yaml:1:10: sub/../one.yaml includes itself"
    ]
    assert errors_of(DOCUMENT + "include: config.yaml\n") == ["10:10: config.yaml includes itself"]


def test_depth_is_bounded(errors_of: ErrorsOf) -> None:
    files = {f"{number}.yaml": f"include: {number + 1}.yaml\n" for number in range(20)}
    assert errors_of(DOCUMENT + "include: 0.yaml\n", files=files) == [
        "9.yaml:1:10: includes are nested deeper than 10 files"
    ]
    nest = "[" * 45 + "{include: x.yaml}" + "]" * 45
    deep = {"x.yaml": nest.replace("x.yaml", "y.yaml"), "y.yaml": nest.replace("x.yaml", "z.yaml")}
    deep["z.yaml"] = nest
    found = errors_of(DOCUMENT + f"include: x.yaml\nbuffer: {nest}", files=deep)
    assert any("nested deeper than 100 levels" in line for line in found)


def test_the_number_of_files_is_bounded(errors_of: ErrorsOf) -> None:
    files = {f"d/{number}.yaml": "" for number in range(1001)}
    found = errors_of(DOCUMENT + "include: d/*.yaml\n", files=files)
    assert found == ["10:10: the config is made of more than 1000 files or 32 MiB"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("include: none.yaml", "10:10: none.yaml cannot be read: No such file or directory"),
        (
            "include: 5",
            "10:10: include: include needs a file, a pattern such as conf.d/*.yaml, or a list of them",
        ),
        (
            'include: "a\\0b"',
            "10:10: include: include needs a file, a pattern such as conf.d/*.yaml, or a list of them",
        ),
        (
            "include: [a.yaml, [b]]",
            "10:10: include: include needs a file, a pattern such as conf.d/*.yaml, or a list of them",
        ),
        ("include: list.yaml", "10:10: what is included here is not a mapping (key: value)"),
    ],
)
def test_what_cannot_be_included(errors_of: ErrorsOf, line: str, error: str) -> None:
    assert errors_of(DOCUMENT + line + "\n", files={"list.yaml": "[1, 2]"}) == [error]


def test_a_merge_does_not_reach_other_uses_of_an_alias(load_text: LoadText) -> None:
    text = DOCUMENT.replace("interval: 1s", "interval: 1s\n        unit_id: 1")
    text = text.replace(
        "tags: [{",
        "tags: [{name: a, address: 1, deadband: &d {absolute: 1}}, {include: t.yaml, deadband: *d}, {",
    )
    files = {"t.yaml": "name: b\naddress: 2\ndeadband: {max_interval: 5s}\n"}
    group = load_text(text, files=files).document.connections[0].groups[0]  # type: ignore[attr-defined]
    assert [tag.deadband and tag.deadband.max_interval for tag in group.tags] == [None, 5.0, None]


# --- secrets ----------------------------------------------------------------------------------------

CENTRAL = "central: {url: 'https://x', token: !secret central-token}\n"


def token(loaded: object) -> str:
    return str(loaded.document.central.token)  # type: ignore[attr-defined]


def test_credentials_of_systemd_come_first(load_text: LoadText) -> None:
    files = {"creds/central-token": " from-systemd\n", "secrets/central-token": "b", "central-token": "c"}
    loaded = load_text(DOCUMENT + CENTRAL, {"CREDENTIALS_DIRECTORY": "creds"}, files)
    assert token(loaded) == "from-systemd"


def test_a_directory_given_as_the_credential_secret_holds_secrets(load_text: LoadText) -> None:
    files = {"creds/secret_central-token": "of-the-directory\n", "secrets/central-token": "b"}
    loaded = load_text(DOCUMENT + CENTRAL, {"CREDENTIALS_DIRECTORY": "creds"}, files)
    assert token(loaded) == "of-the-directory"


def test_then_the_directory_secrets_then_the_file_beside(load_text: LoadText) -> None:
    files = {"secrets/central-token": "from-secrets\n", "central-token": "c"}
    assert token(load_text(DOCUMENT + CENTRAL, files=files)) == "from-secrets"
    Path("secrets/central-token").unlink()
    assert token(load_text(DOCUMENT + CENTRAL, files={"central-token": "from-file"})) == "from-file"


def test_a_path_is_relative_to_the_config_file_alone(load_text: LoadText, errors_of: ErrorsOf) -> None:
    text = DOCUMENT + CENTRAL.replace("central-token", "keys/token")
    assert token(load_text(text, files={"keys/token": "from-path"})) == "from-path"
    Path("keys/token").rename("token")
    assert errors_of(text) == [
        "10:36: central.token: the secret 'keys/token' is not there; looked for keys/token"
    ]


def test_a_missing_secret_says_where_it_was_looked_for(errors_of: ErrorsOf) -> None:
    assert errors_of(DOCUMENT + CENTRAL, {"CREDENTIALS_DIRECTORY": "/creds"}) == [
        "10:36: central.token: the secret 'central-token' is not there; looked for "
        "/creds/central-token, /creds/secret_central-token, secrets/central-token, central-token"
    ]


def test_an_empty_or_unreadable_secret(errors_of: ErrorsOf) -> None:
    assert errors_of(DOCUMENT + CENTRAL, files={"secrets/central-token": " \n"})[0] == (
        "10:36: central.token: the secret 'central-token' in secrets/central-token is empty"
    )
    Path("secrets/central-token").write_bytes(b"\xff")
    assert "cannot be read" in errors_of(DOCUMENT + CENTRAL)[0]


def test_a_secret_that_everybody_can_read_is_a_warning(load_text: LoadText) -> None:
    load_text(DOCUMENT + CENTRAL, files={"secrets/central-token": "abc"})
    Path("secrets/central-token").chmod(0o644)
    assert [str(each) for each in load_text(DOCUMENT + CENTRAL).warnings] == [
        "config.yaml:10:36: central.token: everybody on this machine can read "
        "secrets/central-token: chmod 600 it"
    ]


def test_the_map_of_secrets_is_not_asked(errors_of: ErrorsOf) -> None:
    assert "is not there" in errors_of(DOCUMENT + CENTRAL + "secrets: {central-token: x}\n")[0]


# --- variables --------------------------------------------------------------------------------------


def test_variables_are_texts_that_fields_read(load_text: LoadText) -> None:
    text = DOCUMENT.replace("host: 192.0.2.10", "host: '${HOST}', port: '${PORT:-1502}'")
    transport = load_text(text, {"HOST": "plc7"}).document.connections[0].transport  # type: ignore[attr-defined]
    assert (transport.host, transport.port) == ("plc7", 1502)


def test_an_unset_variable_is_one_error(errors_of: ErrorsOf) -> None:
    assert errors_of(DOCUMENT.replace("192.0.2.10", "'${HOST}'")) == [
        "5:34: connections[press1].transport.host: the environment variable HOST is not set "
        "(a default: ${HOST:-value})"
    ]


# --- no secret in a message ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("central: {url: hunter22, token: hunter22}\n", {}),
        ("central: {url: !secret s, token: !secret s}\n", {}),
        (
            "central: {url: 'https://x', token: abcd, heartbeat_interval: '${PLC_PASSWORD}'}\n",
            {"PLC_PASSWORD": "hunter22"},
        ),
        (
            "central: {url: 'https://x', token: abcd, proxy: 'socks://me:hunter22@x'}\nbuffer: {path: [1]}\n",
            {},
        ),
        ("secrets: {plc: hunter22}\nbuffer: {max_bytes: hunter22}\n", {}),
        ("secrets: {plc: [hunter22]}\n", {}),
    ],
)
def test_no_message_shows_a_secret(errors_of: ErrorsOf, text: str, environ: dict[str, str]) -> None:
    lines = errors_of(DOCUMENT + text, environ, {"secrets/s": "hunter22"})
    assert lines
    assert not any("hunter22" in line for line in lines)


def test_a_short_secret_is_masked_where_it_stands(errors_of: ErrorsOf) -> None:
    text = DOCUMENT.replace("type: tcp", "type: tcp, password: 77")
    assert errors_of(text) == [
        "5:38: connections[press1].transport.password: needs a text: put *** in quotes"
    ]
