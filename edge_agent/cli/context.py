"""What a command works with: streams, environment, and the functions of `app` by their contracts."""

import argparse
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from edge_agent.contracts.diagnosis import Outcome
    from edge_agent.contracts.driver import Browsed, RequestSummary
    from edge_agent.contracts.status import AgentStatus, LatestValue, ReloadResult
    from edge_agent.contracts.stored import Fault, Progress, SampleQuery, StoredSample
    from edge_agent.contracts.writing import WriteReport
    from edge_agent.wire.dry_run import DryRunAnswer
    from edge_agent.wire.scripts import Script


class UsageError(Exception):
    """The command was given what it cannot use. The message says what to do, in one line."""


class Place(Protocol):
    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int | None: ...
    @property
    def column(self) -> int | None: ...


class Problem(Protocol):
    """An error or a warning about a config; as text, one line beginning with its place.

    of_machine: `run` goes on with it, and `check` refuses it.
    """

    @property
    def place(self) -> Place: ...
    @property
    def path(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def of_machine(self) -> bool: ...


class GroupPlan(Protocol):
    """The requests that serve one group. bytes: sent and received, per cycle. line: the transport."""

    @property
    def connection(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def unit_id(self) -> int | None: ...
    @property
    def interval_seconds(self) -> float: ...
    @property
    def tags(self) -> int: ...
    @property
    def requests(self) -> "Sequence[RequestSummary]": ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def bytes(self) -> int: ...
    @property
    def bus_seconds(self) -> float: ...
    @property
    def line(self) -> str: ...
    @property
    def transport(self) -> str: ...


class Judgement(Protocol):
    """On a document without its device. content: what was read, as plain data."""

    @property
    def problems(self) -> Sequence[Problem]: ...
    @property
    def warnings(self) -> Sequence[Problem]: ...
    @property
    def plans(self) -> Sequence[GroupPlan]: ...
    @property
    def content(self) -> Any: ...


class Packed(Protocol):
    """A support bundle: its files and what is not in it, as its manifest has them."""

    @property
    def size_bytes(self) -> int: ...
    @property
    def files(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def left_out(self) -> Sequence[Mapping[str, Any]]: ...


class Enrolled(Protocol):
    """What came of enrolling."""

    @property
    def device(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def credential(self) -> str: ...
    @property
    def expires(self) -> int: ...
    @property
    def written(self) -> Sequence[str]: ...
    @property
    def to_do(self) -> Sequence[str]: ...


class StoredBuffer(Protocol):
    """A buffer's file, looked into from beside the agent. Calls raise NotConnected or Unavailable where it
    cannot be read, ConfigError where it is none."""

    @property
    def path(self) -> Path: ...
    def stats(self, progress: "Progress") -> Mapping[str, Any]: ...
    def verify(self, progress: "Progress") -> "Iterator[Fault]": ...
    def samples(self, query: "SampleQuery") -> "Iterator[StoredSample | str]": ...


class TrustLists(Protocol):
    """Certificates of an OPC UA client and of servers, as plain data. Changes raise ConfigError for one that
    is not there."""

    @property
    def directory(self) -> Path: ...
    def shown(self) -> Sequence[Mapping[str, Any]]: ...
    def accept(self, thumbprint: str) -> Mapping[str, Any]: ...
    def reject(self, thumbprint: str) -> Mapping[str, Any]: ...


class ChosenScript(Protocol):
    """A hook's script with its settings. file: what messages name, with lines of it; empty where it has none
    of its own. watched: the files whose change makes it another."""

    @property
    def script(self) -> "Script": ...
    @property
    def file(self) -> str: ...
    @property
    def watched(self) -> Sequence[Path]: ...


class HookDesk(Protocol):
    """What is done with scripts of hooks. Calls raise ConfigError for what can never work, OSError where a
    file cannot be read or written, Unavailable where no script can be run.

    try_out: samples: frames, from_buffer, calls, state (files), groups (patterns), last, repeat.
    answer: to a request of a program, as docs/specs/hook-test-v1.md has it. points: of each its point,
    signature, when, reads, makes and example.
    """

    def choose(
        self,
        *,
        file: Path | None,
        config: Path | None,
        hook: str | None,
        given: Mapping[str, Any],
        trial: bool,
    ) -> ChosenScript: ...
    def new_key(self, file: Path, passphrase: bytes | None) -> str: ...
    def sign(self, script: "Script", key: str, private: Path, passphrase: bytes | None) -> "Script": ...
    def write_document(self, script: "Script", file: Path) -> None: ...
    def signer(self, script: "Script", keys: Mapping[str, str]) -> str | None: ...
    def required_keys(self, config: Path) -> Mapping[str, str]: ...
    def hook_names(self, config: Path) -> Sequence[str]: ...
    def group_names(self, config: Path) -> Sequence[str]: ...
    def try_out(
        self, chosen: Any, samples: Mapping[str, Any], warn: Callable[[str], None]
    ) -> "DryRunAnswer": ...
    def answer(self, request: TextIO) -> "DryRunAnswer": ...
    def points(self) -> Sequence[Mapping[str, str]]: ...
    def write_stubs(self, directory: Path) -> Path: ...


class Client(Protocol):
    """The agent that runs on this machine. Calls raise NotConnected where none answers."""

    def status(self) -> "AgentStatus": ...
    def latest(self, connection: str | None = None) -> "list[LatestValue]": ...
    def reload(self) -> "ReloadResult": ...
    def write(self, tag: str, value: Any) -> "WriteReport": ...


class Simulator(Protocol):
    """The command of a driver's simulator."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, args: argparse.Namespace) -> int | None: ...


class App(Protocol):
    """The functions of `edge_agent.app` that commands call. `loaded` and `head` are opaque to all of them.

    load_head: what finds the running agent, without the time that load_config takes for many tags. Where
    a head is wanted, what load_config gave does, too.
    ConfigError means an invalid config, NotConnected that something could not be reached.
    """

    def load_config(self, path: Path) -> Any: ...
    def load_head(self, path: Path) -> Any: ...
    def run_agent(self, path: Path) -> int: ...
    def script_problems(self, loaded: Any) -> Sequence[Problem]: ...
    def plans(self, loaded: Any) -> Sequence[GroupPlan]: ...
    def judge(self, sections: Mapping[str, Any]) -> Judgement: ...
    def read_tags(self, data: bytes, file: str, encoding: str | None) -> Judgement: ...
    def take_sections(self, path: Path) -> Judgement: ...
    async def measure(self, loaded: Any, warn: Callable[[str], None]) -> Mapping[tuple[str, str], float]: ...
    async def read_once(
        self, loaded: Any, connection: str | None, warn: Callable[[str], None]
    ) -> "Sequence[LatestValue]": ...
    async def write_once(self, loaded: Any, tag: str, value: Any, by: str) -> "WriteReport": ...
    async def browse(
        self, loaded: Any, connection: str, start: str, depth: int, progress: Callable[[int], None]
    ) -> "Sequence[Browsed]": ...
    def trust_lists(self, path: Path) -> TrustLists: ...
    def hook_desk(self) -> HookDesk: ...
    async def probe(self, driver: str, host: str, port: int, unit_id: int, timeout: float) -> str | None: ...
    def starter_text(
        self, *, device: str, host: str, port: int, unit_id: int, central: str | None, service: bool
    ) -> str: ...
    def runtime_socket(self, head: Any) -> Path: ...
    def local_client(self, socket: Path) -> Client: ...
    def running_agent(self, head: Any) -> Client | None: ...
    def tag_names(self, loaded: Any) -> Mapping[str, Sequence[str]]: ...
    async def examine(
        self,
        path: Path,
        only: Collection[str],
        *,
        direct: bool,
        tell: "Callable[[Outcome], None]",
        starting: Callable[[str], None],
    ) -> "Sequence[Outcome]": ...
    async def bundle(self, path: Path, out: Path | None, *, doctor: bool = True) -> tuple[Path, Packed]: ...
    def stored_buffer(self, path: Path | None, source: Path | None) -> StoredBuffer: ...
    def enrolment_wish(self, **said: Any) -> Any: ...
    async def enrol(self, path: Path, wish: Any, tell: Callable[[str], None]) -> Enrolled: ...
    def simulators(self) -> Sequence[str]: ...
    def simulator_command(self, driver: str) -> Simulator: ...
    def generate_docs(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Context:
    """One call of the command line. `wall_ms` is the time that ages are reckoned from.

    run_demo: (seconds or None for ever, as JSON) → exit code. sleep: waits that many seconds.
    """

    stdin: TextIO
    out: TextIO
    err: TextIO
    environ: Mapping[str, str]
    wall_ms: Callable[[], int]
    load_app: Callable[[], App]
    run_demo: Callable[[float | None, bool], int]
    sleep: Callable[[float], None] = time.sleep

    @cached_property
    def app(self) -> App:
        """Loaded at its first use: this is where the heavy imports are."""
        return self.load_app()

    @property
    def colours(self) -> bool:
        wanted = not self.environ.get("NO_COLOR") and self.environ.get("TERM") != "dumb"
        return wanted and self.out.isatty()

    @property
    def columns(self) -> int | None:
        """What a line may have; None where no terminal shows it, and nothing has to be left out."""
        return shutil.get_terminal_size().columns if self.out.isatty() else None

    def print(self, text: str) -> None:
        self.out.write(f"{text}\n")

    def print_json(self, value: Any) -> None:
        """One JSON document. Models are written as their fields."""
        import orjson

        self.out.write(orjson.dumps(value, default=_fields, option=orjson.OPT_INDENT_2).decode() + "\n")

    def print_json_line(self, value: Any) -> None:
        """One JSON document on one line, at once: what comes after it may take a while."""
        import orjson

        self.out.write(orjson.dumps(value, default=_fields).decode() + "\n")
        self.out.flush()

    def warn(self, text: str) -> None:
        """One line to the standard error, beside the result."""
        self.err.write(f"edge-agent: {text}\n")


def _fields(value: Any) -> Any:
    return value.model_dump(mode="json")
