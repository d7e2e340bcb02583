"""Interpreter: one rank's launches, run in order, step after step.

A stage's forward runs in pieces with detached seams: at segment boundaries, and under full recomputation at layers. A
backward action calls autograd once for each piece, so that a bucket's reduction can start between two of them. What an
action hands to another one on the same rank lies in a dictionary under the action's own words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.distributed as dist

from simulator.executor.batches import TOKENS, Batch, Microbatch
from simulator.executor.blocks import Env, Inputs, forward
from simulator.executor.cuda_streams import CudaStreams
from simulator.executor.dense import DenseParameters
from simulator.executor.groups import Group
from simulator.executor.job import own_program, peer_of
from simulator.executor.spans import Recorder, Span
from simulator.executor.streams import HostStreams, Task
from simulator.executor.tables import SparseTables
from simulator.model import blocks
from simulator.policies.compression import make_compressor
from simulator.program.actions import Action
from simulator.program.lowering import local_shapes
from simulator.program.program import Program


@dataclass
class Piece:
    """Units [first, last] of a stage between two seams. layer: under full recomputation, the places of the pieces that
    make up its layer; the whole layer is run again before the backward of the last of them."""

    first: int
    last: int
    layer: tuple[int, ...] = ()


@dataclass
class Saved:
    """What a piece's forward leaves for its backward. x: the input, a leaf. out: None where it must be run again; then
    only the first piece of a layer keeps x."""

    x: torch.Tensor | None
    out: torch.Tensor | None


@dataclass
class Step:
    """What one step of a rank is made of while it runs."""

    inputs: list[Inputs] = field(default_factory=list)
    saved: dict[tuple[int, int, int], Saved] = field(default_factory=dict)
    mail: dict[tuple, torch.Tensor] = field(default_factory=dict)
    losses: list[torch.Tensor] = field(default_factory=list)


class Interpreter:
    """One rank of a program. groups: by (stream, kind). transfers: process groups of the pipeline's messages.

    env, dense, tables: what it computes with. streams: what runs its actions.
    """

    def __init__(
        self, scenario, program: Program, rank: int, env: Env, dense: DenseParameters, tables: SparseTables | None,
        groups: dict[tuple[str, str], Group], transfers: dict, recorder: Recorder, streams: HostStreams | CudaStreams,
        device: torch.device,
    ):  # fmt: skip
        own = self.own = own_program(program, rank)
        self.scenario, self.program, self.env, self.dense, self.tables = scenario, program, env, dense, tables
        self.layout, self.plan, self.rank, self.device = scenario.layout, scenario.plan, rank, device
        self.groups, self.transfers, self.recorder, self.streams = groups, transfers, recorder, streams
        self.units = blocks.units(scenario.model)
        self.num_stages = self.layout.pipeline * self.plan.virtual_stages
        self.scatters = self.layout.tensor > 1 and not self.plan.sequence_parallel
        self.compressor = make_compressor(self.plan.compression)
        self.payloads: dict[str, torch.Tensor] = {}
        self.pieces = {chunk.stage: self._cut(chunk) for chunk in own.chunks}
        self.compute, self.others = self._tasks()
        self.step = Step()

    def prepare(self, batch: Batch) -> list[Inputs]:
        """A batch on the device; the data loader's work, not the step's."""
        return [self._inputs(m, microbatch, batch.total_weight) for m, microbatch in enumerate(batch.microbatches)]

    def run_step(self, inputs: list[Inputs]) -> tuple[list[Span], float]:
        """One training step; returns the spans in launch order and this rank's part of the loss."""
        self.step = Step(inputs)
        spans = self.streams.run(self.compute, self.others, len(self.own.launches))
        return spans, float(sum(self.step.losses))

    def _tasks(self) -> tuple[list[Task], dict[str, list[Task]]]:
        place: dict[str, int] = {}
        tasks: dict[str, list[Task]] = {"compute": []}
        for index, launch in enumerate(self.own.launches):
            action = launch.action
            after = tuple(place[name] for name in action.after)
            work = self._computes(action) if launch.stream == "compute" else self._communicates(action)
            tasks.setdefault(launch.stream, []).append((index, after, work))
            place[action.name] = index
        return tasks.pop("compute"), tasks

    def _computes(self, action: Action) -> Callable[[Span], None]:
        verbs = {"F": self._forward, "B": self._backward, "encode": self._encode, "decode": self._decode,
                 "lookup": self._lookup, "optimizer": self._optimize,
                 "table_optimizer": self._optimize_tables}  # fmt: skip

        def work(span: Span) -> None:
            self.recorder.span = span
            verbs[action.verb](action)

        return work

    def _communicates(self, action: Action) -> Callable[[Span], None]:
        verbs = {"send": self._send, "recv": self._receive, "reduce": self._reduce,
                 "reduce_scatter": self._reduce_scatter, "all_gather": self._all_gather,
                 "exchange ids": self._exchange, "exchange vectors": self._exchange,
                 "exchange gradients": self._exchange, "gather vectors": self._gather_vectors}  # fmt: skip

        def work(span: Span) -> None:
            with torch.no_grad():
                span.sent, span.received = verbs[action.verb](action)

        return work

    # forward and backward

    def _cut(self, chunk) -> list[Piece]:
        """A stage's pieces, in forward order: its segments, under full recomputation cut at layers too."""
        if self.plan.recompute != "full":
            return [Piece(first, last) for first, last in chunk.segments]
        starts = {first for first, _ in chunk.segments}
        pieces: list[Piece] = []
        for index in range(chunk.first, chunk.last + 1):
            layer = self.units[index].layer
            if pieces and index not in starts and layer >= 0 and self.units[index - 1].layer == layer:
                pieces[-1].last = index
            else:
                pieces.append(Piece(index, index))
        for piece in pieces:
            layer = self.units[piece.first].layer
            if layer >= 0:
                piece.layer = tuple(p for p, other in enumerate(pieces) if self.units[other.first].layer == layer)
        return pieces

    def _of_action(self, action: Action) -> list[int]:
        """Places, in forward order, of the pieces that a compute action runs."""
        first, last = self.own.chunk(action.stage).span(action.verb, action.segment)
        return [i for i, piece in enumerate(self.pieces[action.stage]) if first <= piece.first and piece.last <= last]

    def _forward(self, action: Action) -> None:
        stage, microbatch = action.stage, action.microbatch
        inputs = self.step.inputs[microbatch]
        if action.segment:
            x = self.step.mail.pop(("F", stage, microbatch))
        elif stage == 0:
            x = None
            self._take_vectors(microbatch, inputs)
        else:
            x = self._whole(self.step.mail.pop(("recv", "F", stage, microbatch)))
        for place in self._of_action(action):
            piece = self.pieces[stage][place]
            leaf = None if x is None else x.detach().requires_grad_()
            if piece.layer:
                with torch.no_grad():
                    x = self._run(piece.first, piece.last, leaf, inputs)
                kept = leaf if place == piece.layer[0] else None
                self.step.saved[stage, microbatch, place] = Saved(kept, None)
            else:
                x = self._run(piece.first, piece.last, leaf, inputs)
                self.step.saved[stage, microbatch, place] = Saved(leaf, x)
        if self._of_action(action)[-1] < len(self.pieces[stage]) - 1:
            self.step.mail["F", stage, microbatch] = x.detach()
        elif stage == self.num_stages - 1:
            self.step.losses.append(x.detach())
        else:
            self.step.mail["send", "F", stage, microbatch] = self.streams.keep(self._share(x.detach()))

    def _backward(self, action: Action) -> None:
        stage, microbatch = action.stage, action.microbatch
        inputs, grad = self.step.inputs[microbatch], None
        if action.segment:
            grad = self.step.mail.pop(("B", stage, microbatch))
        elif stage < self.num_stages - 1:
            grad = self._whole(self.step.mail.pop(("recv", "B", stage, microbatch)))
        own = self._of_action(action)
        for place in reversed(own):
            piece = self.pieces[stage][place]
            if self.step.saved[stage, microbatch, place].out is None:
                self._run_again(stage, microbatch, piece.layer, inputs)
            saved = self.step.saved.pop((stage, microbatch, place))
            torch.autograd.backward(saved.out, grad)
            grad = None if saved.x is None else saved.x.grad
            for bucket in self.dense.of_units(piece.first, piece.last):
                bucket.collect_autograd()
        if own[0] > 0:
            self.step.mail["B", stage, microbatch] = grad
        elif stage > 0:
            self.step.mail["send", "B", stage, microbatch] = self.streams.keep(self._share(grad))
        else:
            self._give_vectors(microbatch, inputs)

    def _run(self, first: int, last: int, x, inputs: Inputs):
        for unit in self.units[first : last + 1]:
            x = forward(self.env, unit, self.dense.weights, x, inputs)
        return x

    def _run_again(self, stage: int, microbatch: int, layer: tuple[int, ...], inputs: Inputs) -> None:
        """A layer's forward, now with graphs, from the input that its first piece has kept."""
        begin, x = self.recorder.now(), self.step.saved[stage, microbatch, layer[0]].x
        for place in layer:
            piece, leaf = self.pieces[stage][place], x.detach().requires_grad_()
            x = self._run(piece.first, piece.last, leaf, inputs)
            self.step.saved[stage, microbatch, place] = Saved(leaf, x)
        self.recorder.span.recomputed.append((begin, self.recorder.now()))

    # microbatches and tables

    def _inputs(self, number: int, microbatch: Microbatch, total_weight: float) -> Inputs:
        flat = {name: self._flat(array) for name, array in microbatch.ids.items()}
        if self.tables is not None:
            asked = {name: ids for name, ids in flat.items() if name != TOKENS}
            if microbatch.scored is not None:
                table = self.scenario.model.head.table
                scored = self._flat(microbatch.scored)
                asked[table] = torch.cat([asked[table][:, None], scored], dim=1).reshape(-1)
            self.tables.present(number, asked)
        weights = self._flat(microbatch.weights).to(self.env.numerics.loss) / total_weight
        return Inputs(flat.get(TOKENS, flat.get(self._token_table())), self._flat(microbatch.labels), weights)

    def _token_table(self) -> str | None:
        return self.scenario.model.head.table

    def _flat(self, array) -> torch.Tensor:
        """[samples, positions, ...] -> [positions * samples, ...], sequence-major, on the device."""
        tensor = torch.as_tensor(array).to(self.device).transpose(0, 1)
        return tensor.reshape(-1, *tensor.shape[2:])

    def _take_vectors(self, microbatch: int, inputs: Inputs) -> None:
        if self.tables is None:
            return
        head = self.scenario.model.head
        for name, vectors in self.tables.vectors(microbatch).items():
            if head.kind in ("sampled_softmax", "binary") and head.table == name:
                grouped = vectors.view(-1, 2 + head.negatives, vectors.shape[1])
                vectors, scored = grouped[:, 0], grouped[:, 1:]
                inputs.scored = scored.detach().clone().requires_grad_()
            inputs.vectors[name] = vectors.detach().clone().requires_grad_()

    def _give_vectors(self, microbatch: int, inputs: Inputs) -> None:
        if self.tables is None:
            return
        gradients = {}
        for name, vectors in inputs.vectors.items():
            gradient = vectors.grad
            if inputs.scored is not None and name == self.scenario.model.head.table:
                gradient = torch.cat([gradient[:, None], inputs.scored.grad], dim=1).flatten(0, 1)
            gradients[name] = gradient
        inputs.vectors, inputs.scored = {}, None
        self.tables.accept_gradients(microbatch, gradients)

    def _lookup(self, action: Action) -> None:
        with torch.no_grad():
            (self.tables.lookup if action.of == "F" else self.tables.accumulate_gradients)(action.microbatch)

    def _exchange(self, action: Action) -> tuple[int, int]:
        what = action.verb.removeprefix("exchange ")
        exchange = {"ids": self.tables.exchange_ids, "vectors": self.tables.exchange_vectors,
                    "gradients": self.tables.exchange_gradients}[what]  # fmt: skip
        return exchange(action.microbatch)

    def _gather_vectors(self, action: Action) -> tuple[int, int]:
        size = self.tables.gather_vectors(action.microbatch)
        return size, size

    def _optimize_tables(self, action: Action) -> None:
        with torch.no_grad():
            self.tables.update()

    # the pipeline

    def _share(self, x: torch.Tensor) -> torch.Tensor:
        """What this rank sends on: its 1/tensor of the activation, all of it where positions are sharded."""
        if not self.scatters:
            return x.contiguous()
        return _padded(x.reshape(-1), self.layout.tensor).chunk(self.layout.tensor)[self._tensor().index].contiguous()

    def _whole(self, share: torch.Tensor) -> torch.Tensor:
        """A received activation: the shares of all tensor ranks, gathered (Megatron-LM's scatter/gather)."""
        shape = self._boundary_shape()
        if not self.scatters:
            return share.view(shape)
        flat = self._tensor().all_gather(share, self.env.numerics.activation_bytes)
        return flat[: shape[0] * shape[1]].view(shape)

    def _boundary_shape(self) -> tuple[int, int]:
        positions = self.env.batch * self.env.seq
        return positions // (
            self.env.tensor.size if self.env.tensor.shards_sequence else 1
        ), self.env.model.trunk.hidden

    def _tensor(self) -> Group:
        return self.groups["compute", "tensor"]

    def _send(self, action: Action) -> tuple[int, int]:
        share = self.step.mail.pop(("send", action.of, action.stage, action.microbatch))
        target = action.stage + (1 if action.of == "F" else -1)
        peer = peer_of(self.program, self.rank, action)
        group = self.transfers[action.of, self.rank, peer]
        dist.isend(share, peer, group=group, tag=_tag(action.of, target)).wait()
        return share.numel() * self.env.numerics.activation_bytes, 0

    def _receive(self, action: Action) -> tuple[int, int]:
        rows, width = self._boundary_shape()
        count = -(-rows * width // self.layout.tensor) if self.scatters else rows * width
        share = torch.empty(count, dtype=self.env.numerics.activations, device=self.device)
        peer = peer_of(self.program, self.rank, action)
        group = self.transfers[action.of, peer, self.rank]
        dist.irecv(share, peer, group=group, tag=_tag(action.of, action.stage)).wait()
        self.step.mail["recv", action.of, action.stage, action.microbatch] = self.streams.keep(share)
        return 0, count * self.env.numerics.activation_bytes

    # gradients and the update

    def _encode(self, action: Action) -> None:
        bucket, name = self.dense.buckets[action.bucket], action.bucket
        with torch.no_grad():
            if action.phase == 0:
                bucket.state["gradient"] = bucket.gradients.to(self.env.numerics.reduce)
            shapes, received = self._shapes(name), self.payloads.get(name)
            payload = self.compressor.pack(action.phase, bucket.state["gradient"], shapes, bucket.state, received)
            self.payloads[name] = self.streams.keep(payload)

    def _decode(self, action: Action) -> None:
        bucket, name = self.dense.buckets[action.bucket], action.bucket
        with torch.no_grad():
            gradient = bucket.state.pop("gradient")
            self.compressor.unpack(
                gradient, self._shapes(name), bucket.state, self.payloads.pop(name), self.dense.data.size
            )
            if gradient is not bucket.gradients:
                bucket.gradients.copy_(gradient)

    def _shapes(self, name: str) -> tuple[tuple[int, ...], ...]:
        bucket = self.own.bucket(name)
        return local_shapes(self.scenario, bucket.first, bucket.last)

    def _reduce(self, action: Action) -> tuple[int, int]:
        if action.bucket == "tied":
            return self._reduce_tied()
        if action.bucket == "tables":
            size = self.tables.reduce_dense()
        elif action.method in (None, "none"):
            size = self.dense.reduce(self.dense.buckets[action.bucket])
        else:
            return self._reduce_payload(action)
        return size, size

    def _reduce_payload(self, action: Action) -> tuple[int, int]:
        payload = self.payloads[action.bucket]
        each = payload.element_size()
        if payload.dtype is torch.float64:  # counted as the scenario would send it
            each = self.env.numerics.reduce_bytes
        if self.compressor.collectives[action.phase] == "all_gather":
            self.payloads[action.bucket] = self.streams.keep(self.dense.data.all_gather(payload, each))
        else:
            self.dense.data.all_reduce(payload, each)
        return payload.numel() * each, payload.numel() * each

    def _reduce_tied(self) -> tuple[int, int]:
        gradient = self.dense.tied_gradient()
        self.groups["tied", "tied"].all_reduce(gradient, self.env.numerics.gradient_bytes)
        self.dense.accept_tied()
        size = gradient.numel() * self.env.numerics.gradient_bytes
        return size, size

    def _reduce_scatter(self, action: Action) -> tuple[int, int]:
        size = self.dense.reduce_scatter(self.dense.buckets[action.bucket])
        return size, size

    def _all_gather(self, action: Action) -> tuple[int, int]:
        size = self.dense.all_gather(self.dense.buckets[action.bucket])
        return size, size

    def _optimize(self, action: Action) -> None:
        self.dense.update()


def _tag(of: str, stage: int) -> int:
    return 2 * stage + (of == "B")


def _padded(flat: torch.Tensor, parts: int) -> torch.Tensor:
    short = -flat.numel() % parts
    return torch.cat([flat, flat.new_zeros(short)]) if short else flat
