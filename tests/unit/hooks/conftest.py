from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from tests.unit.hooks.house import House


@pytest.fixture
async def houses() -> AsyncIterator[Callable[..., House]]:
    built: list[House] = []

    def build(saved: Mapping[str, bytes] | None = None) -> House:
        built.append(House(saved))
        return built[-1]

    yield build
    for house in built:
        await house.stage.close()


@pytest.fixture
def house(houses: Callable[..., House]) -> House:
    return houses()
