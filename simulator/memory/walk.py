"""A step of one rank in launch order, and what it holds at every moment of it.

Parameters, gradients, optimizer states and tables stay; activations come with each F and go with its B. Of a backward
pass in halves, I lets go of all but what W reads. What is alive is decided by the order of launches: a caching
allocator hands memory out when the host launches, whenever the device gets there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from simulator.memory.activations import Activations
from simulator.memory.coded import coded_buckets
from simulator.model import memory_rules
from simulator.model.blocks import Cut
from simulator.model.lengths import cuts_of
from simulator.program.actions import COMPUTE_VERBS, Action
from simulator.program.held import NOTHING, Touch, touches
from simulator.program.program import RankProgram
from simulator.units import DTYPE_BYTES

KINDS = ("parameters", "gradients", "optimizer", "activations", "embeddings", "buffers")


INSIDE, BEHIND, AHEAD = "inside", "behind", "ahead"


class Moment(NamedTuple):
    """What is held, until the next moment, while an action on the compute stream runs (INSIDE: at its fullest), once it
    has ended (BEHIND), or once a gather of parameters has been launched ahead of the next (AHEAD).

    action: its name, empty before the first one. held: bytes by `KINDS`.
    """

    action: str
    when: str
    held: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.held)


class Walk:
    """at_rest: bytes by kind between two steps. cut: what the rank works on in one microbatch of full-length samples.

    Blocks that are gathered for a while are parameters, their whole gradients are gradients, messages are buffers: a
    gather's from its launch until it is unpacked, a reduction's from its packing until compute has waited for it. A
    shard of summed gradients is there from its first reduction until the update. Not counted: in forward FSDP2 keeps a
    gather's message one block longer. What a compressor works on is a buffer too (`coded.py`).
    """

    def __init__(self, own: RankProgram, scenario, cut: Cut, at_rest: dict[str, int]):
        self.own, self.plan, self.held = own, scenario.plan, {kind: at_rest[kind] for kind in KINDS}
        cuts = cuts_of(scenario, cut)
        self.activations = cache(lambda samples: Activations(scenario, cuts(samples)))
        self.touches = touches(own, scenario)
        precision = scenario.precision
        self.parameter, self.gradient, self.reduced = (
            DTYPE_BYTES[name] for name in (precision.parameters, precision.gradients, precision.reduce)
        )
        self.numel = {bucket.name: bucket.numel for bucket in own.buckets}
        self.parameters = {bucket.name: bucket.parameters for bucket in own.buckets}
        self.coded = coded_buckets(own, scenario)
        waiting = [self.coded[name] for name in own.updated_alone if name in self.coded]  # for the next step
        self.held["buffers"] += sum(coded.messages + (coded.copy if coded.stays else 0) for coded in waiting)
        self._fullest = tuple(self.held.values())

    def moments(self) -> Iterator[Moment]:
        """In launch order; the first one is between two steps."""
        yield Moment("", BEHIND, tuple(self.held.values()))
        for launch in self.own.launches:
            action = launch.action
            if action.verb in COMPUTE_VERBS:
                self._fullest = tuple(self.held.values())
                self._compute(action, self.touches.get(action.name, NOTHING))
                yield Moment(action.name, INSIDE, self._fullest)
                yield Moment(action.name, BEHIND, tuple(self.held.values()))
            elif action.verb == "optimizer":
                released = self.touches.get(action.name, NOTHING).releases
                self.held["buffers"] -= sum(self._message(name) for name in released)
                yield Moment(action.name, INSIDE, tuple(self.held.values()))
                if self.plan.scatters_each:  # the shards of the summed gradients have been used up
                    self.held["gradients"] = 0
                yield Moment(action.name, BEHIND, tuple(self.held.values()))
            elif action.verb in ("encode", "decode") and not action.phase:
                self._fullest = tuple(self.held.values())
                self._code(action)
                yield Moment(action.name, INSIDE, self._fullest)
                yield Moment(action.name, BEHIND, tuple(self.held.values()))
            elif action.verb == "all_gather" and self.plan.gathers_blocks:
                self.held["buffers"] += self._padded(self.parameters[action.bucket]) * self.parameter
                yield Moment(action.name, AHEAD, tuple(self.held.values()))

    def _compute(self, action: Action, touch: Touch) -> None:
        self.held["buffers"] -= sum(self._message(name) for name in touch.releases)
        for name in touch.unpacks:
            self._hold(parameters=self.parameters[name] * self.parameter)
            self.held["buffers"] -= self._padded(self.parameters[name]) * self.parameter
        self._hold(gradients=sum(self.numel[name] for name in touch.opens) * self.parameter)
        span = self.own.chunk(action.stage).span(action.verb, action.segment)
        activations = self.activations(self.own.samples_of(action))
        beside = activations.beside(action.verb, span)
        self._hold(activations=beside)
        self.held["activations"] += activations.change(action.verb, span) - beside
        for name in touch.packs:
            self._hold(buffers=self.coded[name].copy if name in self.coded else self._message(name))
            if self.plan.scatters_each:
                shard = self._padded(self.numel[name]) // self.plan.shards if action.microbatch == 0 else 0
                self.held["gradients"] += shard * self.gradient - self.numel[name] * self.parameter
        self.held["parameters"] -= sum(self.parameters[name] for name in touch.drops) * self.parameter

    def _code(self, action: Action) -> None:
        """A bucket is encoded, or decoded."""
        coded = self.coded[action.bucket]
        if action.verb == "decode":
            self.held["buffers"] -= coded.messages + (coded.copy if coded.stays else 0)
            return
        packed = self.plan.gathers_blocks or self.plan.scatters_each  # behind the action that completed it
        self._hold(buffers=coded.messages + (0 if packed else coded.copy))
        self.held["buffers"] -= 0 if coded.stays else coded.copy

    def _hold(self, **more: int) -> None:
        for kind, size in more.items():
            self.held[kind] += size
        if sum(self.held.values()) > sum(self._fullest):
            self._fullest = tuple(self.held.values())

    def _message(self, name: str) -> int:
        """Of a reduction: what is sent, and the share of the sum."""
        padded = self._padded(self.numel[name])
        return padded * self.reduced + padded // self.plan.shards * self.reduced

    def _padded(self, elements: int) -> int:
        return memory_rules.part(elements, self.plan.shards) * self.plan.shards
