"""Settings from the words of a command line."""

import argparse
from typing import Any

from central_sync import app


def settings_of(options: argparse.Namespace) -> app.Settings:
    """The file's, with what the flags override. Raises SettingsError."""
    overrides: dict[str, Any] = {
        name: getattr(options, name, None) for name in ("data", "listen", "behind_proxy", "log_level")
    }
    cert, key = getattr(options, "tls_cert", None), getattr(options, "tls_key", None)
    if bool(cert) != bool(key):
        raise app.SettingsError("--tls-cert and --tls-key go together")
    if cert:
        overrides["tls"] = {"cert": cert, "key": key}
    return app.load_settings(options.config, overrides)
