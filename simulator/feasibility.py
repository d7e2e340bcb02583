"""Why a plan does not fit in memory, and the smallest change that does.

Changes are tried in the order in which they disturb a plan: what costs nothing but communication first, then what
costs compute, then tables in host memory, then what spreads the model over more ranks; one at a time, then two
together, then with more nodes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, combinations

from simulator.errors import RehearseError
from simulator.memory import Memory, measure_memory
from simulator.model import placements, tables
from simulator.model.blocks import Cut
from simulator.program.lowering import lower
from simulator.units import GIB

Change = tuple[str, ...]
"""`--set` lines that belong together."""


def shortage(scenario, memory: Memory, cut: Cut) -> str | None:
    """One sentence, or None where every rank fits: which rank is short by how much, and what would fit."""
    worst = memory.over
    if worst is None:
        return None
    what, size = max(worst.by_kind, key=lambda pair: pair[1])
    sentence = (
        f"rank {worst.rank} needs {worst.peak / GIB:.2f} GiB and has {worst.limit / GIB:.2f} GiB: "
        f"{(worst.peak - worst.limit) / GIB:.2f} GiB short, most of it {what} ({size / GIB:.2f} GiB); "
    )
    change = smallest_change(scenario, cut)
    if change is None:
        return sentence + (
            "nothing that was tried fits: zero, recompute, microbatch, tensor, pipeline, tables in host memory, "
            "16 times the nodes"
        )
    return sentence + "the smallest change that fits is " + " ".join(f"--set {line}" for line in change)


def smallest_change(scenario, cut: Cut) -> Change | None:
    """The first change, or pair of changes, under which every rank fits; None where none does."""
    singles = list(_changes(scenario))
    pairs = (first + second for first, second in combinations(singles, 2) if _independent(first, second))
    wide = (change for factor in (2, 4, 8) for change in _wider(scenario, factor))  # tensor groups leave their node
    for change in chain(singles, pairs, _more_nodes(scenario), wide):
        if _fits(scenario, change, cut):
            return change
    return None


def _changes(scenario) -> Iterator[Change]:
    plan = scenario.plan
    if plan.replicas > 1 and plan.zero == 0:
        yield ("plan.zero=1",)
    if plan.tensor > 1 and not plan.sequence_parallel:
        yield ("plan.sequence_parallel=true",)
    if any(load.sharding != placements.AUTO for load in tables.loads(scenario)):
        yield (f"plan.embedding_sharding={placements.AUTO}",)
    if plan.replicas > 1 and plan.zero < 3 and plan.pipeline == 1:  # a pipeline keeps what it has gathered
        yield ("plan.zero=3", "plan.bucket_mib=null")
    if plan.recompute == "none":
        yield ("plan.recompute=selective",)
    if plan.recompute in ("none", "selective"):
        yield ("plan.recompute=selective_op",)
    if plan.recompute != "full":
        yield ("plan.recompute=full",)
    microbatch = plan.microbatch
    while microbatch % 2 == 0:
        microbatch //= 2
        yield (f"plan.microbatch={microbatch}",)
    yield from _tables_to_host(scenario)
    for factor in (2, 4, 8):
        if plan.data % factor == 0:
            if plan.tensor * factor <= min(node.gpus for node, _ in scenario.cluster.groups):
                yield from _wider(scenario, factor)
            yield (f"plan.pipeline={plan.pipeline * factor}", f"plan.data={plan.data // factor}")


def _wider(scenario, factor: int) -> Iterator[Change]:
    """Every layer over more ranks, where its heads divide."""
    plan, heads = scenario.plan, scenario.model.trunk.kv_heads
    if plan.data % factor == 0 and heads and heads % (plan.tensor * factor) == 0:
        yield (f"plan.tensor={plan.tensor * factor}", f"plan.data={plan.data // factor}")


def _tables_to_host(scenario) -> Iterator[Change]:
    """The table that holds most device memory, then the two that do, and so on, in host memory."""
    stored = {load.table.name: load.rows * load.stored_bytes for load in tables.loads(scenario)}
    on_device = [
        (stored[table.name], -place)
        for place, table in enumerate(scenario.model.tables)
        if table.placement == "device" and stored.get(table.name)
    ]
    lines: Change = ()
    for _, place in sorted(on_device, reverse=True):
        lines += (f"model.tables.{-place}.placement=host",)
        yield lines


def _more_nodes(scenario) -> Iterator[Change]:
    """More nodes: the model over them by pipeline, or its tables over them by data.

    By pipeline, the batch and the work of a replica stay what they are; by data, each replica has fewer microbatches,
    and a larger batch where they cannot be dealt.
    """
    plan = scenario.plan
    for factor in (2, 4, 8, 16):
        nodes = _times_the_nodes(scenario, factor)
        if not nodes:
            return
        spread = (*nodes, f"plan.pipeline={plan.pipeline * factor}")
        yield spread
        if plan.recompute != "full":
            yield (*spread, "plan.recompute=full")
        replicas = (*nodes, f"plan.data={plan.data * factor}")
        larger = () if plan.microbatches % factor == 0 else (f"plan.global_batch={plan.global_batch * factor}",)
        yield (*replicas, *larger)


def _times_the_nodes(scenario, factor: int) -> Change:
    """So many times the nodes, group by group; nothing for a cluster that is spelt out or is one machine."""
    section = scenario.stated.cluster
    if section.groups is not None:
        return tuple(
            f"cluster.groups.{place}.nodes={group.nodes * factor}" for place, group in enumerate(section.groups)
        )
    return (f"cluster.nodes={section.nodes * factor}",) if section.nodes is not None else ()


def _independent(first: Change, second: Change) -> bool:
    keys = [line.split("=")[0] for line in first + second]
    return len(set(keys)) == len(keys)


def _fits(scenario, change: Change, cut: Cut) -> bool:
    from simulator.scenario.loader import scenario_from

    try:
        changed = scenario_from(json.loads(scenario.canonical_json()), set=change)
        plan = changed.plan
        own_cut = replace(
            cut, batch=plan.microbatch, tensor=plan.tensor, context=plan.context,
            sequence_parallel=plan.sequence_parallel,
        )  # fmt: skip
        return measure_memory(lower(changed), changed, own_cut).over is None
    except RehearseError:
        return False  # not a legal plan: not a remedy
