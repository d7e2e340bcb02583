"""Which rows a batch of ids touches: expected distinct ids, and the share of lookups that the hottest rows serve.

A bounded Zipf table has P(r) = r^-alpha / H, r = 1 .. rows. Sums over up to 10^9 rows are exact for the first HEAD
ranks and an integral beyond them (Simpson in log r between half-integers; the midpoint rule's own error is of order
f''/24, far below 10^-6 at rank 1,000). Results keep 9 significant digits, so that they are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import exp, expm1, log, log1p

from simulator.model.spec import Table, UniformIds, ZipfIds

HEAD = 1000
PANELS = 2000

Ids = UniformIds | ZipfIds


def kept_rows(table: Table) -> int:
    """Rows of a table in device memory, the most frequent ones: all, or its `cache_fraction` of placement host."""
    return _kept(table.rows, table.cache_fraction or 0.0) if table.placement == "host" else table.rows


def _kept(rows: int, fraction: float) -> int:
    return int(rows * fraction)


@lru_cache(maxsize=1024)
def expected_unique(ids: Ids, rows: int, draws: int) -> float:
    """Expected number of distinct rows among `draws` independent ids: the sum over rows of 1 - (1 - p)^draws."""
    if ids.kind == "uniform":
        return _rounded(-rows * expm1(draws * log1p(-1 / rows))) if rows > 1 else float(min(draws, 1))
    total = _mass(ids.alpha, rows)

    def seen(rank: float) -> float:
        p = rank**-ids.alpha / total
        return -expm1(draws * log1p(-p)) if p < 1 else float(min(draws, 1))

    return _rounded(_sum(seen, rows))


@lru_cache(maxsize=1024)
def dealt_shares(ids: Ids, rows: int, owners: int, draws: int = 0, most: int = 8) -> tuple[float, ...]:
    """Of rows that are dealt out one by one over owners, the share of the ids that falls on each of the first `most`
    owners; of uniform ones none: all have the same. draws: of the distinct ids among so many; 0: of all ids.

    Beyond HEAD ranks owners have alike: what one has more than the next is at most the probability of one such row.
    """
    if ids.kind == "uniform" or owners == 1:
        return ()
    total = _mass(ids.alpha, rows)

    def asked(rank: float) -> float:
        p = rank**-ids.alpha / total
        return p if not draws else -expm1(draws * log1p(-p)) if p < 1 else 1.0

    head = [asked(float(rank)) for rank in range(1, min(rows, HEAD) + 1)]
    whole = _sum(asked, rows)
    tail = (whole - sum(head)) / owners
    return tuple(_rounded((sum(head[place::owners]) + tail) / whole) for place in range(min(owners, most)))


@lru_cache(maxsize=1024)
def hit_rate(ids: Ids, rows: int, fraction: float) -> float:
    """Share of lookups that fall on the most frequent `fraction` of the rows."""
    kept = _kept(rows, fraction)
    if ids.kind == "uniform":
        return kept / rows
    return _rounded(_mass(ids.alpha, kept) / _mass(ids.alpha, rows)) if kept else 0.0


def unique_outside(ids: Ids, rows: int, draws: int, fraction: float) -> float:
    """Expected distinct ids among `draws` that are not of the most frequent `fraction` of the rows."""
    kept = _kept(rows, fraction)
    if kept >= rows:
        return 0.0
    if ids.kind == "uniform":
        return _rounded(expected_unique(ids, rows, draws) * (rows - kept) / rows)
    total = _mass(ids.alpha, rows)

    def seen(rank: float) -> float:
        p = rank**-ids.alpha / total
        return -expm1(draws * log1p(-p)) if p < 1 else float(min(draws, 1))

    return _rounded(max(0.0, _sum(seen, rows) - _sum(seen, kept)))


@lru_cache(maxsize=1024)
def _mass(alpha: float, rows: int) -> float:
    """H = sum of r^-alpha for r = 1 .. rows."""
    return _sum(lambda rank: rank**-alpha, rows)


def _sum(function: Callable[[float], float], rows: int) -> float:
    """The sum of a smooth decreasing function over ranks 1 .. rows."""
    head = sum(function(float(rank)) for rank in range(1, min(rows, HEAD) + 1))
    if rows <= HEAD:
        return head
    low, high = log(HEAD + 0.5), log(rows + 0.5)
    step = (high - low) / PANELS
    tail = 0.0
    for point in range(PANELS + 1):
        weight = 1 if point in (0, PANELS) else 4 if point % 2 else 2
        rank = exp(low + point * step)
        tail += weight * rank * function(rank)  # dr = r d(log r)
    return head + tail * step / 3


def _rounded(value: float) -> float:
    return float(f"{value:.8e}")
