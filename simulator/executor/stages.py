"""Stages: forward and backward of this rank's pieces of the model.

A stage's forward runs in pieces with detached seams: at segment boundaries, and under full recomputation at layers. A
backward action calls autograd once for each piece, so that a bucket's reduction can start between two of them. Where
the backward pass is split, I calls autograd and keeps what the products of weight gradients read; W runs these.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch

from simulator.executor.blocks import Env, Inputs, forward
from simulator.executor.dense import DenseParameters
from simulator.executor.groups import Group
from simulator.executor.pieces import Saved, Step, pieces_of
from simulator.executor.spans import Recorder
from simulator.executor.tables import SparseTables
from simulator.model import blocks
from simulator.model.blocks.head import scored_width
from simulator.model.lookups import is_positional, samples_rows
from simulator.program.actions import Action
from simulator.program.placement import carries_rows, holder, num_stages
from simulator.program.program import RankProgram


class Stages:
    """The compute actions F, B, I and W of one rank.

    tensor: the group that gathers what a pipeline transfer has scattered. keep: what another stream will read goes
    through it.
    """

    def __init__(
        self, scenario, own: RankProgram, env: Env, dense: DenseParameters, tables: SparseTables | None, tensor: Group,
        recorder: Recorder, keep: Callable[[torch.Tensor], torch.Tensor],
    ):  # fmt: skip
        self.scenario, self.own, self.env, self.dense, self.tables = scenario, own, env, dense, tables
        self.tensor, self.recorder, self.keep = tensor, recorder, keep
        self.plan, self.layout, self.units = scenario.plan, scenario.layout, blocks.units(scenario.model)
        self.enters = blocks.vectors_enter(scenario.model)
        model = scenario.model
        self.positional = {table.name for table in model.tables if is_positional(table)}
        self.scored = {model.head.table} if samples_rows(model) else set()
        self.num_stages = num_stages(self.plan)
        self.hidden = model.trunk.hidden
        self.carries = carries_rows(scenario)
        self.scatters = self.layout.tensor > 1 and not self.plan.sequence_parallel
        self.pieces = {chunk.stage: pieces_of(scenario, chunk) for chunk in own.chunks}
        self.step = Step()

    def _of_action(self, action: Action) -> list[int]:
        """Places, in forward order, of the pieces that a compute action runs."""
        first, last = self.own.chunk(action.stage).span(action.verb, action.segment)
        return [i for i, piece in enumerate(self.pieces[action.stage]) if first <= piece.first and piece.last <= last]

    def forward(self, action: Action) -> None:
        """Runs F; leaves its output to the send, to the next segment, or to the losses."""
        stage, microbatch = action.stage, action.microbatch
        inputs = self.step.inputs[microbatch]
        if self._reads_vectors(action):
            self._take_vectors(microbatch, inputs)
        if action.segment:
            x = self.step.mail.pop(("F", stage, microbatch))
        elif stage == 0:
            x = None
        else:
            x = self._take("F", stage, stage - 1, microbatch)
        for place in self._of_action(action):
            piece = self.pieces[stage][place]
            leaf = None if x is None else x.detach().requires_grad_(piece.passes)
            if piece.layer:
                with torch.no_grad():
                    x = self._run(piece.first, piece.last, leaf, inputs)
                kept = leaf if place == piece.layer[0] else None
                self.step.saved[stage, microbatch, place] = Saved(kept, None)
            else:
                x = self._run(piece.first, piece.last, leaf, inputs)
                kept = Saved(leaf if piece.passes else None, x) if piece.runs else Saved(None, None)
                self.step.saved[stage, microbatch, place] = kept
        if self._of_action(action)[-1] < len(self.pieces[stage]) - 1:
            self.step.mail["F", stage, microbatch] = x.detach()
        elif stage == self.num_stages - 1:
            self.step.losses.append(x.detach())
        else:
            self._hand_on("F", stage, stage + 1, microbatch, x.detach())

    def backward(self, action: Action) -> None:
        """Runs B or I, piece by piece; leaves the input's gradient to the send, the next segment, or the tables."""
        stage, microbatch = action.stage, action.microbatch
        inputs, grad = self.step.inputs[microbatch], None
        if action.segment:
            grad = self.step.mail.pop(("B", stage, microbatch))
        elif stage < self.num_stages - 1:
            grad = self._take("B", stage, stage + 1, microbatch)
        own = self._of_action(action)
        for place in reversed(own):
            piece = self.pieces[stage][place]
            if not piece.runs:
                self._pass_over(action, place)
                continue
            if self.step.saved[stage, microbatch, place].out is None:
                self._run_again(stage, microbatch, piece.layer, inputs)
            saved = self.step.saved.pop((stage, microbatch, place))
            with self.env.tensor.weights.put_off() if action.verb == "I" else nullcontext([]) as waiting:
                torch.autograd.backward(saved.out, grad)
            if action.verb == "I":
                self.step.waiting[stage, microbatch, place] = waiting
            grad = None if saved.x is None else saved.x.grad
            for bucket in self.dense.of_units(piece.first, piece.last):
                bucket.collect_autograd()
        if self._reads_vectors(action):
            self._give_vectors(microbatch, inputs)
        if own[0] > 0:
            self.step.mail["B", stage, microbatch] = grad
        elif stage > 0:
            self._hand_on("B", stage, stage - 1, microbatch, grad)

    def _pass_over(self, action: Action, place: int) -> None:
        """A piece of which nothing is trained, below everything that is."""
        del self.step.saved[action.stage, action.microbatch, place]
        if action.verb == "I":
            self.step.waiting[action.stage, action.microbatch, place] = []

    def weight_gradients(self, action: Action) -> None:
        """Runs W, piece by piece."""
        for place in reversed(self._of_action(action)):
            self.env.tensor.weights.run(self.step.waiting.pop((action.stage, action.microbatch, place)))

    def _run(self, first: int, last: int, x, inputs: Inputs):
        for unit in self.units[first : last + 1]:
            x = forward(inputs.env or self.env, unit, self.dense.weights, x, inputs)
        return x

    def _run_again(self, stage: int, microbatch: int, layer: tuple[int, ...], inputs: Inputs) -> None:
        """A layer's forward, now with graphs, from the input that its first piece has kept."""
        begin, x = self.recorder.now(), self.step.saved[stage, microbatch, layer[0]].x
        for place in layer:
            piece = self.pieces[stage][place]
            leaf = x.detach().requires_grad_(piece.passes)
            x = self._run(piece.first, piece.last, leaf, inputs)
            self.step.saved[stage, microbatch, place] = Saved(leaf, x)
        self.recorder.span.recomputed.append((begin, self.recorder.now()))

    def _reads_vectors(self, action: Action) -> bool:
        """Whether a compute action runs the unit that looked-up vectors enter."""
        first, last = self.own.chunk(action.stage).span(action.verb, action.segment)
        return action.stage == 0 and first <= self.enters <= last

    def _take_vectors(self, microbatch: int, inputs: Inputs) -> None:
        if self.tables is None:
            return
        for name, vectors in self.tables.vectors(microbatch).items():
            if name in self.scored:
                scored = 1 + self.scenario.model.head.negatives
                vectors, rows = vectors.split(self._inputs_of(name, len(vectors), inputs, scored))
                rows = self._at_rows(rows.view(-1, scored, rows.shape[1]), inputs)
                if self.carries:
                    self.step.mail["rows", "F", 0, microbatch] = rows.flatten(1)
                else:
                    inputs.scored = rows.requires_grad_()
            at_rows = self._at_rows(vectors, inputs) if name in self.positional else vectors.detach().clone()
            inputs.vectors[name] = at_rows.requires_grad_()

    def _inputs_of(self, name: str, count: int, inputs: Inputs, scored: int) -> list[int]:
        """Of a table's vectors: those that enter the trunk, and those that are scored, so many at each position."""
        first = count // (1 + scored) if name in self.positional else len(inputs.rows[name])
        return [first, count - first]

    def _give_vectors(self, microbatch: int, inputs: Inputs) -> None:
        if self.tables is None:
            return
        gradients = {}
        for name, vectors in inputs.vectors.items():
            gradient = vectors.grad
            if inputs.real is not None and name in self.positional:
                gradient = gradient[inputs.real]
            if name in self.scored:
                rows = self.step.mail.pop(("rows", "B", 0, microbatch)) if self.carries else inputs.scored.grad
                rows = rows if inputs.real is None else rows[inputs.real]
                gradient = torch.cat([gradient, rows.reshape(-1, gradient.shape[1]).to(gradient.dtype)])
            gradients[name] = gradient
        inputs.vectors, inputs.scored = {}, None
        self.tables.accept_gradients(microbatch, gradients)

    def _at_rows(self, vectors: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        """A copy of looked-up vectors at the rows that they belong to; padding has none, so zeros."""
        vectors = vectors.detach()
        if inputs.real is None:
            return vectors.clone()
        count = len(inputs.labels) // (self.env.tensor.size if self.env.tensor.shards_sequence else 1)
        rows = vectors.new_zeros((count, *vectors.shape[1:]))
        rows[inputs.real] = vectors
        return rows

    def _take(self, of: str, stage: int, source: int, microbatch: int) -> torch.Tensor:
        """The activation (or, of B, the gradient) that stage `source` hands to `stage`."""
        if holder(self.plan, source) == holder(self.plan, stage):
            x = self.step.mail.pop(("hand", of, stage, microbatch))
        else:
            x = self._whole(self.step.mail.pop(("recv", of, stage, microbatch)), microbatch)
        return self._unload(of, stage, microbatch, x) if self.carries else x

    def _hand_on(self, of: str, stage: int, target: int, microbatch: int, x: torch.Tensor) -> None:
        """Leaves a result of `stage` to its send, or to stage `target` itself where this rank holds both."""
        if self.carries:
            x = self._load(of, stage, microbatch, x)
        if holder(self.plan, target) == holder(self.plan, stage):
            self.step.mail["hand", of, target, microbatch] = x
        else:
            self.step.mail["send", of, stage, microbatch] = self.keep(self._share(x))

    def _unload(self, of: str, stage: int, microbatch: int, x: torch.Tensor) -> torch.Tensor:
        """An activation (or its gradient) without the rows that came with it: these are the head's to score, or wait
        until the stage hands its own result on."""
        x, rows = (part.contiguous() for part in x.split([self.hidden, x.shape[1] - self.hidden], dim=1))
        if of == "F" and stage == self.num_stages - 1:
            negatives = self.scenario.model.head.negatives
            self.step.inputs[microbatch].scored = rows.view(len(rows), 1 + negatives, -1).requires_grad_()
        else:
            self.step.mail["rows", of, stage, microbatch] = rows
        return x

    def _load(self, of: str, stage: int, microbatch: int, x: torch.Tensor) -> torch.Tensor:
        """The inverse: rows go on with a stage's result, or their gradients go back with that of its input."""
        if of == "B" and stage == self.num_stages - 1:
            inputs = self.step.inputs[microbatch]
            rows, inputs.scored = inputs.scored.grad.flatten(1), None
        else:
            rows = self.step.mail.pop(("rows", of, stage, microbatch))
        return torch.cat([x, rows.to(x.dtype)], dim=1)

    def _share(self, x: torch.Tensor) -> torch.Tensor:
        """What this rank sends on: its 1/tensor of the activation, all of it where positions are sharded."""
        if not self.scatters:
            return x.contiguous()
        return _padded(x.reshape(-1), self.layout.tensor).chunk(self.layout.tensor)[self.tensor.index].contiguous()

    def _whole(self, share: torch.Tensor, microbatch: int) -> torch.Tensor:
        """A received activation: the shares of all tensor ranks, gathered (Megatron-LM's scatter/gather)."""
        shape = self.boundary_shape(microbatch)
        if not self.scatters:
            return share.view(shape)
        flat = self.tensor.all_gather(share, self.env.numerics.activation_bytes)
        return flat[: shape[0] * shape[1]].view(shape)

    def boundary_shape(self, microbatch: int) -> tuple[int, int]:
        """(positions, width) of what a rank hands on between two stages: an activation, and rows that go with it."""
        env = self.step.inputs[microbatch].env or self.env
        shares = env.tensor.size if env.tensor.shards_sequence else 1
        return env.batch * env.seq // shares, self.hidden + (scored_width(env.model) if self.carries else 0)


def _padded(flat: torch.Tensor, parts: int) -> torch.Tensor:
    short = -flat.numel() % parts
    return torch.cat([flat, flat.new_zeros(short)]) if short else flat
