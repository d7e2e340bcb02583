"""Whole scenarios as text: the program that a plan becomes, and the timeline that it is predicted to take.

Small enough to read: two layers, two or three microbatches. If a change here is meant, regenerate and read the diff.
Prices are stated in place (`FLAT`), so that a better profile does not rewrite these files.
"""

from __future__ import annotations

from copy import deepcopy

import pytest

from simulator.costs.price import Price
from simulator.engine.checks import check_graph, check_timeline
from simulator.engine.simpy_engine import run
from simulator.graph.expand import expand
from simulator.graph.steps import StepSource
from simulator.metrics import breakdown_ns
from simulator.program.cuts import cut_of
from simulator.program.fold import Folding
from simulator.program.lowering import lower
from simulator.program.program import Program, check_program
from simulator.road import run_alone
from simulator.scenario.loader import scenario_from
from simulator.timeline import Timeline

BASE = {
    "schema_version": 1,
    "name": "golden",
    "model": {"trunk": {"block": "gpt", "layers": 2, "hidden": 64, "heads": 4, "vocab": 512, "seq": 16}},
    "cluster": {"preset": "dgx_a100", "gpus_per_node": 4},
    "plan": {"microbatch": 1, "global_batch": 8, "bucket_mib": 0.1},
}
ITEM = "model.tables=[{name: item, rows: 1000, dim: 32, ids: {kind: zipf}}]"
SCENARIOS = {
    "data_parallel_overlap": (),
    "tensor_sequence_parallel": (
        "plan.tensor=4", "plan.sequence_parallel=true", "plan.global_batch=1", "model.trunk.layers=1",
    ),
    "pipeline_1f1b": ("plan.pipeline=2", "plan.tensor=2", "plan.global_batch=3", "model.trunk.tied_embeddings=false"),
    "pipeline_interleaved": (
        "plan.pipeline=2", "plan.tensor=2", "plan.schedule=interleaved_1f1b", "plan.virtual_stages=2",
        "model.trunk.layers=4", "plan.global_batch=4",
    ),
    "pipeline_zb_h1": (
        "plan.pipeline=2", "plan.data=2", "plan.schedule=zb_h1", "plan.global_batch=6",
        "model.trunk.tied_embeddings=false",
    ),
    "pipeline_zb_v": (
        "plan.pipeline=2", "plan.tensor=2", "plan.schedule=zb_v", "model.trunk.layers=4", "plan.global_batch=3",
    ),
    "zero1_gather_overlap": ("plan.zero=1", "plan.tensor=2"),
    "zero2_accumulates": ("plan.zero=2", "plan.tensor=2", "plan.global_batch=4"),
    "zero3_prefetch": ("plan.zero=3", "plan.tensor=1", "plan.bucket_mib=null"),
    "zero3_hybrid": ("plan.zero=3", "plan.tensor=1", "plan.bucket_mib=null", "plan.shard_group=2",
                     "plan.global_batch=4"),
    "recommender_row_wise": (
        ITEM, "model.trunk={block: hstu, layers: 2, hidden: 64, heads: 4, seq: 16}", "model.head={kind: binary}",
        "plan.tensor=2", "plan.global_batch=4",
    ),
    "dlrm_table_wise": (
        "model={trunk: {block: none}, dense: {features: 8, bottom: [32, 16], interaction: dot, top: [32, 1]}, tables: "
        "[{name: user, rows: 1000, dim: 16, lookups_per_sample: 1, pooling: sum}, "
        "{name: ads, rows: 500, dim: 16, lookups_per_sample: 3, pooling: sum}]}",
        "plan.microbatch=64", "plan.global_batch=512", "plan.embedding_sharding=table_wise", "plan.bucket_mib=25",
    ),
    "tables_every_way": (
        "model={trunk: {block: hstu, layers: 1, hidden: 64, heads: 4, seq: 16}, tables: "
        "[{name: item, rows: 500, dim: 64, ids: {kind: zipf, alpha: 1.2}}, "
        "{name: tags, rows: 300, dim: 32, lookups_per_sample: 5, pooling: sum}, "
        "{name: shop, rows: 200, dim: 16, lookups_per_sample: 3, pooling: mean}]}",
        "cluster.nodes=2", "cluster.gpus_per_node=2", "plan.microbatch=8", "plan.global_batch=32",
        "plan.embedding_sharding={item: grid, tags: table_row_wise, shop: row_wise}", "plan.embedding_columns=16",
        "plan.embedding_dedup=true", "plan.embedding_fused_optimizer=true",
    ),
    "priority": ("plan.aggregation.order=priority", "plan.overlap.grad_reduce=false", "plan.global_batch=4"),
    "context_ring": (
        "plan.context=4", "model.trunk.block=llama", "model.trunk.layers=1", "model.trunk.heads=4",
        "model.trunk.kv_heads=2", "plan.global_batch=1",
    ),
    "jagged": (
        ITEM, "model.trunk={block: hstu, layers: 1, hidden: 64, heads: 4, seq: 16}", "model.head={kind: binary}",
        "plan.data=2", "plan.pipeline=2", "model.trunk.layers=2", "plan.global_batch=4",
        "data.lengths={kind: zipf, alpha: 1.1, max: 16}",
    ),
    "topk": ("plan.compression={method: topk, density: 0.01}", "plan.bucket_mib=0.2"),
    "lora_zero3": (
        "model.adapter={kind: lora, rank: 4, targets: [q, down]}", "model.trunk.tied_embeddings=false", "plan.zero=3",
        "plan.tensor=2", "plan.bucket_mib=null", "plan.global_batch=2",
    ),
}  # fmt: skip
"""Name -> `--set` lines. A name is two files in this folder."""

