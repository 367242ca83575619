"""TLS contexts of clients from files, and what is wrong with a file in words that help."""

import ssl

from edge_agent.contracts.errors import NotConnected


def client_context(
    ca_file: str | None, cert_file: str | None = None, key_file: str | None = None
) -> ssl.SSLContext:
    """TLS 1.2 or later. ca_file: None for the system's authorities. Reads files: call it in a thread.

    Raises NotConnected where a file cannot be used: it may come, or be renewed, later.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise NotConnected(f"ca_file {ca_file}: {_file_text(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert_file is None:
        return context
    try:
        # The password is asked for on the terminal where none is given.
        context.load_cert_chain(cert_file, key_file, password="")
    except (OSError, ValueError) as error:
        named = cert_file + (f", key_file {key_file}" if key_file else "")
        raise NotConnected(f"cert_file {named}: {_file_text(error)}") from error
    return context


def _file_text(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "the agent's user may not read it"
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is not that of the certificate"
        return "no certificate or key in PEM form, or a key with a password"
    return str(error)
