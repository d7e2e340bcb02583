"""The plan of the sparse tables as TorchRec's planner prints it: one row a table, one row a rank.

Columns and abbreviations are those of torchrec/distributed/planner/stats.py (`EmbeddingStats.log`): TW, CW, RW, TWRW,
GRID and DP; Perf = forward compute, forward comms, backward compute, backward comms, summed over a table's shards; HBM
is device memory, DDR the host's; Input is ids, Output vectors (or partial sums) that a rank's shards take and make in a
step; owners of the most frequent rows of a Zipf distribution have more of all. Perf is read from the prices of the
step's own kernels and messages: where lookups were measured together, each kernel is as much longer as the busiest
rank's are in sum; a message lasts as its busiest rank sends, and a shard counts its share of that rank's bytes. What
every rank does for itself (de-duplication, gathers over tensor ranks) is no shard's. The sparse update, at the end of
the step or fused, is backward compute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from simulator.costs.pricer import Pricer
from simulator.graph.pieces import lookup_name, update_name
from simulator.model import tables
from simulator.model.blocks import Cut
from simulator.model.lookups import ids_per_sample
from simulator.model.tables.kernels import backward_of, forward_of, update_of
from simulator.model.tables.storage import held_by_owner, on_host
from simulator.model.work import Kernel, Step
from simulator.program.embedding import MESSAGES, message_bytes
from simulator.program.program import Program
from simulator.table_choices import planned
from simulator.units import ns_to_seconds

ABBREVIATIONS = {
    "table_wise": "TW", "column_wise": "CW", "row_wise": "RW", "table_row_wise": "TWRW", "grid": "GRID",
    "data_parallel": "DP",
}  # fmt: skip
PERF = ("forward_compute", "forward_comms", "backward_compute", "backward_comms")
MAX_RANKS = 1024
"""Ranks that are listed; those of a larger group repeat themselves or are too many to read."""

WAYS = {
    tables.DIRECT: (("exchange vectors",), ("exchange gradients",)),
    tables.REDUCED: (("reduce vectors",), ("gather gradients",)),
    tables.ACROSS_NODES: (("reduce node vectors", "exchange node vectors"),
                          ("exchange node gradients", "gather node gradients")),
}  # fmt: skip
"""What a table's vectors go by, and their gradients."""

SMALLER_INSIDE = ("exchange node vectors", "exchange node gradients")
"""Messages of sums that the members on a node have shared among them."""


@dataclass(frozen=True, slots=True)
class Shard:
    """What one owner does for one table in a step. perf_s: of `PERF`."""

    load: tables.Load
    perf_s: tuple[float, ...]
    hbm_bytes: int
    ddr_bytes: int
    input_bytes: int
    output_bytes: int

    def owners(self, members: int) -> Iterable[int]:
        """The members that hold such a shard."""
        return range(members) if self.load.sharding == "data_parallel" else self.load.placed.owners


def embedding_plan(scenario, program: Program, pricer: Pricer, cut: Cut) -> dict | None:
    """`embedding_plan` of the JSON; None where no table is trained sparsely.

    pricer, cut: of a rank of the first stage: what kernels cost, and what the software runs. planned: how `auto` was
    found, None where every kind is stated.
    """
    loads = tables.parts(scenario)
    if not loads:
        return None
    members = len(program.layout.group("table", 0))
    message_s = _message_prices(scenario, program, pricer)
    sparse = cut.sparse_gradients
    stretches = _stretches(scenario, pricer, sparse)
    shards = [
        tuple(_shard(scenario, load, pricer, message_s, stretches, sparse=sparse) for load in by_row)
        for by_row in tables.hottest(scenario)
    ]
    return {
        "planned": _planned(scenario, loads),
        "tables": [_table(scenario, by_row, members) for by_row in shards],
        "ranks": [_rank(shards, rank) for rank in range(min(members, MAX_RANKS))],
    }


def _planned(scenario, loads: tuple[tables.Load, ...]) -> dict | None:
    if all(scenario.plan.sharding_of(load.table.name) != "auto" for load in loads):
        return None
    found = planned(scenario).sharding
    return {"busiest_s": found.time_ps / 1e12, "bound_s": found.bound_ps / 1e12, "gap": found.gap, "fits": found.fits,
            "short_bytes": found.short_bytes}  # fmt: skip


def _message_prices(scenario, program: Program, pricer: Pricer) -> dict[str, tuple[int, float]]:
    """Verb -> (bytes of the busiest rank, seconds) of every message of a microbatch, and of the dense gradients."""
    found, cluster = {}, scenario.cluster
    traffic = tables.traffic(scenario)
    for verb, (op, group) in MESSAGES.items():
        size = message_bytes(verb, traffic)
        if size:
            span = cluster.span(program.layout.group(group, 0))
            found[verb] = size, ns_to_seconds(pricer.collective(op, size, span).duration_ns)
    if traffic.dense_gradients:
        span = cluster.span(program.layout.group("table", 0))
        price = pricer.collective("all_reduce", traffic.dense_gradients, span)
        found["reduce"] = traffic.dense_gradients, ns_to_seconds(price.duration_ns)
    return found


