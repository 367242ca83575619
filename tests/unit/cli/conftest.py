"""A command line with streams of its own, and an `app` that answers what the test put in."""

import argparse
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.context import Context
from edge_agent.cli.main import main
from edge_agent.contracts.diagnosis import Outcome
from edge_agent.contracts.driver import Browsed, RequestSummary
from edge_agent.contracts.errors import ConfigError, NotConnected
from edge_agent.contracts.status import AgentStatus, LatestValue, ReloadResult
from edge_agent.contracts.stored import Fault, Progress, SampleQuery, StoredSample
from edge_agent.contracts.writing import WriteReport

GOLDEN = Path(__file__).parents[2] / "golden"
NOW_MS = 1_767_237_121_500


@dataclass
class FakeLoaded:
    path: Path
    warnings: Sequence[Any] = ()


@dataclass(frozen=True)
class FakePlace:
    file: str = "config"
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class FakeProblem:
    path: str
    message: str
    place: FakePlace = FakePlace()
    of_machine: bool = False


@dataclass(frozen=True)
class FakeJudgement:
    problems: Sequence[FakeProblem] = ()
    warnings: Sequence[FakeProblem] = ()
    plans: Sequence["FakePlan"] = ()
    content: Any = None


@dataclass(frozen=True)
class FakePlan:
    connection: str
    group: str
    interval_seconds: float
    tags: int
    requests: Sequence[RequestSummary]
    unit_id: int | None = 1
    notes: Sequence[str] = ()
    transport: str = "tcp"

    @property
    def line(self) -> str:
        return f"line of {self.connection}"

    @property
    def bytes(self) -> int:
        return sum(request.sent_bytes + request.received_bytes for request in self.requests)

    @property
    def bus_seconds(self) -> float:
        return sum(request.bus_seconds for request in self.requests)


class FakeClient:
    def __init__(self, app: "FakeApp", socket: Path) -> None:
        self._app = app
        app.asked.append(socket)

    def status(self) -> AgentStatus:
        self._app.fail()
        return self._app.shown

    def latest(self, connection: str | None = None) -> list[LatestValue]:
        self._app.fail()
        self._app.asked.append(connection)
        if self._app.refuses is not None:
            raise self._app.refuses
        return [value for value in self._app.values if connection in (None, value.connection)]

    def reload(self) -> ReloadResult:
        self._app.fail()
        return self._app.result

    def write(self, tag: str, value: Any) -> WriteReport:
        self._app.fail()
        self._app.asked.append((tag, value))
        return self._app.written


@dataclass(frozen=True)
class FakePacked:
    size_bytes: int = 2048
    files: Sequence[Mapping[str, Any]] = ({"name": "versions.json", "about": "versions", "bytes": 100},)
    left_out: Sequence[Mapping[str, Any]] = ({"name": "machine/clock.txt", "about": "time", "why": "absent"},)


class FakeSimulator:
    def __init__(self) -> None:
        self.seen: list[argparse.Namespace] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=int, required=True)

    def run(self, args: argparse.Namespace) -> int:
        self.seen.append(args)
        return 3 if args.port == 1 else 0


@dataclass
class FakeBuffer:
    """A buffer's file that holds what the test put in."""

    path: Path = Path("buffer.db")
    found: Mapping[str, Any] = field(default_factory=dict)
    faults: Sequence[Fault] = ()
    stored: Sequence[StoredSample | str] = ()
    queries: list[SampleQuery] = field(default_factory=list)

    def stats(self, progress: Progress) -> Mapping[str, Any]:
        progress(0, 1)
        return self.found

    def verify(self, progress: Progress) -> Iterator[Fault]:
        progress(0, 0)
        return iter(self.faults)

    def samples(self, query: SampleQuery) -> Iterator[StoredSample | str]:
        self.queries.append(query)
        return iter(self.stored)


@dataclass
class FakeTrustLists:
    """Certificates as plain data, by their thumbprints."""

    directory: Path = Path("pki")
    found: dict[str, dict[str, Any]] = field(default_factory=dict)

    def shown(self) -> Sequence[Mapping[str, Any]]:
        return list(self.found.values())

    def accept(self, thumbprint: str) -> Mapping[str, Any]:
        return self._moved(thumbprint, "trusted")

    def reject(self, thumbprint: str) -> Mapping[str, Any]:
        return self._moved(thumbprint, "rejected")

    def _moved(self, thumbprint: str, name: str) -> Mapping[str, Any]:
        if thumbprint not in self.found:
            raise ConfigError(f"there is no certificate {thumbprint}")
        self.found[thumbprint]["list"] = name
        return self.found[thumbprint]


