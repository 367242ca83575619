"""The composition root: builds every part of the agent and connects them; what the commands call.

Each is imported where it is called: `edge-agent status` must not pay for the drivers, nor `check` for the
uplink.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_agent.app.enrolment import Enrolled, Wish
    from edge_agent.app.hook_commands import HookDesk
    from edge_agent.app.judging import Judgement
    from edge_agent.app.offline import GroupPlan
    from edge_agent.app.opcua import TrustLists
    from edge_agent.app.stored import StoredBuffer
    from edge_agent.config.errors import Problem
    from edge_agent.config.load import Head, Loaded
    from edge_agent.contracts.diagnosis import Outcome
    from edge_agent.contracts.driver import Browsed
    from edge_agent.contracts.status import LatestValue
    from edge_agent.contracts.writing import WriteReport
    from edge_agent.support.archive import Packed
    from edge_agent.web.client import LocalClient


def load_config(path: Path) -> "Loaded":
    """The whole config. Raises ConfigErrors, whose text has a line for each error with its place."""
    from edge_agent.app import settings

    return settings.load_config(path)


def load_head(path: Path) -> "Head":
    """What finds the running agent, without the connections. Raises ConfigErrors."""
    from edge_agent.app import local

    return local.load_head(path)


def runtime_socket(config: "Head | Loaded") -> Path:
    """The local API's socket of the agent that runs with this config."""
    from edge_agent.app import local

    return local.runtime_socket(config)


def local_client(socket: Path) -> "LocalClient":
    """A client of the agent that listens there."""
    from edge_agent.web.client import LocalClient

    return LocalClient(socket)


def running_agent(config: "Head | Loaded") -> "LocalClient | None":
    """A client of the agent that runs with this config. None: nobody listens on its socket."""
    from edge_agent.app import local

    return local.running_agent(config)


def run_agent(path: Path) -> int:
    """Runs the agent until a signal ends it; the exit code. Raises ConfigError for a bad config."""
    from edge_agent.app.compiled import compile_file
    from edge_agent.config.child import Fork

    config = Fork(compile_file, (path,), str(path))
    # A third of all imports, in which the child reads the config.
    from edge_agent.app.agent import run_agent as run

    return run(path, config.result())


def plans(loaded: "Loaded") -> "list[GroupPlan]":
    """Every group's requests. Raises ConfigError for what can never work."""
    from edge_agent.app import offline

    return offline.plans(loaded)


def script_problems(loaded: "Loaded") -> "list[Problem]":
    """What the sandbox's compiler says of a config's scripts; nothing where there is none."""
    from edge_agent.app import hook_trial

    return hook_trial.script_problems(loaded)


def judge(sections: Mapping[str, Any]) -> "Judgement":
    """What is wrong with the sections of a centre's document, without a device at hand."""
    from edge_agent.app import judging

    return judging.judge(sections)


def read_tags(data: bytes, file: str, encoding: str | None) -> "Judgement":
    """The tags of a tag list; `file` is how messages call it."""
    from edge_agent.app import judging

    return judging.read_tags(data, file, encoding)


def take_sections(path: Path) -> "Judgement":
    """What the file at `path` says of the sections that a centre can manage."""
    from edge_agent.app import judging

    return judging.take_sections(path)


def tag_names(loaded: "Loaded") -> Mapping[str, Sequence[str]]:
    """The names of the tags by their connection, in the order of the config."""
    from edge_agent.app import offline

    return offline.tag_names(loaded)


async def measure(loaded: "Loaded", warn: Callable[[str], None]) -> Mapping[tuple[str, str], float]:
    """Times one real round of every group, by (connection, group)."""
    from edge_agent.app.measure import measure as run

    return await run(loaded, warn)


async def read_once(
    loaded: "Loaded", connection: str | None, warn: Callable[[str], None]
) -> "list[LatestValue]":
    """Polls every group once. Raises NotConnected where none answered. warn: gets each reason for a gap."""
    from edge_agent.app import offline

    return await offline.read_once(loaded, connection, warn)


