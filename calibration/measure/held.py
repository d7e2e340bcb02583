"""Memory that a measuring process has in use: what its inputs lie in, not what its heap keeps for later."""

from __future__ import annotations

import ctypes
import os


class _Mallinfo(ctypes.Structure):
    """glibc's struct mallinfo2 (malloc.h, since 2.33)."""

    _fields_ = [(name, ctypes.c_size_t) for name in
                ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
                 "keepcost")]  # fmt: skip


def held_bytes() -> int:
    """Bytes that the main thread has allocated and not freed; where malloc does not say, what is resident (where a heap
    is kept, that hides what was freed); 0 where the system says neither."""
    if _mallinfo is not None:
        found = _mallinfo()
        return found.uordblks + found.hblkhd
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _of_glibc():
    try:
        function = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        return None
    function.argtypes, function.restype = (), _Mallinfo
    return function


_mallinfo = _of_glibc()
