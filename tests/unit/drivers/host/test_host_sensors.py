"""Parsers of /sys: names of sensors, what is not a temperature, and meters that go round."""

from edge_agent.drivers.host import sensors
from edge_agent.drivers.host.figures import NOT_YET, Bad, Glance
from edge_agent.wire.quality import Quality

HW = "sys/class/hwmon"


def test_chips_with_and_without_labels_and_two_of_a_kind() -> None:
    texts = {
        f"{HW}/hwmon0/name": "coretemp\n", f"{HW}/hwmon0/temp1_input": "45000\n",
        f"{HW}/hwmon0/temp1_label": "Package id 0\n", f"{HW}/hwmon0/temp2_input": "44500\n",
        f"{HW}/hwmon0/temp2_label": "Core 0\n",
        f"{HW}/hwmon2/name": "nvme\n", f"{HW}/hwmon2/temp1_input": "38850\n",
        f"{HW}/hwmon2/temp1_label": "Composite\n",
        f"{HW}/hwmon10/name": "nvme\n", f"{HW}/hwmon10/temp1_input": "-256000\n",
    }  # fmt: skip
    refused = {f"{HW}/hwmon10/temp2_input": Bad(Quality.BAD_DEVICE, "No data available")}
    assert sensors.hwmon(Glance(0, texts, refused), None) == {
        "temp:coretemp/Package id 0": 45.0,
        "temp:coretemp/Core 0": 44.5,
        "temp:nvme/Composite": 38.85,
        "temp:nvme#2/temp1": Bad(Quality.BAD_DEVICE, "the sensor says -256 °C"),
        "temp:nvme#2/temp2": Bad(Quality.BAD_DEVICE, "No data available"),
    }


def test_thermal_zones() -> None:
    zone = "sys/class/thermal/thermal_zone"
    texts = {
        f"{zone}0/type": "x86_pkg_temp\n", f"{zone}0/temp": "51000\n",
        f"{zone}1/type": "acpitz\n", f"{zone}1/temp": "soon\n", f"{zone}2/type": "acpitz\n",
    }  # fmt: skip
    assert sensors.thermal(Glance(0, texts), None) == {
        "temp:thermal/x86_pkg_temp": 51.0,
        "temp:thermal/acpitz": Bad(Quality.BAD_DEVICE, "the sensor says 'soon'"),
    }


def test_frequencies_and_their_mean() -> None:
    path = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq"
    texts = {path.format(core): f"{khz}\n" for core, khz in ((0, 1_000_000), (10, 3_000_000), (2, 2_000_000))}
    assert sensors.frequencies(Glance(0, texts), None) == {
        "cpu:0:frequency": 1000, "cpu:2:frequency": 2000, "cpu:10:frequency": 3000, "cpu:frequency": 2000,
    }  # fmt: skip


def test_links() -> None:
    net = "sys/class/net"
    texts = {
        f"{net}/eth0/operstate": "up\n", f"{net}/eth0/carrier": "1\n", f"{net}/eth0/speed": "1000\n",
        f"{net}/eth1/operstate": "down\n", f"{net}/eth1/speed": "-1\n",
        f"{net}/lo/operstate": "unknown\n", f"{net}/lo/carrier": "1\n",
    }  # fmt: skip
    assert sensors.links(Glance(0, texts), None) == {
        "net:eth0:link": 1, "net:eth0:speed": 1000, "net:eth1:link": 0,
        "net:eth1:speed": Bad(Quality.BAD_DEVICE, "there is no link"), "net:lo:link": 1,
    }  # fmt: skip


CAP = "sys/class/powercap"


def rapl(at: float, package: int, core: int) -> Glance:
    return Glance(
        at,
        {
            f"{CAP}/intel-rapl/name": "top\n",
            f"{CAP}/intel-rapl:0/name": "package-0\n", f"{CAP}/intel-rapl:0/energy_uj": f"{package}\n",
            f"{CAP}/intel-rapl:0/max_energy_range_uj": "262143328850\n",
            f"{CAP}/intel-rapl:0:0/name": "core\n", f"{CAP}/intel-rapl:0:0/energy_uj": f"{core}\n",
            f"{CAP}/intel-rapl:0:0/max_energy_range_uj": "262143328850\n",
        },
    )  # fmt: skip


def test_meters_of_energy_become_power() -> None:
    assert sensors.power(rapl(1.0, 5, 5), None) == {
        "power:package-0": NOT_YET,
        "power:package-0/core": NOT_YET,
    }
    found = sensors.power(rapl(3.0, 30_000_005, 10_000_005), rapl(1.0, 5, 5))
    assert found == {"power:package-0": 15.0, "power:package-0/core": 5.0}


def test_a_meter_that_goes_round_and_one_that_was_reset() -> None:
    found = sensors.power(rapl(3.0, 10_000_000, 5), rapl(1.0, 262_133_328_850, 100_000_000_000))
    assert found["power:package-0"] == 10.0
    core = found["power:package-0/core"]
    assert isinstance(core, Bad)
    assert core.quality is Quality.UNCERTAIN


def test_a_meter_for_root_alone_is_named() -> None:
    why = Bad(Quality.BAD_CONFIG, "root alone")
    glance = Glance(0, {f"{CAP}/intel-rapl:0/name": "package-0\n"}, {f"{CAP}/intel-rapl:0/energy_uj": why})
    assert sensors.power(glance, None) == {"power:package-0": why}