OP_BY_OP = ("tensor_sequence_parallel", "context_ring")
"""Shown with every op: what is inside a pass is the point."""


class Flat:
    """Prices that a reader can check by head.

    A GEMM takes 1 ns for each 4096 FLOPs, other kernels 1 ns for each KiB; a collective or transfer 100 ns and 1 ns for
    each KiB of message, and compute beside a data, tensor or context collective runs at half speed.
    """

    launch_ns = 0

    def kernel(self, kernel):
        return Price(
            kernel.flops // 4096 if kernel.flops else -(-int(kernel.bytes_moved) // 1024), "measured", "kernel"
        )

    def piece(self, kernels, name):
        return tuple(map(self.kernel, kernels))

    def collective(self, op, size_bytes, span, algorithm="auto"):
        return Price(100 + int(size_bytes) // 1024, "measured", "collective")

    def transfer(self, size_bytes, span):
        return Price(100 + size_bytes // 1024, "measured", "transfer")

    def rates(self, kind, size_bytes=None):
        return (2**19, 2**20) if kind in ("data_comm", "tensor_comm", "context_comm") else (2**20, 2**20)


@pytest.mark.parametrize("name", SCENARIOS)
def test_program_and_timeline_read_as_they_did(golden, name):
    scenario = scenario_from(deepcopy(BASE), set=SCENARIOS[name])
    program = lower(scenario)
    check_program(program)
    assert Program.from_text(program.to_text()).to_text() == program.to_text()
    golden(f"{name}.program", program.to_text())

    contracted = name not in OP_BY_OP
    steps = StepSource(scenario, cut_of(scenario))
    flat = Flat()
    expanded = expand(
        Folding(program), steps, lambda rank: flat, scenario, run_alone, shared=False, contracted=contracted
    )
    check_graph(expanded.graph)
    timeline = Timeline.of(
        expanded.graph, run(expanded.graph), members=expanded.members, actions=expanded.actions
    )  # fmt: skip
    check_timeline(expanded.graph, timeline)
    shares = "".join(f"{label} {ns}\n" for label, ns in breakdown_ns(timeline).items() if ns)
    golden(f"{name}.timeline", f"{timeline.to_text()}\nstep {timeline.step_ns}\n{shares}")
