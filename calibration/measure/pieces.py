"""Pieces as the executor runs them: a unit forward and backward, an update, a compressor.

A run finds its weights and activations about as warm as a step does: before each, other memory is passed over, and all
forwards run before all backwards. Collectives take no time, but for those of a tensor group whose ranks are all here:
they are run, since what passes through a core's caches meanwhile slows the kernels that follow. Their own time is kept
apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import torch

from calibration.measure.stand_ins import StubGroup
from calibration.pieces import measured_cut
from simulator.executor.batches import draw_ids
from simulator.executor.blocks import Env, Inputs, forward
from simulator.executor.context_parallel import Context
from simulator.executor.dense import DenseParameters
from simulator.executor.groups import Group
from simulator.executor.numerics import Numerics
from simulator.executor.table_routes import TableGroups
from simulator.executor.tables import SparseTables
from simulator.executor.tensor_parallel import Tensor
from simulator.memory import measure_memory
from simulator.model import blocks
from simulator.model.lookups import ids_per_sample, is_positional, own_ids, scored_rows
from simulator.model.spec import Table
from simulator.model.tables import busiest, updates_rows_last
from simulator.policies.compression import compressor_of
from simulator.program.lowering import lower
from simulator.program.parameters import codec_shapes
from simulator.scenario.loader import scenario_from

Stage = tuple[int, Callable[[], object]]
"""(which of the job's pieces this is, a callable that runs it once)."""

EVICTED_BYTES = {"cpu": 64 * 2**20, "cuda": 256 * 2**20}
"""More than caches hold."""
EVICTED_SHARE = 1 / 8
"""Of a rank's memory. Chosen on SASRec of 4 layers, 64 and 128 wide, so that a unit by itself takes what it takes
between its neighbours (0: a tenth too fast; 1: 3 to 12 % too slow). Held out, summed over a step's units: hstu +3 %,
llama +1 %, sasrec 256 wide +1 % (`python -m calibration.measure.in_step`)."""

STATE_SHARE = 1 / 2
"""The same for what works on state of the step before (moments, residuals, tables), last touched a whole step ago.
Chosen on the same two models."""

SETS = 3
"""Inputs of a unit, so that forwards run before backwards; layers of one kind take turns."""


@dataclass
class Rank:
    """One representative rank of a scenario, set up as the executor sets it up."""

    scenario: object
    own: object
    device: torch.device
    attention: str
    dense: DenseParameters
    env: Env
    numerics: Numerics
    footprint_bytes: int

    @classmethod
    def of(cls, text: str, place: int, device: str, attention: str, tensor_group: Group | None = None) -> Rank:
        """tensor_group: the group to meet; default: one that takes no time."""
        scenario = scenario_from(json.loads(text))
        layout, plan = scenario.layout, scenario.plan
        program = lower(scenario)
        own = program.ranks[place]
        numerics = Numerics.of(scenario)
        group = StubGroup("tensor", layout.tensor) if tensor_group is None else tensor_group
        tensor = Tensor(group, plan.sequence_parallel, numerics.activation_bytes, plan.overlap.tensor)
        data = StubGroup("data", layout.data * layout.context)
        shard = StubGroup("shard", plan.shards)
        dense = DenseParameters(scenario, own, numerics, data, group, torch.device(device), None, shard)
        if dense.gathers or dense.scatters:
            dense.make_whole()
        trunk, group = scenario.model.trunk, StubGroup("context", layout.context, layout.context - 1)
        context = Context(group, plan.context_kind, bool(trunk.causal), numerics.activation_bytes)
        env = Env(scenario.model, plan.microbatch, trunk.seq // layout.context, tensor, numerics, attention,
                  plan.recompute == "selective", context=context, compiles=scenario.software.compile)  # fmt: skip
        memory = measure_memory(program, scenario, measured_cut(scenario))
        return cls(scenario, own, torch.device(device), attention, dense, env, numerics, memory.tightest.peak)

    @property
    def positions(self) -> int:
        """Positions that this rank's norms and residuals work on."""
        whole = self.env.batch * self.env.seq
        return whole // self.env.tensor.size if self.env.tensor.shards_sequence else whole


@dataclass
class PieceJob:
    """rounds: makes one round of (piece, callable), in the order in which a run has them."""

    rounds: Callable[[], Iterator[Stage]]


def make_job(record: dict, device: str, tensor_group: Group | None = None) -> PieceJob:
    """The job that a record of `calibration.pieces.Job` describes."""
    rank = Rank.of(record["scenario"], record["place"], device, record["attention"], tensor_group)
    return MAKERS[record["what"]](rank, record["which"])


def _unit(rank: Rank, which: str) -> PieceJob:
    units = blocks.units(rank.scenario.model)
    kind, model = units[int(which)].kind, rank.scenario.model
    trained = blocks.training(model, units[int(which)])
    # layers of this kind that the rank holds: their weights differ, their work does not
    same = [index for chunk in rank.own.chunks for index in range(chunk.first, chunk.last + 1)
            if units[index].kind == kind and blocks.training(model, units[index]) == trained]  # fmt: skip
    hidden = rank.env.model.trunk.hidden
    inputs = random_inputs(rank)
    sets = [
        (units[same[number % len(same)]], None if kind == "embedding" else random_tensor(rank, rank.positions, hidden))
        for number in range(SETS)
    ]
    evict = Eviction(rank, EVICTED_SHARE)

    def rounds() -> Iterator[Stage]:
        outs = []
        for unit, x in sets:
            evict(x)
            yield 0, lambda unit=unit, x=x: outs.append(run_forward(rank, unit, x, inputs))
        for number, (unit, _) in enumerate(reversed(sets)):
            leaf, out = outs[len(sets) - 1 - number]
            grad = None if kind == "head" else torch.empty_like(out).detach()
            evict(grad)
            yield 1, lambda unit=unit, out=out, grad=grad: run_backward(rank, unit, out, grad, units)
            outs[len(sets) - 1 - number] = None
            for tensor in (leaf, *inputs.vectors.values(), inputs.scored):
                if tensor is not None:
                    tensor.grad = None

    return PieceJob(rounds)


def run_forward(rank: Rank, unit, x, inputs: Inputs) -> tuple:
    """(the leaf that the unit's graph begins with, its output), as the interpreter runs a unit."""
    leaf = None if x is None else x.detach().requires_grad_(blocks.training(rank.scenario.model, unit).passes)
    return leaf, forward(rank.env, unit, rank.dense.weights, leaf, inputs)


def run_backward(rank: Rank, unit, out, grad, units) -> None:
    """The unit's backward, and its gradients added to the accumulated ones."""
    if out.requires_grad:
        torch.autograd.backward(out, grad)
    index = units.index(unit)
    for bucket in rank.dense.of_units(index, index):
        bucket.collect_autograd()


def random_inputs(rank: Rank) -> Inputs:
    """A microbatch of random ids, labels and vectors, shaped as the interpreter shapes them."""
    model, numerics = rank.env.model, rank.numerics
    whole = rank.env.batch * rank.env.seq
    token = blocks.embedding.token_table(model)
    rows = token[0] if token else model.table(model.head.table).rows if model.head.table else 2
    ids = torch.randint(rows, (whole,), device=rank.device)
    weights = torch.full((whole,), 1.0 / whole, dtype=numerics.loss, device=rank.device)
    vectors, scored, at = {}, None, {}
    for table in blocks.sparse_tables(model):
        rows = rank.positions if table.pooling == "none" else rank.env.batch
        if table.pooling == "none" and not is_positional(table):
            rows = presented_ids(rank.scenario, table) - scored_rows(model, table) * rank.positions
            at[table.name] = torch.arange(rows, device=rank.device) % rank.positions
        vectors[table.name] = random_tensor(rank, rows, table.dim).requires_grad_()
        if model.head.kind in ("sampled_softmax", "binary") and model.head.table == table.name:
            scored = random_tensor(rank, rank.positions, 1 + model.head.negatives, table.dim).requires_grad_()
    labels = ids.clone() if rows > 2 else ids % 2
    return Inputs(ids, labels, weights, vectors, scored, rows=at)


def random_tensor(rank: Rank, *shape: int) -> torch.Tensor:
    """Random activations."""
    return torch.empty(shape, device=rank.device).uniform_(-1.0, 1.0).to(rank.numerics.activations)


class Eviction:
    """Passes over memory as the rest of the step does between two runs of a piece.

    What the piece gets handed by its neighbour (its input, or a gradient) is written last: that is warm in a step too.
    """

    def __init__(self, rank: Rank, share: float):
        size = min(EVICTED_BYTES[rank.device.type], int(share * rank.footprint_bytes))
        self._buffer = torch.zeros(max(1, size // 4), device=rank.device)

    def __call__(self, handed: torch.Tensor | None = None) -> None:
        self._buffer.add_(1.0)
        if handed is not None:
            handed.uniform_(-1.0, 1.0)


def _optimizer(rank: Rank, which: str) -> PieceJob:
    """The update of one bucket, or of all that have none of their own."""
    dense, reduced, alone = rank.dense, {}, rank.own.updated_alone
    names = [which] if which else [name for name in dense.buckets if name not in alone]
    for name, bucket in dense.buckets.items():
        bucket.gradients.uniform_(-1e-3, 1e-3)
        reduced[name] = bucket.stage_parts(bucket.gradients, dense.shard.size)[0].to(rank.numerics.gradients, copy=True)

    evict = Eviction(rank, STATE_SHARE)

    def rounds() -> Iterator[Stage]:
        evict()
        for name, bucket in dense.buckets.items():
            bucket.reduced = reduced[name]
        yield 0, lambda: dense.update(names)

    return PieceJob(rounds)


def _bucket(rank: Rank, which: str) -> PieceJob:
    """Encoding and decoding of one gradient bucket, phase by phase, as the interpreter does it."""
    actions = [launch.action for launch in rank.own.launches]
    method = next(action.method for action in actions if action.verb == "encode" and action.bucket == which)
    bucket, compressor = rank.dense.buckets[which], compressor_of(rank.scenario.plan, method)
    shapes = codec_shapes(rank.scenario, rank.own.bucket(which), compressor)
    ranks = rank.dense.data.size
    streams = [phase.stream for phase in compressor.phases(shapes, rank.scenario.precision.reduce)]
    bucket.gradients.uniform_(-1e-3, 1e-3)
    state: dict = {"rank": rank.dense.data.index}
    held: dict = {}
    evict = Eviction(rank, STATE_SHARE)

    def encode(phase: int) -> None:
        with torch.no_grad():
            if phase == 0:
                bucket.encoded = rank.dense.to_encode(bucket, in_parts=compressor.to_owners)
            held["payload"] = compressor.pack(phase, bucket.encoded, shapes, state, held.get("payload"))
            if compressor.to_owners and phase == 0:
                bucket.encoded = bucket.encoded.new_empty(bucket.encoded.numel() // ranks)

    def decode() -> None:
        with torch.no_grad():
            compressor.unpack(bucket.encoded, shapes, state, held.pop("payload"), ranks)
            rank.dense.take_decoded(bucket, in_parts=compressor.to_owners)

    def rounds() -> Iterator[Stage]:
        held.clear()
        bucket.reduced = None
        evict()
        for phase, op in enumerate(compressor.collectives):
            yield phase, lambda phase=phase: encode(phase)
            if op == "all_gather":
                held["payload"] = held["payload"].repeat(ranks)
            elif op == "all_to_all":  # what all ranks send to the first one
                meet = {
                    "data": ranks,
                    "shard": rank.scenario.plan.hop,
                    "replica": ranks // (rank.scenario.plan.hop or 1),
                }
                count = meet[streams[phase]]
                held["payload"] = held["payload"].view(count, -1)[0].repeat(count)
            elif op == "reduce_scatter":
                held["payload"] = held["payload"].view(ranks, -1)[0].clone()
            elif held["payload"] is bucket.gradients:
                held["payload"] = held["payload"].clone()
        yield len(compressor.collectives), decode

    return PieceJob(rounds)


def _tables(rank: Rank, which: str) -> PieceJob:
    scenario = rank.scenario
    layout, alone = scenario.layout, StubGroup("table_node", 1)
    group = StubGroup("table", layout.data * layout.context * layout.tensor, busiest(scenario))
    context, tensor = StubGroup("context", layout.context), StubGroup("tensor", layout.tensor)
    tables = SparseTables(scenario, TableGroups(group, alone, alone, context, tensor), rank.device, False)
    whole = {table.name: presented_ids(scenario, table) for table in blocks.sparse_tables(scenario.model)}
    drawn = {name: _ids_of(tables.shards[name].table, count, rank) for name, count in whole.items()}
    microbatches = scenario.microbatches
    evict = Eviction(rank, STATE_SHARE)

    def rounds() -> Iterator[Stage]:
        for microbatch in range(microbatches):
            ids = {name: next(drawn[name]) for name in whole}
            tables.present(microbatch, ids)
            tables.exchange_ids(microbatch)
            yield 0, _without_grad(lambda microbatch=microbatch: tables.lookup(microbatch))
            yield 1, _without_grad(lambda microbatch=microbatch: tables.accumulate_gradients(microbatch))
        if updates_rows_last(scenario):
            evict()
            yield 2, _without_grad(tables.update)

    return PieceJob(rounds)


def presented_ids(scenario, table: Table) -> int:
    """Ids of a table that a rank is given: of its positions, or of all samples where they are pooled; it asks for its
    share of those that its tensor group has in common."""
    plan = scenario.plan
    if table.pooling != "none":
        return plan.microbatch * ids_per_sample(scenario.model, table)
    return own_ids(scenario, table) * (1 if plan.sequence_parallel else plan.tensor)


def _ids_of(table: Table, count: int, rank: Rank) -> Iterator[torch.Tensor]:
    """Ids that a rank looks up, as the table's `ids` say they fall on its rows; a few draws, in turn."""
    generator = np.random.Generator(np.random.Philox(key=[count, table.rows]))
    draws = [draw_ids(generator, table.ids, table.rows, (count,)) for _ in range(SETS)]
    return cycle([torch.from_numpy(one).to(rank.device) for one in draws])


def _without_grad(call: Callable[[], object]) -> Callable[[], object]:
    def run() -> None:
        with torch.no_grad():
            call()

    return run


MAKERS = {"unit": _unit, "optimizer": _optimizer, "bucket": _bucket, "tables": _tables}
