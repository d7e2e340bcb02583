"""Units: the conversions that everyone gets wrong once, each in one place.

Inside the engine time is an integer number of nanoseconds and size an integer number of bytes. Rates are bytes/s or
FLOP/s. A network vendor's "Gb/s" is 10^9 bits, a memory vendor's "GB/s" is 10^9 bytes, an allocator's "GiB" is 2^30
bytes: no name in this project leaves the choice open.
"""

from __future__ import annotations

import math

NS_PER_S = 1_000_000_000
KIB = 2**10
MIB = 2**20
GIB = 2**30

FULL_RATE = 2**20
"""Work is counted in ns * 2^20: what nothing slows down does FULL_RATE units each nanosecond."""

DTYPE_BYTES = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "int8": 1}
"""Bytes of one stored element. tf32 is a compute mode: its operands are stored as fp32."""

_TEXT_SUFFIXES = (("GiB", GIB), ("MiB", MIB), ("KiB", KIB), ("B", 1))


def seconds_to_ns(seconds: float) -> int:
    """Seconds to integer nanoseconds, through 9 significant decimal digits.

    Values that passed through log or exp may differ in their last bits between platforms; nine digits are the same
    everywhere, so the nanoseconds are too. Halves round to even.
    """
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"a duration must be finite and not negative, got {seconds!r} s")
    return round(float(f"{seconds:.8e}") * NS_PER_S)


def ns_to_seconds(ns: int) -> float:
    """Integer nanoseconds to seconds."""
    return ns / NS_PER_S


def gbit_per_s(value: float) -> int:
    """A link's Gb/s (10^9 bits each second) as whole bytes/s: 400 Gb/s is 50e9 bytes/s."""
    return round(value * 1e9 / 8)


def format_bytes(count: int) -> str:
    """An exact text for a byte count: the largest binary unit that divides it ("25MiB", "4097B")."""
    for suffix, size in _TEXT_SUFFIXES:
        if count % size == 0 and count >= size:
            return f"{count // size}{suffix}"
    return "0B"


def parse_bytes(text: str) -> int:
    """The inverse of `format_bytes`. Raises ValueError for any other text."""
    for suffix, size in _TEXT_SUFFIXES:
        if text.endswith(suffix):
            digits = text[: -len(suffix)]
            if digits.isdecimal():
                return int(digits) * size
            break
    raise ValueError(f"{text!r} is not a byte count such as 25MiB or 4097B")
