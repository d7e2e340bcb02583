"""What the operating system says about this machine: the facts that stand beside a measurement. Nothing is set."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from simulator.errors import ScenarioError
from simulator.executor.environment import num_cores, rank_settings

SMI_FIELDS = ("name", "memory.total", "driver_version", "clocks.sm", "clocks.mem", "power.limit")
SMI_TIMEOUT_S = 10

UNCONFIRMED = "nobody has checked this way of measuring, kernels and NCCL, on a GPU"
"""Said in the profile and at the end of a calibration of a CUDA device, until somebody has."""

ONE_GPU = "one GPU sends nothing, so that prices of collectives are assumed (NCCL refuses two ranks on it)"


def describe(device: str, torch_facts: dict, share: int) -> dict:
    """Facts for the profile's `machine`: processor, cores, memory, versions, settings and load at this moment.

    share: ranks that share the cores.
    """
    found = {
        "processor": processor(),
        "cores": num_cores(),
        "clock_mhz": clock_mhz(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        **{key: value for key, value in torch_facts.items() if key != "ready"},
        "settings": rank_settings(share),
        "load_before": round(os.getloadavg()[0], 2),
    }
    if device == "cuda":
        found["gpu"] = _gpu()
        found["unconfirmed"] = UNCONFIRMED if share > 1 else f"{UNCONFIRMED}; {ONE_GPU}"
    return found


def processor() -> str:
    """The processor's name as the system knows it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def clock_mhz() -> float | None:
    """The first core's clock at this moment as the system says it; None where it does not. Read, never set."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("cpu MHz"):
                return round(float(line.partition(":")[2]))
    except (OSError, ValueError):
        pass
    return None


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def load() -> float:
    """Processes that want a core, averaged over the last minute."""
    return round(os.getloadavg()[0], 2)


def _gpu() -> dict:
    """What the driver's own tool says; empty where it is not there."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {}
    try:
        said = subprocess.run(
            [tool, f"--query-gpu={','.join(SMI_FIELDS)}", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=SMI_TIMEOUT_S, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return {}
    values = said.stdout.strip().splitlines()[0].split(", ") if said.stdout.strip() else []
    return dict(zip(SMI_FIELDS, values, strict=False))


def num_gpus() -> int:
    """GPUs that the driver's tool lists; 0 without a driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    try:
        said = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=SMI_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in said.stdout.splitlines())


GPU_NAMES = {"A100-SXM4-80GB": "a100_sxm4_80gb", "A100-SXM4-40GB": "a100_sxm4_40gb", "H100 80GB": "h100_sxm5_80gb",
             "H200": "h200_sxm_141gb", "B200": "b200_sxm_180gb", "V100-SXM3-32GB": "v100_sxm3_32gb"}  # fmt: skip
"""Part of the driver's name -> the device of `topologies/devices.py`."""


def gpu_device() -> str:
    """The known device that the first GPU is. Raises ScenarioError for one whose datasheet is not here."""
    name = _gpu().get("name", "")
    for part, device in GPU_NAMES.items():
        if part in name:
            return device
    raise ScenarioError(
        f"the datasheet of {name!r} is not among the devices; add it to topologies/devices.py", key="--device"
    )
