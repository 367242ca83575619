"""A whole history from one number: which things happen, in which order and when."""

import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final

from tests.simulation.judge import Violated
from tests.simulation.loop import Stuck
from tests.simulation.world import World

STEPS: Final = 40
_DAY_MS: Final = 86_400_000

Action = Callable[[World, Random], None]


def _weather(world: World, random: Random) -> None:
    kinds = ["good", "slow", "lossy", "forgetful", "repeating", "stalling", "strange", "storm", "cut"]
    world.set_weather(random.choice(kinds))


# (how often, what)
ACTIONS: Final[tuple[tuple[int, Action], ...]] = (
    (10, _weather),
    (4, lambda world, random: world.outage(random.choice([5.0, 40.0]))),
    (5, lambda world, random: world.kill_agent(random.choice([None, (1, True), (2, True), (2, False)]))),
    (6, lambda world, random: world.trap_agent(random.randint(1, 6), made=random.random() < 0.6)),
    (2, lambda world, random: world.stop_agent(reboot=random.random() < 0.5)),
    (3, lambda world, random: world.cut_power(lying=random.random() < 0.4)),
    (1, lambda world, _: world.lose_database()),
    (1, lambda world, _: world.put_old_database_back()),
    (3, lambda world, _: world.copy_disk()),
    (3, lambda world, random: world.disk_fails(random.choice([3.0, 15.0]))),
    (3, lambda world, random: world.disk_is(random.choice([0.02, 0.02, 1.5]))),
    (2, lambda world, random: world.step_clock(random.choice([_DAY_MS, -_DAY_MS, 3_600_000]))),
    (4, lambda world, random: world.change_config(random.choice([(0, 1, 2), (0, 3), (0, 1, 4), (4,)]))),
    (5, lambda world, random: world.kill_centre(random.choice([0.0, 10.0]))),
    (2, lambda world, random: world.stop_centre(random.choice([0.0, 10.0]))),
    (3, lambda world, _: world.back_up_centre()),
    (2, lambda world, _: world.restore_centre()),
    (1, lambda world, _: world.wipe_centre()),
)


def drive(world: World, seed: int, steps: int) -> None:
    """Raises Violated."""
    random = Random(seed)
    world.edge.retain_seconds = random.choice([0.0, 30.0, 3600.0])
    weights, actions = zip(*ACTIONS, strict=True)
    for _ in range(steps):
        world.pass_time(random.choice([0.5, 3.0, 8.0, 20.0, 70.0]))
        random.choices(actions, weights)[0](world, random)
    world.finish()


def simulate(seed: int, steps: int, log: Callable[[str], None]) -> str | None:
    """One history. Returns what is violated; None where all is well."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        world = World(seed, Path(directory), log)
        try:
            drive(world, seed, steps)
            world.note(f"ok, {len(world.edge.appended)} frames")
        except Violated as violation:
            return str(violation)
        except Stuck as stuck:
            return f"stuck: {stuck}"
        except Exception as error:  # noqa: BLE001 - whatever it is, the seed has to be printed
            traceback.print_exc()
            return f"{type(error).__name__}: {error}"
        finally:
            world.close()
    return None


def main(arguments: Sequence[str]) -> int:
    """SEED [STEPS]. N=200 beside it runs so many seeds from SEED on, up to the first that is violated, and
    prints of each only how it ended."""
    first, steps = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else STEPS
    many = int(os.environ.get("N", "1"))
    for seed in range(first, first + many):
        violated = simulate(seed, steps, print if many == 1 else lambda _: None)
        if violated is not None:
            print(f"violated: {violated}\nreplay: python -m tests.simulation {seed} {steps}", file=sys.stderr)
            return 1
        if many > 1:
            print(f"seed {seed}: ok")
    return 0
