"""Inputs that are dropped make room for others, although the heap of a measuring process is never given back."""

import subprocess
import sys

import pytest

pytest.importorskip("torch")

from simulator.executor.environment import rank_environment

PROGRAM = """
import torch
from calibration.measure.held import held_bytes
SIZE = 64 * 2**20
torch.ones(4 * SIZE // 4)  # the heap keeps it
before = held_bytes()
made = torch.ones(SIZE // 4)
between = held_bytes()
del made
print(between - before, held_bytes() - before, SIZE)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_memory_that_was_freed_is_not_held_and_memory_that_is_taken_again_is():
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=rank_environment(2), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    taken, left, size = map(int, run.stdout.split())
    assert size <= taken <= 1.01 * size and abs(left) <= 0.01 * size
