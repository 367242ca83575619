"""Loading texts: `load_text` writes them into a directory of the test and loads config.yaml."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from edge_agent.config.errors import ConfigErrors
from edge_agent.config.load import Loaded, load
from tests.unit.config.sample_driver import lookup

LoadText = Callable[..., Loaded]
ErrorsOf = Callable[..., list[str]]

CONNECTION = """\
connections:
  - name: press1
    driver: sample
    transport: {type: tcp, host: 192.0.2.10}
    groups:
      - name: fast
        interval: 1s
        tags: [{name: oil_temp, address: "holding:100"}]
"""
DOCUMENT = "agent: {id: press-shop-01}\n" + CONNECTION


@pytest.fixture
def load_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadText:
    """(text or bytes of config.yaml, environment, further files by name) → what `load` returns."""
    monkeypatch.chdir(tmp_path)

    def call(
        text: str | bytes, environ: Mapping[str, str] | None = None, files: Mapping[str, str] | None = None
    ) -> Loaded:
        data = text.encode() if isinstance(text, str) else text
        Path("config.yaml").write_bytes(data)
        for name, content in (files or {}).items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(content)
            Path(name).chmod(0o600)
        return load(Path("config.yaml"), lookup, environ or {})

    return call


@pytest.fixture
def errors_of(load_text: LoadText) -> ErrorsOf:
    """The lines of the errors that a text has, without `config.yaml:`; it must have some."""

    def call(
        text: str | bytes, environ: Mapping[str, str] | None = None, files: Mapping[str, str] | None = None
    ) -> list[str]:
        with pytest.raises(ConfigErrors) as caught:
            load_text(text, environ, files)
        lines = str(caught.value).splitlines()
        assert lines == [str(problem) for problem in caught.value.problems]
        return [line.removeprefix("config.yaml:") for line in lines]

    return call
