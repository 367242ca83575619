from pathlib import Path

import pytest

from edge_agent.runtime import host
from edge_agent.runtime.host import CpuTimes, HostMeter, Memory

STAT = """cpu  1000 200 300 8000 400 10 20 30 500 60
cpu0 500 100 150 4000 200 5 10 15 250 30
intr 12345 0
"""
MEMINFO = """MemTotal:        8000000 kB
MemFree:          500000 kB
MemAvailable:    6000000 kB
HugePages_Total:       0
"""
ROLLUP = """55d5c0000000-7ffd00000000 ---p 00000000 00:00 0                          [rollup]
Rss:               60000 kB
Pss:               41000 kB
Pss_Anon:          30000 kB
"""
STATUS = """Name:\tedge-agent
VmHWM:\t   70000 kB
VmRSS:\t   60000 kB
"""


def test_guest_time_is_not_counted_twice_and_disk_waits_are_idle() -> None:
    assert host.parse_cpu(STAT) == CpuTimes(busy=1560, total=9960)


@pytest.mark.parametrize("text", ["", "intr 5\n", "cpu 1 2\n", "cpu a b c d\n"])
def test_an_unreadable_stat_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        host.parse_cpu(text)


def test_memory_is_in_bytes() -> None:
    assert host.parse_memory(MEMINFO) == Memory(8_192_000_000, 6_144_000_000)
    with pytest.raises(ValueError, match="MemAvailable"):
        host.parse_memory("MemTotal: 1 kB\n")


def test_the_share_of_a_process_is_preferred_to_its_resident_size() -> None:
    assert host.parse_process_memory(ROLLUP) == 41_984_000
    assert host.parse_process_memory(STATUS) == 61_440_000
    with pytest.raises(ValueError):
        host.parse_process_memory("Name: x\n")


class Machine:
    """A /proc of files, and clocks that the test sets."""

    def __init__(self, proc: Path) -> None:
        self.proc = proc
        self.now = 100.0
        self.process = 5.0
        (proc / "self").mkdir()
        (proc / "stat").write_text(STAT)
        (proc / "meminfo").write_text(MEMINFO)
        (proc / "self/smaps_rollup").write_text(ROLLUP)
        (proc / "self/status").write_text(STATUS)
        self.meter = HostMeter(
            proc, proc=proc, monotonic=lambda: self.now, process_seconds=lambda: self.process
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_cpu_figures_are_means_since_the_reading_before(machine: Machine) -> None:
    first = machine.meter.read()
    assert (first.cpu_percent, first.process_cpu_percent) == (None, None)
    machine.now, machine.process = 110.0, 5.5
    # 250 of 1,000 ticks more were busy
    (machine.proc / "stat").write_text("cpu  1250 200 300 8750 400 10 20 30 500 60\n")
    second = machine.meter.read()
    assert second.cpu_percent == 25.0
    assert second.process_cpu_percent == 5.0
    assert second.memory_bytes == 2_048_000_000
    assert second.memory_total_bytes == 8_192_000_000
    assert second.process_memory_bytes == 41_984_000
    assert second.disk_total_bytes
    assert second.disk_free_bytes
    assert second.load_1m is not None


def test_readers_that_come_at_once_share_a_reading(machine: Machine) -> None:
    first = machine.meter.read()
    machine.now += 4.9
    assert machine.meter.read() is first
    machine.now += 0.1
    assert machine.meter.read() is not first


def test_what_a_sandbox_hides_is_not_known(machine: Machine) -> None:
    for name in ("stat", "meminfo", "self/smaps_rollup"):
        (machine.proc / name).unlink()
    report = machine.meter.read()
    assert report.memory_bytes is None
    assert report.memory_total_bytes is None
    assert report.process_memory_bytes == 61_440_000


def test_this_machine_can_be_read() -> None:
    report = HostMeter(Path("/"), least_seconds=0).read()
    assert report.memory_total_bytes
    assert report.process_memory_bytes
    assert report.process_memory_bytes < report.memory_total_bytes


def test_the_machine_id_is_derived_and_stays(tmp_path: Path) -> None:
    source, fallback = tmp_path / "machine-id", tmp_path / "kept"
    source.write_text("0123456789abcdef0123456789abcdef\n")
    first = host.machine_id(fallback, source)
    assert first == host.machine_id(fallback, source)
    assert len(first) == 32
    assert first != "0123456789abcdef0123456789abcdef"
    assert not fallback.exists()
    source.write_text("1123456789abcdef0123456789abcdef\n")
    assert host.machine_id(fallback, source) != first


@pytest.mark.parametrize("content", [None, "", "uninitialized\n", "0" * 32])
def test_a_machine_without_an_id_gets_one_that_it_keeps(tmp_path: Path, content: str | None) -> None:
    source, fallback = tmp_path / "machine-id", tmp_path / "kept"
    if content is not None:
        source.write_text(content)
    first = host.machine_id(fallback, source)
    assert len(first) == 32
    assert host.machine_id(fallback, source) == first
    assert host.machine_id(tmp_path / "another", source) != first


def test_the_boot_id_is_the_kernels(tmp_path: Path) -> None:
    random = tmp_path / "sys/kernel/random"
    random.mkdir(parents=True)
    (random / "boot_id").write_text("01234567-89ab-cdef-0123-456789abcdef\n")
    assert host.boot_id(proc=tmp_path) == "0123456789abcdef0123456789abcdef"


def test_a_hidden_boot_id_is_replaced_by_one_in_memory(tmp_path: Path) -> None:
    fallback = tmp_path / "boot-id"
    assert host.boot_id(fallback, proc=tmp_path) == host.boot_id(fallback, proc=tmp_path)
    assert host.boot_id(proc=tmp_path) != host.boot_id(proc=tmp_path)
