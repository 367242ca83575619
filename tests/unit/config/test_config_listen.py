import pytest
from pydantic import ValidationError

from edge_agent.config.models import AgentSettings


def test_the_page_is_on_loopback_unless_it_is_off() -> None:
    assert AgentSettings(id="d").page_listen == "127.0.0.1:8470"
    assert AgentSettings(id="d", page_listen=None).page_listen is None
    assert AgentSettings(id="d", page_listen="[::1]:0").page_listen == "[::1]:0"


@pytest.mark.parametrize("name", ["page_listen", "metrics_listen"])
@pytest.mark.parametrize("listen", ["0.0.0.0:8470", "192.0.2.1:80", "[::]:80", "127.0.0.1", "8470", ":1"])
def test_an_address_that_others_reach_is_an_error_of_the_config(name: str, listen: str) -> None:
    with pytest.raises(ValidationError, match="is not a loopback address with a port"):
        AgentSettings.model_validate({"id": "d", name: listen})
