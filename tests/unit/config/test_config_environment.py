"""The environment names of the original agents: used where the file does not say it."""

from tests.unit.config.conftest import CONNECTION, DOCUMENT, ErrorsOf, LoadText

TOKEN = {"secrets/central-token": "abc"}


def test_device_and_company(load_text: LoadText) -> None:
    agent = load_text(CONNECTION, {"DEVICE_ID": "box-7", "COMPANY_CODE": "acme"}).document.agent
    assert (agent.id, agent.labels) == ("box-7", {"company": "acme"})


def test_an_empty_file_may_take_everything_from_the_environment(load_text: LoadText) -> None:
    assert load_text("", {"DEVICE_ID": "box-7"}).document.agent.id == "box-7"


def test_the_file_wins(load_text: LoadText) -> None:
    text = DOCUMENT.replace("{id: press-shop-01}", "{id: a, labels: {company: b}}")
    text += "central: {url: 'https://c', token: d, heartbeat_interval: 5s}\n"
    environ = {
        "DEVICE_ID": "x",
        "COMPANY_CODE": "x",
        "FLEET_API_URL": "https://x",
        "HEARTBEAT_INTERVAL": "9",
    }
    assert load_text(text, environ) == load_text(text)


def test_the_centre(load_text: LoadText) -> None:
    environ = {"FLEET_API_URL": "https://fleet.example.com/api/fleet/", "HEARTBEAT_INTERVAL": "15"}
    central = load_text(DOCUMENT, environ, TOKEN).document.central
    assert central is not None
    assert (central.url, central.token, central.heartbeat_interval) == (
        "https://fleet.example.com",
        "abc",
        15.0,
    )


def test_a_heartbeat_interval_may_have_its_unit_and_needs_a_centre(load_text: LoadText) -> None:
    environ = {"FLEET_API_URL": "https://x", "HEARTBEAT_INTERVAL": "2m"}
    central = load_text(DOCUMENT, environ, TOKEN).document.central
    assert central is not None
    assert central.heartbeat_interval == 120.0
    assert load_text(DOCUMENT, {"HEARTBEAT_INTERVAL": "15"}).document.central is None


def test_the_url_completes_a_section_that_has_a_token(load_text: LoadText) -> None:
    central = load_text(
        DOCUMENT + "central: {token: mine}\n", {"FLEET_API_URL": "https://x"}
    ).document.central
    assert central is not None
    assert (central.url, central.token) == ("https://x", "mine")


def test_errors_name_the_variable(errors_of: ErrorsOf) -> None:
    environ = {"DEVICE_ID": "Box 7", "FLEET_API_URL": "https://x", "HEARTBEAT_INTERVAL": "soon"}
    assert errors_of(CONNECTION, environ) == [
        "environment DEVICE_ID: agent.id: needs lower-case letters, digits and inner "
        "hyphens, such as press-1 "
        "(got 'Box 7')",
        "environment FLEET_API_URL: central.token: the secret 'central-token' is not there; "
        "looked for "
        "secrets/central-token, central-token",
        "environment HEARTBEAT_INTERVAL: central.heartbeat_interval: needs a duration with a "
        "unit such as "
        "500ms, 2s, 1m, 24h (got 'soon')",
    ]


def test_a_section_of_the_wrong_kind_is_left_to_validation(errors_of: ErrorsOf) -> None:
    assert errors_of("agent: 5\n" + CONNECTION, {"DEVICE_ID": "a"}) == [
        "1:8: agent: needs a mapping (key: value) (got 5)"
    ]


def test_a_broker_is_recognised_and_not_taken_for_the_centre(load_text: LoadText) -> None:
    warnings = load_text(DOCUMENT, {"MQTT_BROKER_URL": "mqtt://me:pw@x"}).warnings
    assert [str(each) for each in warnings] == [
        "environment MQTT_BROKER_URL: is not taken over: where the centre listens to that broker, "
        "give it as central.url (mqtts://…)"
    ]


def test_empty_variables_say_nothing(load_text: LoadText) -> None:
    environ = dict.fromkeys(("DEVICE_ID", "FLEET_API_URL", "COMPANY_CODE", "MQTT_BROKER_URL"), " ")
    assert load_text(DOCUMENT, environ) == load_text(DOCUMENT)
