"""One rank's run: groups, model, interpreter, steps. Everything here happens in that rank's own process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist

from simulator.errors import ScenarioError
from simulator.executor.adapting import Adapting
from simulator.executor.blocks import Env
from simulator.executor.blocks.head import is_partial
from simulator.executor.context_parallel import Context
from simulator.executor.cuda_streams import CudaStreams
from simulator.executor.dense import DenseParameters
from simulator.executor.emulated import seconds_a_byte
from simulator.executor.forgetting import Forgetting
from simulator.executor.groups import make_groups, make_pipeline_groups
from simulator.executor.interpreter import Interpreter
from simulator.executor.job import Job, RankRecord, own_program
from simulator.executor.lone_bottom import LoneBottom
from simulator.executor.moving import adopt, move_layers, remembered
from simulator.executor.numerics import Numerics
from simulator.executor.run_delay import RunDelay
from simulator.executor.slow_rank import SlowRank
from simulator.executor.spans import Recorder, Span, now_ns
from simulator.executor.streams import HostStreams
from simulator.executor.table_routes import TableGroups
from simulator.executor.tables import SparseTables
from simulator.executor.tensor_parallel import Tensor
from simulator.model.blocks import sparse_tables
from simulator.model.bottom_mlp import on_one_rank
from simulator.program.lowering import lower
from simulator.program.program import Program, RankProgram
from simulator.stage_balance import adapts, with_partition


def run_rank(job: Job, rank: int, fatal: Callable[[BaseException], None], local_rank: int | None = None) -> RankRecord:
    """Runs all steps. Needs torch's default process group: gloo over all ranks, which also carries barriers and, on
    CPUs, the pipeline's messages. fatal: what a communication thread calls when it fails."""
    with torch.random.fork_rng(devices=[]):
        runner = _Runner(job, rank, fatal, local_rank)
        try:
            return runner.run()
        finally:
            runner.streams.close()


