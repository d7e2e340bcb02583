"""Interpreter: one rank's launches, run in order, step after step.

Each action is a method of what it works on: the stages (F, B, I, W), the tables, the dense parameters. What an action
hands to another one on the same rank lies in `Step.mail`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from time import thread_time_ns

import torch
import torch.distributed as dist

from simulator.executor.batches import TOKENS, Batch, Microbatch
from simulator.executor.blocks import Env, Inputs
from simulator.executor.blocks.samples import env_of, real_rows, rows_of, rows_of_ids
from simulator.executor.cuda_streams import CudaStreams
from simulator.executor.dense import DenseParameters
from simulator.executor.groups import Group
from simulator.executor.job import own_program, peer_of
from simulator.executor.shuffle import Loaded, Reads, exchange, gather_lengths
from simulator.executor.slow_rank import SlowRank
from simulator.executor.spans import Recorder, Span
from simulator.executor.stages import Stages, Step
from simulator.executor.streams import HostStreams, Task
from simulator.executor.tables import SparseTables
from simulator.model.blocks import Cut, sparse_tables
from simulator.model.lengths import Samples, cuts_of
from simulator.model.lookups import is_positional
from simulator.policies.balancer import POLICY, balancer_of
from simulator.policies.compression import compressor_of
from simulator.policies.compressor import Compressor
from simulator.policies.decisions import Decision, in_force
from simulator.program.actions import Action
from simulator.program.cuts import cut_of
from simulator.program.embedding import MESSAGES
from simulator.program.held import NOTHING, touches
from simulator.program.jagged import LENGTH_BYTES, balances, shuffle_stream
from simulator.program.parameters import codec_shapes
from simulator.program.placement import holder
from simulator.program.program import Program

PASSES = ("F", "B", "I", "W")


class Interpreter:
    """One rank of a program. groups: by (stream, kind). transfers: process groups of the pipeline's messages.

    env, dense, tables: what it computes with. streams: what runs its actions. decisions: of the length balancer,
    replayed; None: it decides step by step. slow: how much slower it is made.
    passes_ns: what a core has worked on the last step's forward and backward.
    """

    def __init__(
        self, scenario, program: Program, rank: int, env: Env, dense: DenseParameters, tables: SparseTables | None,
        groups: dict[tuple[str, str], Group], transfers: dict, recorder: Recorder, streams: HostStreams | CudaStreams,
        device: torch.device, decisions: tuple[Decision, ...] | None = None, slow: SlowRank | None = None,
    ):  # fmt: skip
        own = self.own = own_program(program, rank)
        self.scenario, self.program, self.env, self.dense, self.tables = scenario, program, env, dense, tables
        self.layout, self.plan, self.rank, self.device = scenario.layout, scenario.plan, rank, device
        self.groups, self.transfers, self.recorder, self.streams = groups, transfers, recorder, streams
        self.compressor = cache(lambda method: compressor_of(self.plan, method))
        self.payloads: dict[str, torch.Tensor] = {}
        self.streams_of = {launch.action.name: launch.stream for launch in own.launches}
        self.touches = touches(own, scenario)
        self.cuts = cuts_of(scenario, cut_of(scenario))
        self.slow = SlowRank() if slow is None else slow
        self.passes_ns = 0
        tensor = groups["compute", "tensor"]
        self.stages = Stages(scenario, own, env, dense, tables, tensor, recorder, streams.keep)
        self.compute, self.others = self._tasks()
        self.steps_run = 0
        self.balancer, self.decisions = balancer_of(scenario) if balances(scenario) else None, decisions
        model = scenario.model
        self.of_samples = frozenset(table.name for table in model.tables if not is_positional(table))
        self.shufflers = groups[(shuffle_stream(self.plan),) * 2]
        self.loaded: Loaded | None = None
        self.lengths: tuple[int, ...] = ()

    def prepare(self, batch: Batch, samples: Sequence[Samples] = (), step: int = 0) -> list[Inputs] | Loaded:
        """A batch on the device; the data loader's work, not the step's. samples: of each microbatch, where they differ
        in length. step: of the run. A batch that is shuffled first is prepared within the step."""
        if self.balancer is not None:
            return Loaded(batch, tuple(length for one in samples for length in one.lengths), step)
        return self._prepared(batch, samples)

    def _prepared(self, batch: Batch, samples: Sequence[Samples]) -> list[Inputs]:
        samples = samples or [None] * len(batch.microbatches)
        pairs = zip(batch.microbatches, samples, strict=True)
        return [self._inputs(number, *pair, batch.total_weight) for number, pair in enumerate(pairs)]

    def run_step(self, prepared: list[Inputs] | Loaded) -> tuple[list[Span], float]:
        """One training step; returns the spans in launch order and this rank's part of the loss."""
        self.loaded = prepared if isinstance(prepared, Loaded) else None
        self.stages.step = Step([] if self.loaded else prepared)
        if not self.steps_run:
            self._encode_nothing()
        self.passes_ns = 0
        spans = self.streams.run(self.compute, self.others, len(self.own.launches))
        self.steps_run += 1
        return spans, float(sum(self.stages.step.losses))

    def finish(self) -> None:
        """Applies the gradients that the last step left for a next one; no part of any step."""
        self.recorder.span = Span()
        verbs = {"reduce": self._reduce, "encode": self._encode, "decode": self._decode}
        with torch.no_grad():
            for name in self.own.updated_alone:
                for action in self._of_bucket(name):
                    if action.verb in verbs and not (action.verb == "encode" and not action.phase):
                        verbs[action.verb](action)
                self.dense.update([name])

    def _of_bucket(self, name: str) -> list[Action]:
        return [launch.action for launch in self.own.launches if launch.action.bucket == name]

    def _encode_nothing(self) -> None:
        """A bucket whose reduction waits for the next step has nothing to send in the first, but all ranks meet."""
        for name in self.own.updated_alone:
            for action in self._of_bucket(name):
                if action.verb == "encode" and not action.phase:
                    self._encode(action)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

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
        verbs = {"F": self.stages.forward, "B": self.stages.backward, "I": self.stages.backward,
                 "W": self.stages.weight_gradients, "encode": self._encode, "decode": self._decode,
                 "lookup": self._tables_compute, "deduplicate": self._tables_compute,
                 "repeat": self._tables_compute, "optimizer": self._optimize,
                 "table_optimizer": self._optimize_tables}  # fmt: skip

        touch = self.touches.get(action.name, NOTHING)

        def work(span: Span) -> None:
            self.recorder.span, started = span, thread_time_ns()
            self.dense.begin(touch)
            verbs[action.verb](action)
            self.dense.end(touch)
            self.slow.repeat(thread_time_ns() - started)
            if action.verb in PASSES:
                self.passes_ns += thread_time_ns() - started

        return work

    def _communicates(self, action: Action) -> Callable[[Span], None]:
        verbs = {"send": self._send, "recv": self._receive, "reduce": self._reduce,
                 "reduce_scatter": self._reduce_scatter, "all_gather": self._all_gather,
                 "gather lengths": self._gather_lengths, "shuffle samples": self._shuffle,
                 **dict.fromkeys(MESSAGES, self._table_message)}  # fmt: skip

        def work(span: Span) -> None:
            with torch.no_grad():
                span.sent, span.received = verbs[action.verb](action)

        return work

    # samples, microbatches and tables

    def _gather_lengths(self, action: Action) -> tuple[int, int]:
        self.lengths = gather_lengths(self.loaded.lengths, self.shufflers)
        size = len(self.lengths) * LENGTH_BYTES
        return size, size

    def _shuffle(self, action: Action) -> tuple[int, int]:
        """Each replica gets the samples that the balancer gives it: decided here, by all ranks alike, or before."""
        step = self.loaded.step
        replayed = in_force(self.decisions, POLICY, step) if self.decisions is not None else None
        order = self.balancer.check(replayed.after, step) if replayed else self.balancer.decide(self.lengths)
        ends = (holder(self.plan, stage) == self.layout.coordinates(self.rank)[0]
                for stage in (0, self.stages.num_stages - 1))  # fmt: skip
        reads = Reads(*ends, self.of_samples)
        batch, samples, size = exchange(self.loaded, self.lengths, order, reads, self.shufflers)
        self.stages.step.inputs += self._prepared(batch, samples)
        return size, size

    def _inputs(self, number: int, microbatch: Microbatch, samples: Samples | None, total_weight: float) -> Inputs:
        env, cut, real = self.env, self.cuts(samples), None
        if samples is not None:
            env = env_of(env, cut, samples.lengths)
            real = real_rows(env, cut, self.device)
        rows = partial(self._rows, env)
        flat = {name: rows(array) for name, array in microbatch.ids.items() if name not in self.of_samples}
        weights = rows(microbatch.weights).to(self.env.numerics.loss) / total_weight
        inputs = Inputs(flat.get(TOKENS, flat.get(self._token_table())), rows(microbatch.labels), weights)
        if samples is not None:
            inputs.env, inputs.real = env, real
        if self.tables is not None:
            self._ask_tables(number, microbatch, flat, env, cut, inputs)
        if microbatch.numbers is not None:
            inputs.numbers = torch.as_tensor(microbatch.numbers).to(self.device, self.env.numerics.activations)
        return inputs

    def _ask_tables(self, number: int, microbatch: Microbatch, flat: dict, env: Env, cut: Cut, inputs: Inputs) -> None:
        """Presents the ids of this rank's positions, and the rows that are scored there behind those of their table;
        padding is not looked up. flat: ids by position."""

        def own(rows: torch.Tensor) -> torch.Tensor:
            rows = env.tensor.own_rows(rows)
            return rows if inputs.real is None else rows[inputs.real]

        asked = {name: own(ids) for name, ids in flat.items() if name != TOKENS}
        for name in self.of_samples & microbatch.ids.keys():
            table, bags = self.scenario.model.table(name), self._bags(microbatch.ids[name])
            if table.pooling == "none":
                places, inputs.rows[name] = rows_of_ids(env, cut, table.lookups_per_sample, self.device)
                bags = bags[places]
            asked[name] = bags
        if microbatch.scored is not None:
            name = self.scenario.model.head.table
            asked[name] = torch.cat([asked[name], own(self._rows(env, microbatch.scored)).reshape(-1)])
        self.tables.present(number, {table.name: asked[table.name] for table in sparse_tables(self.scenario.model)})

    def _token_table(self) -> str | None:
        return self.scenario.model.head.table

    def _rows(self, env: Env, array) -> torch.Tensor:
        """[samples, positions, ...] -> [own rows, ...] on the device."""
        return rows_of(env, torch.as_tensor(array).to(self.device))

    def _bags(self, array) -> torch.Tensor:
        """[samples, lookups] -> [samples * lookups], sample after sample, on the device."""
        return torch.as_tensor(array).to(self.device).reshape(-1)

    def _tables_compute(self, action: Action) -> None:
        runs = {("lookup", "F"): self.tables.lookup, ("lookup", "B"): self.tables.accumulate_gradients,
                ("deduplicate", "F"): self.tables.deduplicate, ("repeat", "F"): self.tables.repeat,
                ("deduplicate", "B"): self.tables.sum_gradients}  # fmt: skip
        with torch.no_grad():
            runs[action.verb, action.of](action.microbatch)

    def _table_message(self, action: Action) -> tuple[int, int]:
        return getattr(self.tables, action.verb.replace(" ", "_"))(action.microbatch)

    def _optimize_tables(self, action: Action) -> None:
        with torch.no_grad():
            self.tables.update()

    # the pipeline

    def _send(self, action: Action) -> tuple[int, int]:
        share = self.stages.step.mail.pop(("send", action.of, action.stage, action.microbatch))
        target = action.stage + (1 if action.of == "F" else -1)
        peer = peer_of(self.program, self.rank, action)
        group = self.transfers[action.of, self.rank, peer]
        dist.isend(share, peer, group=group, tag=_tag(action.of, target)).wait()
        return share.numel() * self.env.numerics.activation_bytes, 0

    def _receive(self, action: Action) -> tuple[int, int]:
        rows, width = self.stages.boundary_shape(action.microbatch)
        count = -(-rows * width // self.layout.tensor) if self.stages.scatters else rows * width
        share = torch.empty(count, dtype=self.env.numerics.activations, device=self.device)
        peer = peer_of(self.program, self.rank, action)
        group = self.transfers[action.of, peer, self.rank]
        dist.irecv(share, peer, group=group, tag=_tag(action.of, action.stage)).wait()
        self.stages.step.mail["recv", action.of, action.stage, action.microbatch] = self.streams.keep(share)
        return 0, count * self.env.numerics.activation_bytes

    # gradients and the update

    def _encode(self, action: Action) -> None:
        bucket, name = self.dense.buckets[action.bucket], action.bucket
        compressor = self.compressor(action.method)
        with torch.no_grad():
            if action.phase == 0:
                bucket.state["rank"] = self.dense.data.index
                bucket.encoded = self.dense.to_encode(bucket, in_parts=compressor.to_owners)
            shapes, received = self._shapes(name, compressor), self.payloads.get(name)
            payload = compressor.pack(action.phase, bucket.encoded, shapes, bucket.state, received)
            self.payloads[name] = self.streams.keep(payload)
            if compressor.to_owners and action.phase == 0:  # an owner's part is all that decoding writes
                bucket.encoded = bucket.encoded.new_empty(bucket.encoded.numel() // self.dense.shard.size)

    def _decode(self, action: Action) -> None:
        bucket, name = self.dense.buckets[action.bucket], action.bucket
        compressor = self.compressor(action.method)
        with torch.no_grad():
            payload, shapes = self.payloads.pop(name), self._shapes(name, compressor)
            compressor.unpack(bucket.encoded, shapes, bucket.state, payload, self.dense.data.size)
            self.dense.take_decoded(bucket, in_parts=compressor.to_owners)

    def _shapes(self, name: str, compressor: Compressor) -> tuple[tuple[int, ...], ...]:
        return codec_shapes(self.scenario, self.own.bucket(name), compressor)

    def _reduce(self, action: Action) -> tuple[int, int]:
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
            self.payloads[action.bucket] = self.streams.keep(group.all_gather(payload, each))
        elif op == "reduce_scatter":
            self.payloads[action.bucket] = self.streams.keep(group.reduce_scatter(payload, each))
        elif op == "all_to_all":
            parts = [payload.numel() // group.size] * group.size
            self.payloads[action.bucket] = self.streams.keep(group.all_to_all(payload, parts, parts))
        else:
            group.all_reduce(payload, each)
        return payload.numel() * each, payload.numel() * each

    def _reduce_tied(self) -> tuple[int, int]:
        gradient = self.dense.tied_gradient()
        self.groups["tied", "tied"].all_reduce(gradient, self.env.numerics.gradient_bytes)
        self.dense.accept_tied()
        size = gradient.numel() * self.env.numerics.gradient_bytes
        return size, size

    def _reduce_scatter(self, action: Action) -> tuple[int, int]:
        if action.method not in (None, "none"):
            return self._reduce_payload(action)
        size = self.dense.reduce_scatter(self.dense.buckets[action.bucket])
        return size, size

    def _all_gather(self, action: Action) -> tuple[int, int]:
        size = self.dense.all_gather(self.dense.buckets[action.bucket])
        return size, size

    def _optimize(self, action: Action) -> None:
        """A bucket with an update of its own is updated from the gradients of the step before."""
        if action.bucket is not None:
            self.dense.update([action.bucket], pending=self.steps_run > 0)
            if not self.steps_run:  # what nothing was encoded with is nothing to remember
                self.dense.buckets[action.bucket].state.clear()
            return
        alone = self.own.updated_alone
        self.dense.update([name for name in self.dense.buckets if name not in alone])


def _tag(of: str, stage: int) -> int:
    return 2 * stage + (of == "B")
