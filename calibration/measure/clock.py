"""How a call is timed: by the host's clock where the host computes, by events on the device's own stream elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable


class HostClock:
    """For kernels that are over when their call returns (a CPU)."""

    def time_ns(self, call: Callable[[], object], calls: int = 1) -> int:
        """ns of so many calls in a row."""
        start = time.perf_counter_ns()
        for _ in range(calls):
            call()
        return time.perf_counter_ns() - start

    def wait(self) -> None:
        """Returns when the device is idle: at once."""

    def finish(self) -> None:
        """Returns when the kernels are over that were launched here: at once."""


class DeviceClock:
    """For kernels of a CUDA stream: device events, so that the host's launch counts only where the device waits for it.

    Not yet run on a GPU.
    """

    def __init__(self):
        import torch

        self._torch = torch
        self._begin, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def time_ns(self, call: Callable[[], object], calls: int = 1) -> int:
        """ns of so many calls in a row."""
        self._begin.record()
        for _ in range(calls):
            call()
        self._end.record()
        self._end.synchronize()
        return round(self._begin.elapsed_time(self._end) * 1e6)

    def wait(self) -> None:
        """Returns when the device is idle."""
        self._torch.cuda.synchronize()

    def finish(self) -> None:
        """Returns when the kernels are over that were launched here, whatever other streams still copy or send."""
        self._torch.cuda.current_stream().synchronize()


Clock = HostClock | DeviceClock


def make_clock(device: str) -> Clock:
    """The clock of a device: cpu or cuda."""
    return DeviceClock() if device == "cuda" else HostClock()
