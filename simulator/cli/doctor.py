"""`rehearse doctor`: what this machine can simulate, calibrate and execute. Imports none of what it looks for."""

from __future__ import annotations

import os
from typing import Any

from simulator.cli.output import Json, print_json

PACKAGES = ("simpy", "numpy", "networkx", "pandas", "pydantic", "typer", "rich", "PyYAML", "plotly", "jinja2")
EXTRAS = ("torch", "numba")
TORCH_VERBS = ("calibrate", "execute", "compare")
NVIDIA_SMI_TIMEOUT_S = 10


def doctor(as_json: Json = False) -> None:
    """Say what this machine can calibrate and execute."""
    found = examine()
    if as_json:
        print_json(found)
        return
    print(f"rehearse    {found['rehearse']} on Python {found['python']}, {found['platform']}")
    print(f"cores       {found['cores']}")
    print(f"memory      {_gib(found['memory_bytes'])}")
    print(f"GPUs        {', '.join(found['gpus']) or 'none'}")
    for name, text in found["packages"].items():
        print(f"{name:<11} {text or 'not installed'}")
    for ability, text in found["can"].items():
        print(f"{ability:<11} {text}")


def examine() -> dict[str, Any]:
    """The machine as plain data; what is not known is None."""
    import platform

    packages = {name: _version(name) for name in (*PACKAGES, *EXTRAS)}
    missing = [name for name in PACKAGES if packages[name] is None]
    return {
        "rehearse": _own_version(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "gpus": _gpus(),
        "packages": packages,
        "can": {
            "simulate": f"no: install {', '.join(missing)}" if missing else "yes",
            **{verb: "yes" if packages["torch"] else "no: install rehearse[torch]" for verb in TORCH_VERBS},
        },
    }


def _own_version() -> str:
    from simulator.version import __version__

    return __version__


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _gpus() -> list[str]:
    """GPUs as the driver's own tool names them; none where there is no tool or no driver."""
    import shutil
    import subprocess

    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        said = subprocess.run(
            [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT_S, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in said.stdout.splitlines() if line.strip()]


def _gib(count: int | None) -> str:
    return "not known" if count is None else f"{count / 2**30:.1f} GiB"
