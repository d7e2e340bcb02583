"""Numbers as people read them: three significant digits and a unit that fits, in one place.

Every function takes SI (seconds, bytes, 1/s) and returns text; None, "not known", becomes `UNKNOWN`.
"""

from __future__ import annotations

import math

from simulator.units import GIB, KIB, MIB

UNKNOWN = "n/a"

_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_LARGE = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"))
_BINARY = ((2**50, "PiB"), (2**40, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"))
_PLAIN_LIMIT = 1e6


def significant(value: float, digits: int = 3) -> str:
    """`value` with so many significant digits, thousands separated, never in exponent form: 1,230, 12.3, 0.00123.

    Digits before the point are never replaced by zeros: 123456 stays 123,456.
    """
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    decimals = max(0, digits - 1 - exponent)
    if float(f"{abs(value):.{decimals}f}") >= 10 ** (exponent + 1):  # 9.996 rounds to 10.0, not 10.00
        decimals = max(0, decimals - 1)
    return f"{value:,.{decimals}f}"


def _scaled(value: float, table: tuple[tuple[float, str], ...], last: tuple[float, str]) -> str:
    """`value` in the largest unit of which it holds at least one, after rounding."""
    for size, unit in table:
        if abs(float(f"{value / size:.2e}")) >= 1:
            return f"{significant(value / size)} {unit}"
    size, unit = last
    return f"{significant(value / size)} {unit}".rstrip()


def duration(seconds: float | None) -> str:
    """13.7 s, 412 ms, 8.31 us, 12 ns; from two minutes on 2 min 5 s, from two hours on 3 h 20 min."""
    if seconds is None:
        return UNKNOWN
    if seconds == 0:
        return "0 s"
    if seconds < 0:
        return "-" + duration(-seconds)
    if round(seconds) >= 7200:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"
    if round(seconds) >= 120:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    if seconds < 0.9995e-6:
        return f"{significant(seconds * 1e9)} ns" if seconds * 1e9 % 1 else f"{round(seconds * 1e9)} ns"
    return _scaled(seconds, _SECONDS, _SECONDS[-1])


def bytes_text(count: float | None) -> str:
    """80.0 GiB, 512 MiB, 96 B; binary units, as memory is sold and limited."""
    if count is None:
        return UNKNOWN
    if abs(count) < KIB:
        return f"{count:,.0f} B"
    return _scaled(count, _BINARY, (KIB, "KiB"))


def quantity(value: float | None) -> str:
    """9,561, 4.67, 1.23 M, 175 G: a count or a rate, without its unit."""
    if value is None:
        return UNKNOWN
    if abs(float(f"{value:.2e}")) < _PLAIN_LIMIT:
        return significant(value)
    return _scaled(value, _LARGE, (1.0, ""))


def rate(value: float | None, unit: str) -> str:
    """4.67 samples/s, 1.23 M samples/s."""
    return UNKNOWN if value is None else f"{quantity(value)} {unit}"


def flops_per_s(value: float | None) -> str:
    """160 TFLOP/s: floating-point operations each second."""
    if value is None:
        return UNKNOWN
    return _with_prefix(value, "FLOP/s")


def bytes_per_s(value: float | None) -> str:
    """25.0 GB/s: decimal units, as links are sold."""
    return UNKNOWN if value is None else _with_prefix(value, "B/s")


def _with_prefix(value: float, unit: str) -> str:
    number, _, prefix = quantity(value).partition(" ")
    return f"{number} {prefix}{unit}"


def percent(share: float | None) -> str:
    """A share of one as a percentage: 51.2 %, 0 %, < 0.1 %."""
    if share is None:
        return UNKNOWN
    if share == 0:
        return "0 %"
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return f"{share * 100:.1f} %"


def parameters(count: int) -> str:
    """175 billion, 8.03 billion, 120 million, 9,408: parameters or table rows in words."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if float(f"{count:.2e}") >= size:
            return f"{significant(count / size)} {word}"
    return f"{count:,}"


def time_axis(span_s: float) -> tuple[float, str]:
    """(factor, unit) that turns seconds into the axis unit of a span: (1e3, "ms") for a step of half a second."""
    for size, unit in _SECONDS:
        if span_s >= size:
            return 1 / size, unit
    return 1e9, "ns"


def reads_as_number(text: str) -> bool:
    """Whether a cell is a number, with its unit if it has one: 13.7 s, +51 %, < 0.1 %, n/a; an empty one may be.

    25 Gb/s a node is a network's name.
    """
    bare = text.removeprefix("<").strip().lstrip("+-")
    return text in (UNKNOWN, "") or (bare[:1].isdigit() and " a " not in bare)
