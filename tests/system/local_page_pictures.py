"""Makes the pictures of docs/local-page.md: `python -m tests.system.local_page_pictures docs/images`."""

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.system.browser import Tab, browser
from tests.system.local_page_site import LANDSCAPE, PORTRAIT, Site, go, site

# A trend needs something to show.
RUN_SECONDS = 100
OUTAGE_SECONDS = 20
# Rates are reckoned over some looks.
LOOK_SECONDS = 6


async def make(target: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        async with site(directory) as plant, browser(directory / "profile", "en-US") as tab:
            await tab.open(plant.url, *LANDSCAPE)
            await tab.wait_for("document.querySelector('#device')?.textContent")
            await run_for_a_while(plant)
            await views(tab, target, "en")
            await trend(tab, target, "en")
            await plant.plcs["oven"].kill()
            await tab.run("document.querySelector('#language').click()")
            await trend(tab, target, "ko")
            await views(tab, target, "ko")
            await tab.dark(on=True)
            await tab.size(*PORTRAIT)
            await trend(tab, target, "dark")


async def run_for_a_while(plant: Site) -> None:
    """With an outage of the oven on the way."""
    await asyncio.sleep(RUN_SECONDS / 2)
    await plant.plcs["oven"].kill()
    await asyncio.sleep(OUTAGE_SECONDS)
    await plant.plcs["oven"].start()
    await plant.plcs["oven"].ready()
    await asyncio.sleep(RUN_SECONDS / 2)


async def views(tab: Tab, target: Path, language: str) -> None:
    for view in ("health", "connections", "buffer"):
        await go(tab, view)
        await asyncio.sleep(LOOK_SECONDS)
        await tab.picture(target / f"local-page-{view}-{language}.png")


async def trend(tab: Tab, target: Path, language: str) -> None:
    await go(tab, "values")
    tag = "[aria-label*='온도']" if language == "ko" else "[aria-label*=oil_temperature]"
    await tab.wait_for(f"!!document.querySelector({tag!r})")
    await tab.run(f"document.querySelector({tag!r}).click()")
    await tab.wait_for("document.querySelector('.chart .line')?.getAttribute('d')")
    await asyncio.sleep(LOOK_SECONDS)
    await tab.picture(target / f"local-page-trend-{language}.png")


if __name__ == "__main__":
    asyncio.run(make(Path(sys.argv[1])))
