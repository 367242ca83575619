"""What `edge-agent hook` does, for the command line: each part is loaded where it is asked for."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from edge_agent.app import hook_scripts, settings
from edge_agent.hooks import signing
from edge_agent.pipeline.build import groups_of
from edge_agent.runtime.atomic import write_atomic
from edge_agent.wire.scripts import Script

if TYPE_CHECKING:
    from edge_agent.app.hook_scripts import Chosen
    from edge_agent.wire.dry_run import DryRunAnswer


class HookDesk:
    """Calls raise ConfigError for what can never work, and OSError where a file cannot be read."""

    def choose(self, **wish: Any) -> "Chosen":
        """The script that was asked for; `wish`: the fields of `hook_scripts.Wish`."""
        return hook_scripts.choose(hook_scripts.Wish(**wish))

    def new_key(self, file: Path, passphrase: bytes | None) -> str:
        """Writes a private key that its owner alone may read, never over a file that is there. Its public
        key."""
        pem, public = signing.new_key(passphrase)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(pem)
        return public

    def sign(self, script: Script, key: str, private: Path, passphrase: bytes | None) -> Script:
        """The script with a signature of `key`, made with the private key in a file."""
        return signing.sign(script, key, private.read_bytes(), passphrase)

    def write_document(self, script: Script, file: Path) -> None:
        """All of the script, in place of what may be there."""
        write_atomic(file, hook_scripts.document(script), mode=0o644)

    def signer(self, script: Script, keys: Mapping[str, str]) -> str | None:
        """The name of a key that signed it."""
        return signing.signer(script, keys)

    def try_out(
        self, chosen: "Chosen", samples: Mapping[str, Any], warn: Callable[[str], None]
    ) -> "DryRunAnswer":
        """What the script makes of samples; `samples`: the fields of `hook_test.Wanted`. warn: gets a line
        for what is odd about them. Raises Unavailable where no script can be run."""
        from edge_agent.app import hook_test

        return hook_test.try_out(chosen, hook_test.Wanted(**samples), warn)

    def answer(self, request: TextIO) -> "DryRunAnswer":
        """To a program's request. Raises Unavailable where no script can be run."""
        from edge_agent.app import hook_test

        return hook_test.answer(request)

    def points(self) -> list[dict[str, str]]:
        """What is known of each point."""
        from edge_agent.wire.hook_points import POINTS

        return [
            {
                "point": str(info.point), "signature": info.signature, "when": info.when,
                "reads": info.reads, "makes": info.makes, "example": info.example,
            }
            for info in POINTS.values()
        ]  # fmt: skip

    def write_stubs(self, directory: Path) -> Path:
        """The types of what scripts are given, in place of what may be there. The file."""
        from edge_agent.hooks.stubs import STUBS, stubs

        path = directory / STUBS
        write_atomic(path, stubs().encode(), mode=0o644)
        return path

    def hook_names(self, config: Path) -> list[str]:
        """Those of a config's scripts."""
        return [local.script.name for local in settings.load_config(config).scripts]

    def group_names(self, config: Path) -> list[str]:
        """CONNECTION.GROUP of all groups of a config."""
        connections = settings.load_config(config).document.connections
        return [f"{each.name}.{group.name}" for each in connections for group in groups_of(each)]

    def required_keys(self, config: Path) -> Mapping[str, str]:
        """`hooks.require_signature` of a config."""
        return settings.load_config(config).document.hooks.require_signature
