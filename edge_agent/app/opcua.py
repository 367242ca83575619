"""What `edge-agent opcua` does with the certificates beside a buffer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.app import settings
from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.opcua.security_settings import STORE_NAME


@dataclass(frozen=True, slots=True)
class TrustLists:
    """The lists of the agent with one config, which may run. Calls raise OSError where the disk fails."""

    directory: Path

    def shown(self) -> list[dict[str, Any]]:
        """All certificates, the agent's own first. Makes none."""
        from edge_agent.drivers.opcua.certificates import own_certificates
        from edge_agent.drivers.opcua.trust_store import ISSUERS, REJECTED, TRUSTED, Entry

        own = [Entry("own", path, certificate) for path, certificate in own_certificates(self.directory)]
        store = self._store()
        entries = [*own, *(each for name in (TRUSTED, ISSUERS, REJECTED) for each in store.entries(name))]
        return [each.shown() for each in entries]

    def accept(self, thumbprint: str) -> dict[str, Any]:
        """Raises ConfigError for a certificate that is not there."""
        shown: dict[str, Any] = self._store().accept(thumbprint).shown()
        return shown

    def reject(self, thumbprint: str) -> dict[str, Any]:
        """Raises ConfigError for a certificate that is not there."""
        shown: dict[str, Any] = self._store().reject(thumbprint).shown()
        return shown

    def _store(self) -> Any:
        from edge_agent.drivers.opcua.trust_store import TrustStore

        return TrustStore(self.directory)


def trust_lists(path: Path) -> TrustLists:
    """Those of the config at `path`. Raises ConfigErrors, and ConfigError where the library is not there."""
    from importlib.util import find_spec

    if find_spec("cryptography") is None:
        raise ConfigError("certificates need the library 'cryptography': pip install 'holdfast[opcua]'")
    return TrustLists(settings.load_config(path).state_directory / STORE_NAME)