class _Runner:
    def __init__(self, job: Job, rank: int, fatal: Callable[[BaseException], None], local_rank: int | None):
        scenario = job.scenario
        self.job, self.rank = job, rank
        self.device = torch.device("cpu")
        if job.backend == "nccl":
            self.device = torch.device("cuda", _device(rank if local_rank is None else local_rank))
            torch.cuda.set_device(self.device)
        layout, own = scenario.layout, own_program(job.program, rank)
        names = [name for name in own.streams if name != "compute"]
        cuda = self.device.type == "cuda"
        self.streams = CudaStreams(names, self.device) if cuda else HostStreams(names, fatal)
        recorder = Recorder(self.streams.now)
        numerics = Numerics.of(scenario, job.double)
        streams = dict.fromkeys(name for one in job.program.ranks for name in one.streams)
        timeout = timedelta(seconds=job.timeout_s)
        groups = make_groups(
            job.program.layout,
            rank,
            recorder,
            backend=job.backend,
            timeout=timeout,
            streams=tuple(streams),
            seconds_a_byte=lambda ranks: seconds_a_byte(scenario, ranks),
        )
        transfers = make_pipeline_groups(job.program, backend=job.backend, timeout=timeout)
        tensor = Tensor(
            groups["compute", "tensor"], scenario.plan.sequence_parallel, numerics.activation_bytes,
            scenario.plan.overlap.tensor,
        )  # fmt: skip
        trunk, plan = scenario.model.trunk, scenario.plan
        context = Context(
            groups["compute", "context"], plan.context_kind, bool(trunk.causal), numerics.activation_bytes
        )  # fmt: skip
        self.env = Env(
            scenario.model, plan.microbatch, trunk.seq // layout.context, tensor, numerics, job.attention,
            plan.recompute in ("selective", "selective_op"), Forgetting(plan.recompute == "selective_op"), context,
            compiles=scenario.software.compile,
        )  # fmt: skip
        shard, copies = (groups["shard", "shard"], groups["replica", "replica"]) if layout.shard else (None, None)

        def dense_of(dealt, own: RankProgram, values=None) -> DenseParameters:
            return DenseParameters(
                dealt, own, numerics, groups["data", "data"], groups["compute", "tensor"], self.device,
                job.learning_rate, shard, copies, values,
            )  # fmt: skip

        self.dense_of = dense_of
        self.dense = dense_of(scenario, own)
        self.tables = self.bottom = None
        if sparse_tables(scenario.model) and layout.coordinates(rank)[0] == 0:
            kinds = ("table", "table_node", "table_across", "context", "tensor")
            table = TableGroups(*(groups["embedding", kind] for kind in kinds))
            if on_one_rank(scenario):
                self.bottom = LoneBottom(
                    scenario, self.env, table.whole, self.device, job.learning_rate, double=job.double
                )
            self.tables = SparseTables(scenario, table, self.device, job.double, self.streams.keep, self.bottom)
        self.slow = SlowRank()

        def interpreter_of(dealt, program: Program) -> Interpreter:
            return Interpreter(
                dealt, program, rank, self.env, self.dense, self.tables, groups, transfers, recorder, self.streams,
                self.device, job.decisions, self.slow,
            )  # fmt: skip

        self.interpreter_of = interpreter_of
        self.interpreter = interpreter_of(scenario, job.program)
        self.adapting = Adapting(job) if adapts(scenario) else None
        self.counts_loss = groups["compute", "tensor"].index == 0 or is_partial(self.env)

    def run(self) -> RankRecord:
        job, record = self.job, RankRecord(self.rank)
        data_rank, lost = job.scenario.layout.coordinates(self.rank)[1], RunDelay()
        for step in range(job.warmup + job.steps):
            batch = job.source(job.scenario, step, data_rank)
            draw = step % job.scenario.num_draws
            samples = job.scenario.samples(draw)
            prepared = self.interpreter.prepare(batch, samples[data_rank] if samples else (), draw)
            if self.bottom is not None:
                self.bottom.load(job.scenario, job.source, step)
            self.slow.begin_step(job.scenario, self.rank, max(0, step - job.warmup))
            dist.barrier()
            begin, lost_before = now_ns(), lost()
            spans, loss = self.interpreter.run_step(prepared)
            record.losses.append(loss if self.counts_loss else 0.0)
            if step >= job.warmup:
                record.begin_ns.append(begin)
                record.lost_ns.append(lost() - lost_before)
                record.spans.append(spans)
                self._adapt(step - job.warmup, begin, spans, record)
        lost.close()
        dist.barrier()
        stores = {name: shard.store for name, shard in self.tables.shards.items()} if self.tables is not None else {}
        stores = {name: store for name, store in stores.items() if store is not None}
        record.cache = {name: (store.reads, store.hits) for name, store in stores.items() if not store.all_kept}
        if job.keep_weights:
            self.interpreter.finish()
            self.dense.make_whole()
            record.weights = {name: _numpy(value) for name, value in self.dense.weights.items()}
            if self.bottom is not None and self.bottom.dense is not None:
                own = self.bottom.dense.weights.items()
                record.weights |= {name: _numpy(value) for name, value in own}
            record.tables = {name: _numpy(store.whole()) for name, store in stores.items()}
        return record

    def _adapt(self, step: int, begin_ns: int, spans: list[Span], record: RankRecord) -> None:
        """Between two steps: layers move where the balancer says so."""
        adapting = self.adapting
        if adapting is None or step + 1 == self.job.steps:
            return
        before = adapting.partition
        if not adapting.after(step, self.interpreter.passes_ns, begin_ns, max(span.end_ns for span in spans)):
            return
        dist.barrier()
        started = now_ns()
        self.interpreter.finish()  # gradients that wait for the next step are applied where they are
        carried = move_layers(self.job.scenario, self.dense, self.rank, before, adapting.partition)
        dealt = with_partition(self.job.scenario, adapting.partition)
        program = lower(dealt)
        self.dense = self.dense_of(dealt, own_program(program, self.rank), carried.values)
        adopt(self.dense, carried, remembered(dealt.plan))
        self.interpreter = self.interpreter_of(dealt, program)
        dist.barrier()
        record.moves_ns.append((step + 1, now_ns() - started))
        record.decisions = list(adapting.decisions)


def _numpy(tensor: torch.Tensor):
    return tensor.detach().to("cpu", torch.float64).numpy()


def _device(index: int) -> int:
    """The CUDA device of a local rank. Raises ScenarioError where there are too few: NCCL takes one rank a device."""
    if index >= torch.cuda.device_count():
        raise ScenarioError(
            f"nccl needs a CUDA device for each rank, and this machine has {torch.cuda.device_count()}; use gloo",
            key="--backend",
        )
    return index