def _stretches(scenario, pricer: Pricer, sparse: bool) -> tuple[float, float, float]:
    """How much longer the busiest rank's lookups, their backward and the update take together than kernel by kernel:
    1 but where a profile has measured them so (`costs/pieces.py`)."""

    def stretch(steps: Iterable[Step], name: str) -> float:
        kernels = [step for step in steps if isinstance(step, Kernel)]
        alone = sum(pricer.kernel(kernel).duration_ns for kernel in kernels)
        return sum(price.duration_ns for price in pricer.piece(kernels, name)) / alone if alone else 1.0

    return (
        stretch(tables.lookup_forward(scenario, None, sparse), lookup_name(scenario, "F")),
        stretch(tables.lookup_backward(scenario, None, sparse), lookup_name(scenario, "B")),
        stretch(tables.optimizer(scenario, None, sparse), update_name(scenario)),
    )


def _shard(
    scenario, load: tables.Load, pricer: Pricer, message_s: dict[str, tuple[int, float]],
    stretches: tuple[float, float, float], *, sparse: bool,
) -> Shard:  # fmt: skip
    microbatches, made = scenario.microbatches, load.made * load.made_bytes
    forward_stretch, backward_stretch, update_stretch = stretches
    forward, backward = WAYS[tables.way_of(load.table, load.placed)]

    def kernels_s(kernels: Iterable[Kernel]) -> float:
        return ns_to_seconds(sum(pricer.kernel(kernel).duration_ns for kernel in kernels))

    def share_s(verb: str, size: float) -> float:
        whole, seconds = message_s.get(verb, (0, 0.0))
        return seconds * size / whole if whole else 0.0

    def vectors_s(verbs: tuple[str, ...]) -> float:
        return sum(share_s(verb, made / (load.placed.rows_over if verb in SMALLER_INSIDE else 1)) for verb in verbs)

    travels = load.sharding != "data_parallel"
    ids = load.read * tables.ID_BYTES
    perf = (
        microbatches * forward_stretch * kernels_s(forward_of(load, scenario, sparse)),
        microbatches * (share_s("exchange ids", ids) + vectors_s(forward)) if travels else 0.0,
        microbatches * backward_stretch * kernels_s(backward_of(load, scenario, sparse))
        + update_stretch * kernels_s(update_of(load, scenario, sparse)),
        microbatches * vectors_s(backward) if travels
        else share_s("reduce", load.table.rows * load.table.dim * tables.GRADIENT_BYTES),
    )  # fmt: skip
    hbm = held_by_owner(scenario, load, sparse).total
    return Shard(load, perf, hbm, on_host(load), microbatches * ids, microbatches * made)


def _table(scenario, by_row: tuple[Shard, ...], members: int) -> dict:
    *hottest, shard = by_row
    load, table = shard.load, shard.load.table
    owners = sorted(shard.owners(members))
    own = [one for one in hottest for _ in range(load.placed.pieces)]
    perf = [sum(parts) + (len(owners) - len(own)) * other
            for *parts, other in zip(*(one.perf_s for one in own), shard.perf_s, strict=True)]  # fmt: skip
    asked = ids_per_sample(scenario.model, table)
    return {
        "table": table.name,
        "sharding": ABBREVIATIONS[load.sharding],
        "compute_kernel": _compute_kernel(load),
        "perf_s": _perf(perf),
        "storage_bytes": {"hbm": len(owners) * shard.hbm_bytes, "ddr": len(owners) * shard.ddr_bytes},
        "pooling_factor": asked if table.pooling != "none" else 1,
        "num_poolings": 1 if table.pooling != "none" else asked,
        "output": "sequence" if table.pooling == "none" else "pooled",
        "dim": table.dim,
        "shard_dim": load.columns,
        "rows": table.rows,
        "ranks": _collapsed(owners),
    }


def _compute_kernel(load: tables.Load) -> str:
    """As TorchRec names them: data_parallel has a dense kernel, the others fuse tables; host rows are read by UVM."""
    if load.sharding == "data_parallel":
        return "dense"
    if load.table.placement == "device":
        return "fused"
    return "fused_uvm_caching" if load.cached else "fused_uvm"


def _rank(shards: list[tuple[Shard, ...]], rank: int) -> dict:
    placed = [(by_row, by_row[-1].load.placed) for by_row in shards]
    own = [tables.of_owner(by_row, place, rank) for by_row, place in placed if tables.holds(place, rank)]

    def total(of: Callable[[Shard], int]) -> int:
        return sum(map(of, own))

    return {
        "rank": rank,
        "hbm_bytes": total(lambda shard: shard.hbm_bytes),
        "ddr_bytes": total(lambda shard: shard.ddr_bytes),
        "perf_s": _perf([sum(shard.perf_s[part] for shard in own) for part in range(len(PERF))]),
        "input_bytes": total(lambda shard: shard.input_bytes),
        "output_bytes": total(lambda shard: shard.output_bytes),
        "shards": dict(sorted(Counter(ABBREVIATIONS[shard.load.sharding] for shard in own).items())),
    }


def _perf(parts: list[float]) -> dict[str, float]:
    return {"total": sum(parts), **dict(zip(PERF, parts, strict=True))}


def _collapsed(ranks: list[int]) -> str:
    """0-7,12: runs of neighbours by their ends."""
    runs: list[list[int]] = []
    for rank in ranks:
        if runs and rank == runs[-1][1] + 1:
            runs[-1][1] = rank
        else:
            runs.append([rank, rank])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
