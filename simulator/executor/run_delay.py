"""How long the calling thread could have run and had no core: what a step lost to whatever else the machine does."""

from __future__ import annotations

import os


class RunDelay:
    """ns since the thread began, from Linux's scheduler statistics; 0 where the system does not say."""

    def __init__(self) -> None:
        try:
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        except OSError:
            self._file = -1

    def __call__(self) -> int:
        if self._file < 0:
            return 0
        return int(os.pread(self._file, 64, 0).split()[1])

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        self.close()
