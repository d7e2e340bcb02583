"""What one rank does with its gradients: sums them with the others, compressed or not, and updates from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch

from simulator.executor.blocks import Env
from simulator.executor.dense import DenseParameters
from simulator.executor.groups import Group
from simulator.executor.tables import SparseTables
from simulator.policies.compression import compressor_of
from simulator.policies.compressor import Compressor
from simulator.program.actions import Action
from simulator.program.parameters import codec_shapes
from simulator.program.program import RankProgram


class Reductions:
    """The actions of gradients; those that communicate return the bytes that this rank has sent and received.

    groups: by (stream, kind). keep: what another stream will read goes through it. payloads: of each bucket, between
    its encoding and its decoding. steps_run: so many steps were taken.
    """

    def __init__(
        self, scenario, own: RankProgram, env: Env, dense: DenseParameters, tables: SparseTables | None,
        groups: dict[tuple[str, str], Group], keep: Callable[[torch.Tensor], torch.Tensor],
    ):  # fmt: skip
        self.scenario, self.own, self.env, self.dense, self.tables = scenario, own, env, dense, tables
        self.groups, self.keep = groups, keep
        self.streams_of = {launch.action.name: launch.stream for launch in own.launches}
        self.compressor = cache(lambda method: compressor_of(scenario.plan, method))
        self.payloads: dict[str, torch.Tensor] = {}
        self.steps_run = 0

    def encode_nothing(self) -> None:
        """A bucket whose reduction waits for the next step has nothing to send in the first, but all ranks meet."""
        for name in self.own.updated_alone:
            for action in self._of_bucket(name):
                if action.verb == "encode" and not action.phase:
                    self.encode(action)

    def finish(self) -> None:
        """Applies the gradients that the last step left for a next one; no part of any step."""
        verbs = {"reduce": self.reduce, "encode": self.encode, "decode": self.decode}
        with torch.no_grad():
            for name in self.own.updated_alone:
                for action in self._of_bucket(name):
                    if action.verb in verbs and not (action.verb == "encode" and not action.phase):
                        verbs[action.verb](action)
                self.dense.update([name])

    def _of_bucket(self, name: str) -> list[Action]:
        return [launch.action for launch in self.own.launches if launch.action.bucket == name]

    def encode(self, action: Action) -> None:
        """Makes a bucket's payload for the action's phase."""
        bucket, name = self.dense.buckets[action.bucket], action.bucket
        compressor = self.compressor(action.method)
        with torch.no_grad():
            if action.phase == 0:
                bucket.state["rank"] = self.dense.data.index
                bucket.encoded = self.dense.to_encode(bucket, in_parts=compressor.to_owners)
            shapes, received = self._shapes(name, compressor), self.payloads.get(name)
            payload = compressor.pack(action.phase, bucket.encoded, shapes, bucket.state, received)
            self.payloads[name] = self.keep(payload)
            if compressor.to_owners and action.phase == 0:  # an owner's part is all that decoding writes
                bucket.encoded = bucket.encoded.new_empty(bucket.encoded.numel() // self.dense.shard.size)

    def decode(self, action: Action) -> None:
        """Turns what the last phase has brought into the bucket's gradient."""
        bucket, name = self.dense.buckets[action.bucket], action.bucket
        compressor = self.compressor(action.method)
        with torch.no_grad():
            payload, shapes = self.payloads.pop(name), self._shapes(name, compressor)
            compressor.unpack(bucket.encoded, shapes, bucket.state, payload, self.dense.data.size)
            self.dense.take_decoded(bucket, in_parts=compressor.to_owners)

    def _shapes(self, name: str, compressor: Compressor) -> tuple[tuple[int, ...], ...]:
        return codec_shapes(self.scenario, self.own.bucket(name), compressor)

    def reduce(self, action: Action) -> tuple[int, int]:
        """Sums a bucket, its payload, the tied embedding, or what all ranks hold of tables."""
        if action.bucket == "tied":
            return self._reduce_tied()
        if action.bucket == "tables":
            size = self.tables.reduce_dense()
        elif self.dense.copies is not None:
            size = self.dense.add_copies(self.dense.buckets[action.bucket])
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
        op, stream = self.compressor(action.method).collectives[action.phase], self.streams_of[action.name]
        group = self.groups[stream, stream]
        if op == "all_gather":
            self.payloads[action.bucket] = self.keep(group.all_gather(payload, each))
        elif op == "reduce_scatter":
            self.payloads[action.bucket] = self.keep(group.reduce_scatter(payload, each))
        elif op == "all_to_all":
            parts = [payload.numel() // group.size] * group.size
            self.payloads[action.bucket] = self.keep(group.all_to_all(payload, parts, parts))
        else:
            group.all_reduce(payload, each)
        return payload.numel() * each, payload.numel() * each

    def _reduce_tied(self) -> tuple[int, int]:
        gradient = self.dense.tied_gradient()
        self.groups["tied", "tied"].all_reduce(gradient, self.env.numerics.gradient_bytes)
        self.dense.accept_tied()
        size = gradient.numel() * self.env.numerics.gradient_bytes
        return size, size

    def reduce_scatter(self, action: Action) -> tuple[int, int]:
        """Sums a bucket for its owners."""
        if action.method not in (None, "none"):
            return self._reduce_payload(action)
        size = self.dense.reduce_scatter(self.dense.buckets[action.bucket])
        return size, size

    def all_gather(self, action: Action) -> tuple[int, int]:
        """Makes a bucket's parameters whole."""
        size = self.dense.all_gather(self.dense.buckets[action.bucket])
        return size, size

    def optimize(self, action: Action) -> None:
        """Updates the dense parameters; a bucket with an update of its own, from the gradients of the step before."""
        if action.bucket is not None:
            self.dense.update([action.bucket], pending=self.steps_run > 0)
            if not self.steps_run:  # what nothing was encoded with is nothing to remember
                self.dense.buckets[action.bucket].state.clear()
            return
        alone = self.own.updated_alone
        self.dense.update([name for name in self.dense.buckets if name not in alone])
