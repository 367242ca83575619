"""The agent's own page in a real browser: live values, a trend, an outage, catching up, both languages."""

import json
import re
from pathlib import Path

import pytest

from tests.system.browser import Tab, browser
from tests.system.local_page_site import LANDSCAPE, PORTRAIT, Site, go, site

OIL = "Number(document.querySelector('tr:has([aria-label*=oil_temperature]) .figure').textContent)"


async def search(tab: Tab, text: str) -> None:
    field = "document.querySelector('#search')"
    await tab.run(f"{field}.value = {json.dumps(text)}; {field}.dispatchEvent(new Event('input'))")


async def fits(tab: Tab) -> None:
    """Nothing to scroll sideways, and nothing too small for a finger."""
    assert await tab.run("document.documentElement.scrollWidth <= innerWidth")
    small = await tab.run(
        "[...document.querySelectorAll('button, a, select, input')].filter((each) => each.offsetParent)"
        ".filter((each) => !each.matches('.skip'))"
        ".map((each) => [each.outerHTML, each.getBoundingClientRect()])"
        ".filter(([, box]) => box.height < 44 || box.width < 44).map(([text]) => text)"
    )
    assert small == []


@pytest.mark.timeout(240)
async def test_the_page_in_a_browser_on_a_tablet(tmp_path: Path) -> None:
    async with site(tmp_path) as plant, browser(tmp_path / "profile", "en-US") as tab:
        await tab.open(plant.url, *LANDSCAPE)
        await tab.wait_for("document.querySelector('#device')?.textContent === 'press-shop-01'")
        await look_around(tab)
        await values_are_live(tab)
        await a_trend_appears(tab)
        await an_outage_shows(tab, plant)
        await a_backlog_shows(tab, plant)
        await it_speaks_korean(tab)
        assert {url for url in tab.requested if not url.startswith(plant.url)} == set()
        assert tab.complaints == []


async def look_around(tab: Tab) -> None:
    for view in ("health", "connections", "values", "buffer", "config", "log"):
        for width, height in (PORTRAIT, LANDSCAPE):
            await tab.size(width, height)
            await go(tab, view)
            await fits(tab)
            shown = await tab.run("document.body.innerText")
            assert not re.search(r"\[object|undefined|NaN|\{\w+\}", shown), shown
    await go(tab, "config")
    text = await tab.wait_for("document.querySelector('pre.config').textContent")
    assert 'token: "***"' in text
    assert "oil_temperature" in text
    await go(tab, "log")
    await tab.wait_for("document.querySelector('.log').innerText.includes('started')")


async def values_are_live(tab: Tab) -> None:
    await go(tab, "values")
    first = await tab.wait_for(OIL)
    await tab.wait_for(f"{OIL} !== {first}")
    await search(tab, "온도")
    await tab.wait_for("document.querySelectorAll('.tag').length === 1")
    assert "온도" in await tab.run("document.querySelector('.tag').textContent")
    await search(tab, "")
    await tab.wait_for("document.querySelectorAll('.tag').length > 10")


async def a_trend_appears(tab: Tab) -> None:
    await tab.run("document.querySelector('[aria-label*=oil_temperature]').click()")
    drawn = "document.querySelector('.chart .line')?.getAttribute('d') ?? ''"
    first = await tab.wait_for(drawn)
    await tab.wait_for(f"({drawn}).length > {len(first)}")
    assert await tab.run(
        "[...document.querySelectorAll('.chart text')].some((each) => each.textContent === '°C')"
    )
    await fits(tab)


async def an_outage_shows(tab: Tab, plant: Site) -> None:
    await plant.plcs["oven"].kill()
    await go(tab, "health")
    await tab.wait_for("document.querySelector('.findings').innerText.includes('Connection oven')")
    assert await tab.run("document.querySelector('.banner').dataset.tone") == "bad"
    await go(tab, "connections")
    first = await tab.wait_for("document.querySelector('.connection h2')?.textContent")
    assert first == "oven", "ill ones come first"
    await go(tab, "values")
    await search(tab, "oven")
    await tab.wait_for("document.querySelector('#view').innerText.includes('bad: no answer')")
    await tab.run("document.querySelector('[aria-label*=power]').click()")
    await tab.wait_for("!!document.querySelector('.chart .fault')")


async def a_backlog_shows(tab: Tab, plant: Site) -> None:
    await plant.centre.kill()
    await go(tab, "buffer")
    await tab.wait_for("document.querySelector('.banner').innerText.includes('Not catching up')", 40)
    await fits(tab)
    await plant.centre.start()
    await plant.centre.ready()
    await tab.wait_for("document.querySelector('.banner').innerText.includes('Up to date')", 60)


async def it_speaks_korean(tab: Tab) -> None:
    await go(tab, "health")
    await tab.run("document.querySelector('#language').click()")
    await tab.wait_for("document.querySelector('#tabs').innerText.includes('현재 값')")
    assert await tab.run("document.documentElement.lang") == "ko"
    await tab.wait_for("document.querySelector('.findings').innerText.includes('연결 oven: 끊김')")
    await fits(tab)
    await tab.call("Page.reload")
    await tab.wait_for("document.querySelector('#tabs')?.innerText.includes('현재 값')")
    await tab.run("document.querySelector('#language').click()")
    await tab.wait_for("document.querySelector('#tabs').innerText.includes('Values')")


@pytest.mark.timeout(120)
async def test_a_korean_browser_gets_a_korean_page(tmp_path: Path) -> None:
    async with site(tmp_path) as plant, browser(tmp_path / "profile", "ko-KR") as tab:
        await tab.open(plant.url, *LANDSCAPE)
        await tab.wait_for("document.querySelector('#contact')?.textContent === '실시간'")
        await tab.dark(on=True)
        await fits(tab)
        assert tab.complaints == []
