"""Functions of a layer that torch.compile makes into kernels: norms, gates, activations, rotary positions.

Each is compiled by itself, in every process, at its first call: what the program launches between them (products,
collectives, halves of a backward pass) stays the interpreter's. So a residual and the norm of the next unit, which one
graph of a layer would join (`model/blocks/compiled.py`), are two kernels here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

from simulator.errors import ScenarioError

COMPILERS = ("g++", "clang++", "c++")
"""Of C++, which torch.compile generates for a CPU."""


@cache
def compiled(function: Callable) -> Callable:
    """The function, compiled at its first call for each kind of input."""
    import torch

    return torch.compile(function)


def check_compiles(backend: str) -> None:
    """Raises ScenarioError where this machine lacks what torch.compile generates code for."""
    if backend == "gloo" and not any(map(shutil.which, (os.environ.get("CXX") or COMPILERS[0], *COMPILERS))):
        raise ScenarioError(
            "torch.compile needs a C++ compiler and there is none here; install g++, or use software.compile false",
            key="software.compile",
        )
    if backend == "nccl" and find_spec("triton") is None:
        raise ScenarioError(
            "torch.compile needs triton, which is not installed; install it, or use software.compile false",
            key="software.compile",
        )
