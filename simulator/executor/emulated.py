"""Slow links, emulated: here a collective over a link that `faults.links` slows lasts as long as it would on that link.

What really crosses loopback is fast; each rank then waits until the bytes that leave it would have left at the slow
link's rate. The wait holds the collective's stream and no core, as a network card would. Measurements under it are
labelled emulated.
"""

from __future__ import annotations

import time

from simulator.errors import NotSupportedYet

LEAVES = {"all_reduce": 2, "all_gather": 1, "reduce_scatter": 1, "all_to_all": 1}
"""How often a member's part of the whole message, (n-1)/n of it, leaves each member of a ring."""


def seconds_a_byte(scenario, ranks: tuple[int, ...]) -> float:
    """Of the slowest link between ranks of this machine; 0 where no link is slow."""
    if not scenario.faults.links or len(ranks) == 1:
        return 0.0
    return 1.0 / scenario.cluster.span(ranks).intra_bytes_per_s


def least_s(op: str, size_bytes: int, ranks: int, seconds_a_byte: float) -> float:
    """What a collective lasts at least. size_bytes as `model.work.Collective` counts."""
    return LEAVES[op] * (ranks - 1) / ranks * size_bytes * seconds_a_byte


def wait_until(due_ns: int) -> None:
    """Sleeps until a time of the monotonic clock."""
    if (left := due_ns - time.monotonic_ns()) > 0:
        time.sleep(left / 1e9)


def check_emulated(scenario, backend: str) -> None:
    """Raises NotSupportedYet for messages whose slow link is not emulated."""
    if not scenario.faults.links:
        return
    layout = scenario.layout
    if layout.pipeline > 1 or layout.context > 1 or backend != "gloo":
        raise NotSupportedYet(
            "slow links are emulated for collectives over gloo, not yet for messages of pipelines, rings of contexts "
            "or nccl; use pipeline 1, context 1 and gloo, or leave them out",
            key="faults.links",
        )


def label(scenario) -> str | None:
    """What is emulated in a run of this scenario."""
    if not scenario.faults.links:
        return None
    slow = ", ".join(f"{one.link} {one.factor:g} times slower" for one in scenario.faults.links)
    return f"slow links ({slow}): collectives wait as long as their bytes would need there"
