"""One line of NVIDIA's tegrastats, as Orin, Xavier and Nano write it. Pure.

Names are those of the edge-metrics exporter without `jetson_`. What a board does not have is not there.
"""

import re
from typing import Final

from edge_agent.drivers.host.figures import Figures, percent

_RAM: Final = re.compile(r"\bRAM (\d{1,9})/(\d{1,9})MB(?: \(lfb (\d{1,6})x(\d{1,6})MB\))?")
_SWAP: Final = re.compile(r"\bSWAP (\d{1,9})/(\d{1,9})MB(?: \(cached (\d{1,9})MB\))?")
_IRAM: Final = re.compile(r"\bIRAM (\d{1,9})/(\d{1,9})kB ?(?:\(lfb (\d{1,9})kB\))?")
_CPU: Final = re.compile(r"\bCPU \[([^\]]{1,2000})\]")
_CORE: Final = re.compile(r"(\d{1,3})%@(\d{1,6})")
_EMC: Final = re.compile(r"\bEMC_FREQ (\d{1,3})%(?:@(\d{1,6}))?")
_GPU: Final = re.compile(r"\bGR3D_FREQ (\d{1,3})%(?:@(?:\[([\d,]{1,100})\]|(\d{1,6})))?")
_CLOCK: Final = re.compile(r"\b(VIC_FREQ|VIC|APE) (?:(\d{1,3})%@)?(\d{1,6})(?=\s|$)")
_TEMPERATURE: Final = re.compile(r"(?<!\S)([A-Za-z][\w-]{0,30})@(-?\d{1,4}(?:\.\d{1,6})?)C(?=\s|$)")
# Milliwatts now and on average; the Nano writes no unit.
_RAIL: Final = re.compile(r"(?<!\S)([A-Z][A-Z0-9_]{1,40}) (\d{1,7})(?:mW)?/(\d{1,7})(?:mW)?(?=\s|$)")
_NOT_CONNECTED: Final = "NC"
_COLDEST: Final = -100.0
LONGEST_LINE: Final = 8_192


def parse(line: str) -> Figures:
    """By name. Never raises; empty for a line of something else."""
    text = line[:LONGEST_LINE]
    return {**_memory(text), **_cores(text), **_clocks(text), **_temperatures(text), **_rails(text)}


def _memory(text: str) -> Figures:
    found: Figures = {}
    if match := _RAM.search(text):
        found |= {"ram_used_mb": int(match[1]), "ram_total_mb": int(match[2])}
        found["ram_used_percent"] = percent(int(match[1]), int(match[2]))
        if match[3]:
            found |= {"lfb_blocks": int(match[3]), "lfb_size_mb": int(match[4])}
    if match := _SWAP.search(text):
        found |= {"swap_used_mb": int(match[1]), "swap_total_mb": int(match[2])}
        found["swap_used_percent"] = percent(int(match[1]), int(match[2]))
        if match[3]:
            found["swap_cached_mb"] = int(match[3])
    if match := _IRAM.search(text):
        found |= {"iram_used_kb": int(match[1]), "iram_total_kb": int(match[2])}
        if match[3]:
            found["iram_lfb_kb"] = int(match[3])
    return found


def _cores(text: str) -> Figures:
    match = _CPU.search(text)
    if match is None:
        return {}
    found: Figures = {}
    usages: list[int] = []
    for core, word in enumerate(match[1].split(",")):
        place = f"cpu_core{core}"
        if active := _CORE.fullmatch(word.strip()):
            usages.append(int(active[1]))
            found |= {f"{place}_usage_percent": usages[-1], f"{place}_freq_mhz": int(active[2])}
        elif word.strip() != "off":
            continue
        found[f"{place}_status"] = int(active is not None)
    found["cpu_active_cores"] = len(usages)
    if usages:
        found["cpu_avg_usage_percent"] = sum(usages) / len(usages)
    return found


def _clocks(text: str) -> Figures:
    found: Figures = {}
    if match := _EMC.search(text):
        found["emc_usage_percent"] = int(match[1])
        if match[2]:
            found["emc_freq_mhz"] = int(match[2])
    if match := _GPU.search(text):
        found["gpu_usage_percent"] = int(match[1])
        words = (match[2] or match[3] or "").split(",")
        found |= {f"gpu_freq{place}_mhz": int(word) for place, word in enumerate(words) if word}
    for match in _CLOCK.finditer(text):
        name = "ape" if match[1] == "APE" else "vic"
        found[f"{name}_freq_mhz"] = int(match[3])
    return found


def _temperatures(text: str) -> Figures:
    return {
        f"temp_{name.lower()}_celsius": float(degrees)
        for name, degrees in _TEMPERATURE.findall(text)
        if float(degrees) >= _COLDEST
    }


def _rails(text: str) -> Figures:
    found: Figures = {}
    for rail, now, average in _RAIL.findall(text):
        # RAM, SWAP and IRAM end in their unit, so that they are no rails.
        if rail != _NOT_CONNECTED:
            found[f"power_{rail.lower()}_watts"] = int(now) / 1000
            found[f"power_{rail.lower()}_avg_watts"] = int(average) / 1000
    return found