async def write_once(loaded: "Loaded", tag: str, value: Any, by: str) -> "WriteReport":
    """Writes one tag over a link of its own, as the allow-list of the file permits."""
    from edge_agent.app import direct_write

    return await direct_write.write_once(loaded, tag, value, by)


async def browse(
    loaded: "Loaded", connection: str, start: str, depth: int, progress: Callable[[int], None]
) -> "list[Browsed]":
    """What a connection's server offers. progress: gets the number of things found so far. Raises
    NotConnected, ConfigError, and Unsupported for a protocol that does not tell."""
    from edge_agent.app import browsing

    return await browsing.browse(loaded, connection, start, depth, progress)


def trust_lists(path: Path) -> "TrustLists":
    """The certificates of the agent with the config at `path`. Raises ConfigErrors."""
    from edge_agent.app import opcua

    return opcua.trust_lists(path)


def hook_desk() -> "HookDesk":
    """What is done with scripts of hooks, beside any agent."""
    from edge_agent.app.hook_commands import HookDesk

    return HookDesk()


async def probe(driver: str, host: str, port: int, unit_id: int, timeout: float) -> str | None:
    """Whether something answers there. None: yes; else why not."""
    from edge_agent.app import offline

    return await offline.probe(driver, host, port, unit_id, timeout)


async def examine(
    path: Path,
    only: Collection[str],
    *,
    direct: bool,
    tell: "Callable[[Outcome], None]",
    starting: Callable[[str], None],
) -> "list[Outcome]":
    """Examines this machine. only: these checks; none: all. direct: asks PLCs although an agent runs.
    tell: gets each outcome at once. starting: gets the name of each check before it begins."""
    from edge_agent.app import doctor

    return await doctor.examine(path, only, direct=direct, tell=tell, starting=starting)


async def bundle(path: Path, out: Path | None, *, doctor: bool = True) -> "tuple[Path, Packed]":
    """Writes a support bundle and says what is in it. out: the file; None: one here, named by device and
    time. doctor: with its examination. Raises OSError where it cannot be written."""
    from edge_agent.app import support

    return await support.bundle(path, out, doctor=doctor)


def stored_buffer(path: Path | None, source: Path | None) -> "StoredBuffer":
    """The buffer of the config at `path`, or the file `source` itself. Raises ConfigErrors."""
    from edge_agent.app import stored

    return stored.stored_buffer(path, source)


def enrolment_wish(**said: Any) -> "Wish":
    """What `edge-agent enroll` was asked for."""
    from edge_agent.app.enrolment import Wish

    return Wish(**said)


async def enrol(path: Path, wish: "Wish", tell: Callable[[str], None]) -> "Enrolled":
    """Makes this device known to a centre. Raises ConfigError, NotConnected, Unavailable."""
    from edge_agent.app import enrolment

    return await enrolment.enrol(path, wish, tell)


def simulators() -> Sequence[str]:
    """The drivers that have a simulator."""
    from edge_agent.app import simulation

    return simulation.simulators()


def simulator_command(driver: str) -> ModuleType:
    """The module with `add_arguments` and `run` of a driver's simulator. Raises ConfigError."""
    from edge_agent.app import simulation

    return simulation.simulator_command(driver)


def starter_text(
    *, device: str, host: str, port: int, unit_id: int, central: str | None, service: bool
) -> str:
    """A commented config to begin with."""
    from edge_agent.config.starter import starter

    return starter(device=device, host=host, port=port, unit_id=unit_id, central=central, service=service)


def generate_docs() -> Mapping[str, str]:
    """Sample files and reference pages by their path in the repository."""
    from edge_agent.app.settings import settings_of
    from edge_agent.config.reference import generate
    from edge_agent.drivers import registry
    from edge_agent.web.reference import api_page, metrics_page

    return {
        **generate(settings_of, registry.names()),
        "docs/reference/metrics.md": metrics_page(),
        "docs/reference/local-api.md": api_page(),
    }
