"""What the caching allocator keeps of a rank's device beyond the tensors that are ever held at once.

The tensors of a step are asked for and given back, block by block, in the order of launches (`walk.py`), for two
steps, and the allocator's model (`allocator.py`) says what it has reserved in the end. Tensors of a layer are taken as
large as the residual stream's, those of a head as its fp32 logits; weights are one tensor each, gradients one a bucket.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from simulator.memory.allocator import CachingAllocator
from simulator.memory.walk import Walk
from simulator.model.blocks import Cut, head
from simulator.program.actions import COMPUTE_VERBS, Action
from simulator.program.held import NOTHING, Touch
from simulator.program.parameters import local_shapes
from simulator.program.program import RankProgram

STEPS = 2
"""What the first step leaves free, the second finds."""
ENOUGH = 2
"""Microbatches for each stage and chunk that are replayed: no more are alive at once (but for GPipe's), and others find
what these have left."""
STATE_BYTES = 4
MOST_TENSORS = 64
"""At once: a layer that is run again holds some 17 of its residual stream's size and 10 gradients; what would be far
more is larger tensors."""


def replayed(own: RankProgram, scenario, cut: Cut, at_rest: dict[str, int]) -> CachingAllocator:
    """The allocator of one rank after `STEPS` steps. at_rest: bytes by kind between two of them."""
    replay = Replay(own, scenario, cut, at_rest)
    for _ in range(STEPS):
        replay.step()
    return replay.allocator


class Replay(Walk):
    """The walk, with a block for every tensor. Blocks by what they are: ("message", bucket), ("kept", ...), ..."""

    def __init__(self, own: RankProgram, scenario, cut: Cut, at_rest: dict[str, int]):
        super().__init__(own, scenario, cut, at_rest)
        self.allocator, self.blocks = CachingAllocator(), {}
        plan = scenario.plan
        all_alive = plan.schedule == "gpipe" or bool(own.samples)  # of samples of many lengths any may be the fullest
        numbers = [launch.action.microbatch for launch in own.launches if launch.action.microbatch is not None]
        self.enough = max(numbers) + 1 if all_alive else ENOUGH * plan.pipeline * plan.virtual_stages
        self.tensor = max(1, cut.bytes * cut.shard_tokens * scenario.model.trunk.hidden)
        rows = head.output_rows(scenario.model)
        self.logits = max(self.tensor, head.LOSS_BYTES * cut.tokens * cut.share(rows[0])) if rows else self.tensor
        trained, frozen = (
            [prod(shape) for chunk in own.chunks
             for shape in local_shapes(scenario, chunk.first, chunk.last, frozen=still)]
            for still in (False, True)
        )  # fmt: skip
        tensors = {"parameters": trained + frozen, "gradients": [bucket.numel for bucket in own.buckets] or trained}
        for kind, size in at_rest.items():
            parts = tensors.get(kind, trained)
            whole = sum(parts) if kind in ("parameters", "gradients", "optimizer") else 0
            states = max(1, size // (STATE_BYTES * whole)) if kind == "optimizer" and whole else 1
            for place, count in enumerate(parts * states if whole else [1]):
                self._take((kind, "rest", place), size * count // (whole * states or 1))

    def step(self) -> None:
        """One step's requests."""
        for launch in self.own.launches:
            action = launch.action
            if action.microbatch is not None and action.microbatch >= self.enough:
                continue
            touch = self.touches.get(action.name, NOTHING)
            if action.verb in COMPUTE_VERBS:
                self._compute(action, touch)
            elif action.verb == "optimizer":
                self._give(*(("message", name) for name in touch.releases))
                self._give(*[key for key in self.blocks if key[0] == "shard"])
            elif action.verb in ("encode", "decode") and not action.phase:
                self._code(action)
            elif action.verb == "all_gather" and self.plan.gathers_blocks:
                self._take(("gathered", action.bucket), self._padded(self.parameters[action.bucket]) * self.parameter)

    def _compute(self, action: Action, touch: Touch) -> None:
        self._give(*(("message", name) for name in touch.releases))
        for name in touch.unpacks:
            self._take(("whole", name), self.parameters[name] * self.parameter)
            self._give(("gathered", name))
        for name in touch.opens:
            self._take(("gradient", name), self.numel[name] * self.parameter)
        first, last = self.own.chunk(action.stage).span(action.verb, action.segment)
        for index in range(first, last + 1) if action.verb == "F" else range(last, first - 1, -1):
            self._run(action, index)
        for name in touch.packs:
            self._take(("message", name), self.coded[name].copy if name in self.coded else self._message(name))
            if self.plan.scatters_each:
                self._take(("shard", name), self._padded(self.numel[name]) // self.plan.shards * self.gradient)
                self._give(("gradient", name))
        self._give(*(("whole", name) for name in touch.drops))

    def _code(self, action: Action) -> None:
        coded, message, copy = self.coded[action.bucket], ("coded", action.bucket), ("message", action.bucket)
        if action.verb == "decode":
            self._give(message, copy)
            return
        self._take(copy, coded.copy)  # unless it was packed before
        self._take(message, coded.messages)
        self._give(*([] if coded.stays else [copy]))

    def _run(self, action: Action, index: int) -> None:
        """One unit forward, backward or half of it."""
        activations, key = self.activations(self.own.samples_of(action)), (action.microbatch, index)
        piece = self.tensor if activations.layer(index) >= 0 else self.logits
        if action.verb == "F":
            self._take(("kept", *key), activations.kept(index), piece)
            return
        if action.verb == "W":
            self._give(("for weights", *key))
            return
        self._take(("beside",), activations.rerun(index) + activations.working(index), piece)
        self._give(("kept", *key))
        if action.verb == "I":
            self._take(("for weights", *key), activations.for_weights((index, index)), piece)
        self._give(("beside",))

    def _take(self, key: tuple, size: int, piece: int | None = None) -> None:
        if size and key not in self.blocks:
            self.blocks[key] = [self.allocator.malloc(each) for each in _pieces(size, piece or size)]

    def _give(self, *keys: tuple) -> None:
        for key in keys:
            for block in self.blocks.pop(key, ()):
                self.allocator.free(block)


def _pieces(size: int, piece: int) -> Iterator[int]:
    """Tensors of one size and a smaller one; larger ones where there would be more than any unit has."""
    piece = max(piece, -(-size // MOST_TENSORS))
    whole, rest = divmod(size, piece)
    yield from [piece] * whole
    if rest:
        yield rest
