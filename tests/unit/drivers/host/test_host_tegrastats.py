"""Lines of tegrastats as the boards write them: every figure by the exporter's name, and nothing else."""

import pytest

from edge_agent.drivers.host.tegrastats import parse

ORIN = (
    "RAM 2636/30536MB (lfb 6423x4MB) SWAP 0/15268MB (cached 0MB) CPU [22%@729,0%@1190,off,off] "
    "EMC_FREQ 1%@2133 GR3D_FREQ 0%@[611,0] VIC_FREQ 115 APE 174 CV0@-256C CPU@46.781C Tboard@35C "
    "SOC2@43.312C tj@46.781C GPU@-256C VDD_GPU_SOC 3176mW/3176mW VDD_CPU_CV 794mW/800mW NC 0mW/0mW "
    "VDDQ_VDD2_1V8AO 604mW/604mW"
)
XAVIER = (
    "RAM 1742/6854MB (lfb 1x512kB) SWAP 479/3427MB (cached 3MB) CPU [22%@1190,67%@1190,off,off,off,off] "
    "EMC_FREQ 0%@1600 GR3D_FREQ 0%@[510] VIC_FREQ 0%@115 APE 150 AUX@36.5C CPU@38C thermal@37.15C AO@36C "
    "GPU@36.5C PMIC@50C VDD_IN 5079mW/5079mW VDD_CPU_GPU_CV 573mW/573mW VDD_SOC 1355mW/1355mW"
)
NANO = (
    "RAM 1093/3956MB (lfb 214x4MB) SWAP 0/1978MB (cached 0MB) IRAM 0/252kB(lfb 252kB) "
    "CPU [22%@518,67%@518,off,off] EMC_FREQ 0% GR3D_FREQ 0%@76 APE 25 PLL@31C CPU@33C PMIC@100C GPU@31.5C "
    "AO@38.5C thermal@32.25C POM_5V_IN 2003/2003 POM_5V_GPU 41/45 POM_5V_CPU 455/455"
)


def test_orin() -> None:
    assert parse(ORIN) == {
        "ram_used_mb": 2636, "ram_total_mb": 30536, "ram_used_percent": 8.632, "lfb_blocks": 6423,
        "lfb_size_mb": 4, "swap_used_mb": 0, "swap_total_mb": 15268, "swap_used_percent": 0,
        "swap_cached_mb": 0, "cpu_core0_usage_percent": 22, "cpu_core0_freq_mhz": 729, "cpu_core0_status": 1,
        "cpu_core1_usage_percent": 0, "cpu_core1_freq_mhz": 1190, "cpu_core1_status": 1,
        "cpu_core2_status": 0, "cpu_core3_status": 0, "cpu_active_cores": 2, "cpu_avg_usage_percent": 11,
        "emc_usage_percent": 1, "emc_freq_mhz": 2133, "gpu_usage_percent": 0, "gpu_freq0_mhz": 611,
        "gpu_freq1_mhz": 0, "vic_freq_mhz": 115, "ape_freq_mhz": 174, "temp_cpu_celsius": 46.781,
        "temp_tboard_celsius": 35, "temp_soc2_celsius": 43.312, "temp_tj_celsius": 46.781,
        "power_vdd_gpu_soc_watts": 3.176, "power_vdd_gpu_soc_avg_watts": 3.176,
        "power_vdd_cpu_cv_watts": 0.794, "power_vdd_cpu_cv_avg_watts": 0.8,
        "power_vddq_vdd2_1v8ao_watts": 0.604, "power_vddq_vdd2_1v8ao_avg_watts": 0.604,
    }  # fmt: skip


def test_xavier() -> None:
    found = parse(XAVIER)
    assert (found["swap_used_mb"], found["swap_total_mb"], found["swap_cached_mb"]) == (479, 3427, 3)
    assert (found["gpu_usage_percent"], found["gpu_freq0_mhz"]) == (0, 510)
    assert "gpu_freq1_mhz" not in found
    assert (found["power_vdd_in_watts"], found["vic_freq_mhz"]) == (5.079, 115)
    assert (found["cpu_active_cores"], found["cpu_avg_usage_percent"]) == (2, 44.5)
    assert found["cpu_core5_status"] == 0


def test_nano() -> None:
    found = parse(NANO)
    assert (found["iram_used_kb"], found["iram_total_kb"], found["iram_lfb_kb"]) == (0, 252, 252)
    assert (found["gpu_usage_percent"], found["gpu_freq0_mhz"]) == (0, 76)
    assert found["emc_usage_percent"] == 0
    assert "emc_freq_mhz" not in found
    assert (found["power_pom_5v_in_watts"], found["power_pom_5v_gpu_avg_watts"]) == (2.003, 0.045)
    assert found["temp_thermal_celsius"] == 32.25


def test_a_line_with_a_date_before_it() -> None:
    assert parse(f"11-21-2026 14:00:00 {NANO}") == parse(NANO)


@pytest.mark.parametrize(
    "line", ["", "tegrastats: command not found", "RAM", "CPU []", "NC 0mW/0mW", "X@-256C"]
)
def test_other_lines_give_nothing(line: str) -> None:
    assert parse(line) == {}
