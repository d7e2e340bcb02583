"""Ctrl-C for a test's children, whatever started the tests."""

import signal
import time
from pathlib import Path


def hears_ctrl_c() -> None:
    """For `preexec_fn`: a shell starts what runs in its background with Ctrl-C ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def until_it_reads_a_pipe(pid: int, at_most_s: float = 30.0) -> None:
    """Returns when the process stands in a read of a pipe (Linux says so), however busy the machine is."""
    ends = time.monotonic() + at_most_s
    while "pipe_read" not in Path(f"/proc/{pid}/wchan").read_text() and time.monotonic() < ends:
        time.sleep(0.05)
