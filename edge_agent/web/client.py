"""Asks the agent on this machine, over its unix socket. Standard library alone: command lines start fast.

Blocking, for command lines; nothing in the agent uses it.
"""

import http.client
import socket
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

import orjson
from pydantic import BaseModel, JsonValue, ValidationError

from edge_agent.contracts.status import AgentStatus, LatestValue, ReloadResult, Report
from edge_agent.contracts.writing import WriteReport
from edge_agent.web.errors import AgentNotRunning, AnswerNotUnderstood, RequestRefused

_MAX_ANSWER_BYTES: Final = 256 << 20
# A write ends by itself long before, one way or another.
_WRITE_SECONDS: Final = 120.0
_M = TypeVar("_M", bound=BaseModel)


class _Latest(Report):
    items: list[LatestValue]


class LocalClient:
    """A client of one agent's socket. Each call is one connection.

    Every call raises AgentNotRunning where nobody answers, AnswerNotUnderstood for what is not an
    agent's answer, and RequestRefused, with the agent's own words, for a request that it does not want.
    """

    def __init__(self, socket_path: Path, timeout_seconds: float = 10.0) -> None:
        self._path = socket_path
        self._timeout_seconds = timeout_seconds

    def status(self) -> AgentStatus:
        return self._model(AgentStatus, "GET", "/status")

    def latest(self, connection: str | None = None) -> list[LatestValue]:
        query = f"?connection={quote(connection, safe='')}" if connection else ""
        return self._model(_Latest, "GET", f"/latest{query}").items

    def reload(self) -> ReloadResult:
        """Applies the config file again; the answer says whether it was, and what is wrong with it."""
        return self._model(ReloadResult, "POST", "/reload", accept=(200, 422))

    def write(self, tag: str, value: JsonValue) -> WriteReport:
        """Writes one tag, once. Where the answer does not come it is unknown: nothing is asked again."""
        body = orjson.dumps({"tag": tag, "value": value})
        patient = LocalClient(self._path, _WRITE_SECONDS)
        try:
            return patient._model(WriteReport, "POST", "/write", body=body)
        except AgentNotRunning as error:
            if isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError | PermissionError):
                raise
            text = f"{error}; its journal of writes tells how it ended"
            return WriteReport(tag=tag, value=value, state="unknown", code="unknown", message=text)

    def metrics(self) -> str:
        return self._ask("GET", "/metrics", (200,)).decode()

    def _model(
        self, model: type[_M], method: str, target: str, accept: tuple[int, ...] = (200,), body: bytes = b""
    ) -> _M:
        try:
            return model.model_validate_json(self._ask(method, target, accept, body))
        except ValidationError as error:
            raise AnswerNotUnderstood(
                f"{self._path}: the answer to {target} is not understood; does the agent have this version?"
            ) from error

    def _ask(self, method: str, target: str, accept: tuple[int, ...], body: bytes = b"") -> bytes:
        connection = _UnixConnection(self._path, self._timeout_seconds)
        try:
            connection.request(method, target, body or None)
            response = connection.getresponse()
            answer = response.read(_MAX_ANSWER_BYTES)
        except OSError as error:
            raise AgentNotRunning(self._why(error)) from error
        except http.client.HTTPException as error:
            raise AnswerNotUnderstood(f"{self._path}: what answers is not an agent") from error
        finally:
            connection.close()
        if response.status not in accept:
            raise RequestRefused(f"{self._path}: the agent refused: {_detail(answer, response.status)}")
        return answer

    def _why(self, error: OSError) -> str:
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return f"{self._path}: no agent is running; start it with `edge-agent run`"
        if isinstance(error, PermissionError):
            return f"{self._path}: belongs to another user; run this as the agent's user or as root"
        if isinstance(error, TimeoutError):
            return f"{self._path}: the agent did not answer within {self._timeout_seconds:g} s; see its log"
        return f"{self._path}: {error.strerror or error}"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _detail(body: bytes, status: int) -> str:
    try:
        return str(orjson.loads(body)["detail"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"HTTP {status}"