@dataclass
class FakeApp:
    """`edge_agent.app` as `cli.context.App` describes it. `error` is raised by whatever is asked."""

    shown: AgentStatus
    error: BaseException | None = None
    planned: Sequence[FakePlan] = ()
    values: Sequence[LatestValue] = ()
    result: ReloadResult = field(default_factory=lambda: ReloadResult(applied=True))
    written: WriteReport = field(default_factory=lambda: WriteReport(tag="press1.set", state="confirmed"))
    warnings: Sequence[Any] = ()
    unreachable: str | None = None
    running: bool = False
    measured: Mapping[tuple[str, str], float] = field(default_factory=dict)
    documents: Mapping[str, str] = field(default_factory=dict)
    outcomes: Sequence[Outcome] = ()
    simulator: FakeSimulator = field(default_factory=FakeSimulator)
    buffer: FakeBuffer = field(default_factory=FakeBuffer)
    offered: Sequence[Browsed] = ()
    trust: FakeTrustLists = field(default_factory=FakeTrustLists)
    desk: Any = None
    asked: list[Any] = field(default_factory=list)
    script_faults: Sequence[FakeProblem] = ()

    refuses: BaseException | None = None
    after_load: BaseException | None = None

    def fail(self) -> None:
        if self.error is not None:
            raise self.error

    def load_config(self, path: Path) -> FakeLoaded:
        self.asked.append(path)
        self.fail()
        self.error = self.after_load
        return FakeLoaded(path, self.warnings)

    def load_head(self, path: Path) -> FakeLoaded:
        self.asked.append(("head", path))
        self.fail()
        self.error = self.after_load
        return FakeLoaded(path)

    def stored_buffer(self, path: Path | None, source: Path | None) -> FakeBuffer:
        self.asked.append(("buffer", path, source))
        self.fail()
        return self.buffer

    def run_agent(self, path: Path) -> int:
        self.asked.append(path)
        self.fail()
        return 0

    def script_problems(self, loaded: FakeLoaded) -> Sequence[FakeProblem]:
        return self.script_faults

    def judge(self, sections: Mapping[str, Any]) -> FakeJudgement:
        self.fail()
        return FakeJudgement([FakeProblem(name, "not known") for name in sections])

    def read_tags(self, data: bytes, file: str, encoding: str | None) -> FakeJudgement:
        self.fail()
        return FakeJudgement(content=[{"name": data.decode(encoding or "utf-8"), "file": file}])

    def take_sections(self, path: Path) -> FakeJudgement:
        self.fail()
        return FakeJudgement(content={"connections": [str(path)]})

    def plans(self, loaded: FakeLoaded) -> Sequence[FakePlan]:
        self.fail()
        return self.planned

    async def measure(
        self, loaded: FakeLoaded, warn: Callable[[str], None]
    ) -> Mapping[tuple[str, str], float]:
        warn("b.slow: not measured: refused")
        return self.measured

    async def read_once(
        self, loaded: FakeLoaded, connection: str | None, warn: Callable[[str], None]
    ) -> Sequence[LatestValue]:
        self.asked.append(connection)
        return self.values

    async def write_once(self, loaded: FakeLoaded, tag: str, value: Any, by: str) -> WriteReport:
        self.asked.append((tag, value, "direct"))
        return self.written

    async def browse(
        self, loaded: FakeLoaded, connection: str, start: str, depth: int, progress: Callable[[int], None]
    ) -> Sequence[Browsed]:
        self.asked.append((connection, start, depth))
        for number in range(len(self.offered)):
            progress(number + 1)
        return self.offered

    def trust_lists(self, path: Path) -> FakeTrustLists:
        self.asked.append(("trust", path))
        self.fail()
        return self.trust

    def hook_desk(self) -> Any:
        return self.desk

    async def probe(self, driver: str, host: str, port: int, unit_id: int, timeout: float) -> str | None:
        self.asked.append((driver, host, port, unit_id))
        return self.unreachable

    def starter_text(
        self, *, device: str, host: str, port: int, unit_id: int, central: str | None, service: bool
    ) -> str:
        return f"agent: {{id: {device}}}  # {host} {port} {unit_id} {central}\n"

    def runtime_socket(self, loaded: FakeLoaded) -> Path:
        return Path("/run/holdfast/agent.sock")

    def local_client(self, socket: Path) -> FakeClient:
        return FakeClient(self, socket)

    def running_agent(self, loaded: FakeLoaded) -> FakeClient | None:
        return FakeClient(self, Path("/run/holdfast/agent.sock")) if self.running else None

    def tag_names(self, loaded: FakeLoaded) -> Mapping[str, Sequence[str]]:
        return {"press1": ["oil_temp", "온도"], "meter": ["kWh"]}

    async def examine(
        self,
        path: Path,
        only: Collection[str],
        *,
        direct: bool,
        tell: Callable[[Outcome], None],
        starting: Callable[[str], None],
    ) -> Sequence[Outcome]:
        self.asked.append((path, list(only), direct))
        for outcome in self.outcomes:
            starting(outcome.check)
            tell(outcome)
        return self.outcomes

    async def bundle(self, path: Path, out: Path | None, *, doctor: bool = True) -> tuple[Path, FakePacked]:
        self.asked.append((path, out))
        self.fail()
        return out or Path("holdfast-support-press-shop-01.tar.gz"), FakePacked()

    def enrolment_wish(self, **said: Any) -> Any:
        return said

    async def enrol(self, path: Path, wish: Any, tell: Callable[[str], None]) -> Any:
        raise NotConnected("there is no centre here")

    def simulators(self) -> Sequence[str]:
        return ("modbus",)

    def simulator_command(self, driver: str) -> FakeSimulator:
        if driver != "modbus":
            raise ConfigError(f"there is no simulator for {driver!r}; there are: modbus")
        return self.simulator

    def generate_docs(self) -> Mapping[str, str]:
        return self.documents


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass
class CommandLine:
    """Runs command lines in this process and keeps what they print."""

    app: FakeApp
    environ: dict[str, str] = field(default_factory=dict)
    stdin: io.StringIO = field(default_factory=io.StringIO)
    terminal: bool = False
    out: str = ""
    err: str = ""
    demos: list[tuple[float | None, bool]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def __call__(self, *argv: str) -> int:
        stream = Terminal if self.terminal else io.StringIO
        out, err = stream(), stream()
        context = Context(
            stdin=self.stdin,
            out=out,
            err=err,
            environ=self.environ,
            wall_ms=lambda: NOW_MS,
            load_app=lambda: self.app,
            run_demo=self._demo,
            sleep=self.slept.append,
        )
        try:
            return main(list(argv), context)
        finally:
            self.out, self.err = out.getvalue(), err.getvalue()

    def _demo(self, for_seconds: float | None, as_json: bool) -> int:
        self.demos.append((for_seconds, as_json))
        return 0


@pytest.fixture
def well() -> AgentStatus:
    return AgentStatus.model_validate_json((GOLDEN / "agent-status-well.json").read_bytes())


@pytest.fixture
def ill() -> AgentStatus:
    return AgentStatus.model_validate_json((GOLDEN / "agent-status-ill.json").read_bytes())


@pytest.fixture
def app(well: AgentStatus) -> FakeApp:
    return FakeApp(well)


@pytest.fixture
def cli(app: FakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A command line in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return CommandLine(app)


def request(
    text: str = "holding 100..224, unit 1", tags: int = 10, bus_seconds: float = 0.02
) -> RequestSummary:
    return RequestSummary(text, tags, 12, 259, bus_seconds)


@pytest.fixture
def plans() -> list[FakePlan]:
    return [
        FakePlan("press1", "fast", 0.5, 20, [request(), request("holding 300..310, unit 1", bus_seconds=0)]),
        FakePlan("프레스-2", "slow", 1.5, 10, [request(tags=10, bus_seconds=1.35)], unit_id=None),
        FakePlan("meter", "a", 1.0, 1_234, [request(tags=1_234, bus_seconds=1.25)], unit_id=7),
        FakePlan("meter", "b", 2.0, 1, [request(tags=1, bus_seconds=0.2)], unit_id=8),
    ]
