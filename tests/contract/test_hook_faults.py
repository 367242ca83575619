"""What goes wrong in a script ends in its call, in a real, confined worker too: the next call is answered."""

import asyncio
from typing import Any

from edge_agent.hooks.process import WorkerProcess
from edge_agent.hooks.runner import Failure
from edge_agent.wire.schema import TagSchema, ValueType
from tests.unit.hooks.worker.desk import Desk, failure, good

FAULTS = {
    "x = 'a' * (1 << 40)": "MemoryError",
    "x = []\n        while True: x.append('a' * (1 << 20))": "MemoryError",
    "x = [0] * (1 << 40)": "MemoryError",
    "f = lambda g: g(g); f(f)": "RecursionError",
    "f = lambda g: sorted([1], key=lambda _: g(g)); f(f)": "RecursionError",
    "x = 9 ** 9 ** 5; str(x)": "ValueError",
    "raise SystemExit": "SystemExit",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise GeneratorExit": "GeneratorExit",
    "raise MemoryError": "MemoryError",
    "x = {}; x['x'] = x; state['x'] = x": "StateRefused",
    "frame['r'] = [[]] * 100_000": "Unsent",
    "1 / 0": "ZeroDivisionError",
    "frame['nothing'] = 1": "KeyError",
}
# Nothing can be imported any more, and no file be opened: what may be used is there already.
WORKS = {
    "datetime.datetime.strptime('21.11.2026', '%d.%m.%Y').month": 11,
    "datetime.date(2026, 11, 21).strftime('%A')": "Saturday",
    "statistics.quantiles([1, 2, 3, 4], n=4)": [1.25, 2.5, 3.75],
    "statistics.linear_regression([1, 2], [2, 4]).slope": 2.0,
    "json.loads(json.dumps({'a': [1.5, None]}))": {"a": [1.5, None]},
    "re.compile(r'(\\w+)-(\\d+)').match('ä-12').groups()": ["ä", "12"],
    "'%05.1f' % math.pi": "003.1",
    "f'{1234567.891:,.2f} {255:#x}'": "1,234,567.89 0xff",
    "'größe'.encode('utf-8').decode('latin-1')[:2]": "gr",
    "sum(x for x in range(1000))": 499_500,
}


async def _run() -> tuple[list[Any], list[Any]]:
    lines = list(FAULTS)
    source = 'OUTPUTS = {"r": "json"}\ndef transform(frame, state):\n    n = frame["n"]\n'
    for number, line in enumerate(lines):
        source += f"    if n == {number}:\n        {line}\n"
    for number, expression in enumerate(WORKS, len(lines)):
        source += f"    if n == {number}:\n        frame['r'] = {expression}\n"
    worker = await WorkerProcess.start()
    try:
        desk = await Desk.of(source, tags=[TagSchema("n", ValueType.INT16)], worker=worker)
        count = len(lines) + len(WORKS)
        shown = [await desk.frame({"n": number}) for number in range(count)]
        return shown[: len(lines)], shown[len(lines) :]
    finally:
        await worker.close()


def test_faults_are_told_and_the_worker_goes_on() -> None:
    faults, works = asyncio.run(_run())
    kinds = [each.kind if isinstance(each, Failure) else each for each in faults]
    assert kinds == list(FAULTS.values())
    # What cannot be kept is seen when the function is through.
    lineless = [failure(each).kind for each in faults if failure(each).line is None]
    assert lineless == ["StateRefused", "Unsent"]
    assert [good(each, "r") for each in works] == list(WORKS.values())


async def _too_much() -> list[Any]:
    source = """
OUTPUTS = {"s[1..40]": "string"}
def transform(frame):
    frame.set_columns("s[1..40]", "x" * (60_000 if frame["n"] else 10))
"""
    worker = await WorkerProcess.start()
    try:
        desk = await Desk.of(source, tags=[TagSchema("n", ValueType.INT16)], worker=worker)
        return [await desk.frame({"n": number}) for number in (1, 0)]
    finally:
        await worker.close()


def test_an_answer_that_is_too_large_is_an_error_and_the_worker_goes_on() -> None:
    large, small = asyncio.run(_too_much())
    assert "more than 1048576 bytes" in failure(large).message
    assert good(small, "s40") == "x" * 10
