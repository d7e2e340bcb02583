"""Interpreter: one rank's launches, run in order, step after step.

Each action is a method of what it works on: the stages (F, B, I, W), the tables, the gradients (`reductions.py`). What
an action hands to another one on the same rank lies in `Step.mail`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import thread_time_ns

import torch
import torch.distributed as dist

from simulator.executor.batches import Batch
from simulator.executor.blocks import Env, Inputs
from simulator.executor.cuda_streams import CudaStreams
from simulator.executor.dense import DenseParameters
from simulator.executor.groups import Group
from simulator.executor.job import own_program, peer_of
from simulator.executor.loader import Loader
from simulator.executor.pieces import Step
from simulator.executor.reductions import Reductions
from simulator.executor.shuffle import Loaded, Reads, exchange, gather_lengths
from simulator.executor.slow_rank import SlowRank
from simulator.executor.spans import Recorder, Span
from simulator.executor.stages import Stages
from simulator.executor.streams import HostStreams, Task
from simulator.executor.tables import SparseTables
from simulator.model.lengths import Samples
from simulator.policies.balancer import POLICY, balancer_of
from simulator.policies.decisions import Decision, in_force
from simulator.program.actions import Action
from simulator.program.embedding import MESSAGES
from simulator.program.held import NOTHING, touches
from simulator.program.jagged import LENGTH_BYTES, balances, shuffle_stream
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
        self.transfers, self.recorder, self.streams = transfers, recorder, streams
        self.touches = touches(own, scenario)
        self.slow = SlowRank() if slow is None else slow
        self.passes_ns = 0
        tensor = groups["compute", "tensor"]
        self.stages = Stages(scenario, own, env, dense, tables, tensor, recorder, streams.keep)
        self.reductions = Reductions(scenario, own, env, dense, tables, groups, streams.keep)
        self.compute, self.others = self._tasks()
        self.balancer, self.decisions = balancer_of(scenario) if balances(scenario) else None, decisions
        self.loader = Loader(scenario, env, tables, device)
        self.shufflers = groups[(shuffle_stream(self.plan),) * 2]
        self.loaded: Loaded | None = None
        self.lengths: tuple[int, ...] = ()

    def prepare(self, batch: Batch, samples: Sequence[Samples] = (), step: int = 0) -> list[Inputs] | Loaded:
        """A batch on the device; the data loader's work, not the step's. samples: of each microbatch, where they differ
        in length. step: of the run. A batch that is shuffled first is prepared within the step."""
        if self.balancer is not None:
            return Loaded(batch, tuple(length for one in samples for length in one.lengths), step)
        return self.loader.load(batch, samples)

    def run_step(self, prepared: list[Inputs] | Loaded) -> tuple[list[Span], float]:
        """One training step; returns the spans in launch order and this rank's part of the loss."""
        self.loaded = prepared if isinstance(prepared, Loaded) else None
        self.stages.step = Step([] if self.loaded else prepared)
        if not self.reductions.steps_run:
            self.reductions.encode_nothing()
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        self.passes_ns = 0
        spans = self.streams.run(self.compute, self.others, len(self.own.launches))
        self.reductions.steps_run += 1
        return spans, float(sum(self.stages.step.losses))

    def finish(self) -> None:
        """Applies the gradients that the last step left for a next one; no part of any step."""
        self.recorder.span = Span()
        self.reductions.finish()

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
                 "W": self.stages.weight_gradients, "encode": self.reductions.encode, "decode": self.reductions.decode,
                 "lookup": self._tables_compute, "deduplicate": self._tables_compute,
                 "repeat": self._tables_compute, "optimizer": self.reductions.optimize,
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
        verbs = {"send": self._send, "recv": self._receive, "reduce": self.reductions.reduce,
                 "reduce_scatter": self.reductions.reduce_scatter, "all_gather": self.reductions.all_gather,
                 "gather lengths": self._gather_lengths, "shuffle samples": self._shuffle,
                 **dict.fromkeys(MESSAGES, self._table_message)}  # fmt: skip

        def work(span: Span) -> None:
            with torch.no_grad():
                span.sent, span.received = verbs[action.verb](action)

        return work

    # samples and tables

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
        reads = Reads(*ends, self.loader.of_samples)
        batch, samples, size = exchange(self.loaded, self.lengths, order, reads, self.shufflers)
        self.stages.step.inputs += self.loader.load(batch, samples)
        return size, size

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


def _tag(of: str, stage: int) -> int:
    return 2 * stage + (of == "B")
