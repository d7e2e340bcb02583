"""Results made by hand: a 1F1B pipeline of replicas with real plans, clusters, graphs and times."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from simulator import kinds
from simulator.cluster import Cluster, Device, Fabric, NodeFabric, NodeType
from simulator.engine.simpy_engine import run
from simulator.graph.event_graph import EventGraph, GraphBuilder
from simulator.graph.expand import LinkUse
from simulator.memory import Memory, RankMemory
from simulator.model.spec import Head, ModelSpec, Table, Trunk
from simulator.plans import Plan
from simulator.scenario.schema import Data, Faults
from simulator.timeline import Timeline

GIB = 2**30
NAME = "a100_sxm4_80gb"
DEVICE = Device(NAME, 80 * GIB, 2_039_000_000_000, (("bf16", 312e12),), 25_000_000_000, profile=NAME)
NODE = NodeType(DEVICE, 8, 8, 25_000_000_000, NodeFabric("nvswitch", 300_000_000_000, 1e-6))


@dataclass(frozen=True)
class MadeResult:
    """As much of a Result as the reports read."""

    timeline: Timeline
    scenario: SimpleNamespace
    numbers: dict
    breakdown: dict[str, int]
    memory: SimpleNamespace | Memory
    warnings: tuple[str, ...] = ()
    samples_ns: tuple[int, ...] = (1,)
    program: None = None
    busiest_links: tuple[LinkUse, ...] = (LinkUse("node0/port0/out>fabric", 25_000_000_000, 3 * GIB),)

    @property
    def name(self) -> str:
        return self.numbers["name"]

    @property
    def feasible(self) -> bool:
        return self.numbers["feasible"]

    @property
    def step_time_s(self) -> float:
        return self.numbers["step_time_s"]

    def to_dict(self) -> dict:
        return self.numbers


def pipeline_graph(stages: int, microbatches: int, forward_ns: int = 4_000_003, multiplicity: int = 1) -> EventGraph:
    """GPipe order on each stage, transfers as meetings of both ends, one reduce of all stages' gradients at the end."""
    graph = GraphBuilder()
    meeting = 0
    done: dict[tuple[str, int, int], int] = {}
    inbox: dict[tuple[str, int, int], int] = {}
    for verb, stage_order in (("F", range(stages)), ("B", reversed(range(stages)))):
        length = forward_ns if verb == "F" else 2 * forward_ns
        for stage in stage_order:
            for batch in range(microbatches):
                rank = stage * multiplicity
                needs = [inbox[key]] if (key := (verb, stage, batch)) in inbox else []
                shares = ((kinds.COMPUTE, length - length // 7), (kinds.TENSOR, length // 7))
                done[verb, stage, batch] = graph.op(
                    rank, "compute", length, after=needs, action=f"{stage}{verb}{batch}", parts=shares, source=3
                )
                peer = stage + (1 if verb == "F" else -1)
                if 0 <= peer < stages:
                    one = graph.op(rank, f"send_{verb}", 300_001, after=[done[verb, stage, batch]], kind=kinds.PIPELINE,
                                   meeting=meeting, action=f"send {stage}{verb}{batch}")  # fmt: skip
                    two = graph.op(peer * multiplicity, f"recv_{verb}", 300_001, kind=kinds.PIPELINE, meeting=meeting,
                                   action=f"recv {peer}{verb}{batch}")  # fmt: skip
                    inbox[verb, peer, batch] = two
                    meeting += 1
                    del one
    for stage in range(stages):
        last = done["B", stage, microbatches - 1]
        reduce = graph.op(stage * multiplicity, "data", 2_500_000, after=[last], kind=kinds.DATA, meeting=meeting,
                          action="reduce b0")  # fmt: skip
        graph.op(stage * multiplicity, "compute", 900_000, after=[reduce], kind=kinds.OPTIMIZER, action="optimizer")
    return graph.build(dict.fromkeys((stage * multiplicity for stage in range(stages)), multiplicity))


def make_result(name: str = "made", stages: int = 4, microbatches: int = 8, data: int = 2, **changes) -> MadeResult:
    """A pipeline of `stages` with `data` replicas, folded; `changes` replace entries of its numbers."""
    graph = pipeline_graph(stages, microbatches, multiplicity=data)
    timeline = Timeline.of(graph, run(graph))
    step_s = timeline.step_ns / 1e9
    plan = Plan(pipeline=stages, data=data, microbatch=1, global_batch=microbatches * data, recompute="selective")
    gpus = stages * data
    node = NODE if gpus % 8 == 0 else NodeType(DEVICE, gpus, gpus, NODE.nic_bytes_per_s, NODE.fabric)
    scenario = SimpleNamespace(
        name=name,
        model=ModelSpec(
            trunk=Trunk(block="hstu", layers=8, hidden=1024, heads=4, seq=4096),
            tables=(Table(name="item", rows=50_000_000, dim=128),),
            head=Head(kind="sampled_softmax", negatives=128),
        ),
        cluster=Cluster(((node, max(1, gpus // node.gpus)),), Fabric(2.5e-6), "dgx_a100"),
        plan=plan,
        layout=plan.layout,
        microbatches=plan.microbatches,
        dtype="bf16",
        optimizer="adam",
        profile_of=lambda device: None,
        data=Data(),
        faults=Faults(),
        num_draws=1,
    )
    breakdown = dict.fromkeys(kinds.BREAKDOWN, 0)
    shares = {"compute": 0.55, "tensor_comm": 0.11, "optimizer": 0.02, "data_comm": 0.06}
    breakdown |= {kind: int(timeline.step_ns * share) for kind, share in shares.items()}
    breakdown["bubble"] = timeline.step_ns - sum(breakdown.values())
    by_kind = {"parameters": 9 * GIB, "gradients": 18 * GIB, "optimizer": 30 * GIB, "activations": 7 * GIB,
               "embeddings": 3 * GIB, "buffers": GIB}  # fmt: skip
    samples = microbatches * data / step_s
    numbers = {
        "name": name, "run_id": "0123456789abcdef", "program_digest": "a" * 64, "timeline_digest": "b" * 64,
        "engine": "simpy", "seed": 0, "feasible": True, "reason": None,
        "step_time_s": step_s, "step_time_s_p5": step_s, "step_time_s_p95": step_s,
        "samples_per_s": samples, "tokens_per_s": samples * 4096,
        "model_flops_per_gpu_per_s": 1.6e14, "mfu": 0.512, "hardware_flops_per_gpu_per_s": 1.65e14, "hfu": 0.53,
        "utilization": {"busy": 0.83, "compute": 0.74},
        "breakdown_s": {kind: ns / 1e9 for kind, ns in breakdown.items()},
        "memory_bytes": {"peak_max": sum(by_kind.values()), "limit": 79 * GIB, "by_kind": by_kind},
        "cost_usd_per_million_samples": None, "ops": len(graph), "ranks": gpus,
        "ranks_simulated": stages, "wall_s": 0.4,
        "provenance": {"measured": 0.0, "interpolated": 0.2, "extrapolated": 0.05, "published": 0.75, "datasheet": 0.0},
    }  # fmt: skip
    warnings = ("no profile entry for embedding_update: priced from the datasheet",)
    limit = (numbers | changes)["memory_bytes"]["limit"]
    memory = Memory(tuple(RankMemory(rank, tuple(by_kind.items()), limit) for rank in timeline.ranks))
    return MadeResult(timeline, scenario, numbers | changes, breakdown, memory, warnings)


@pytest.fixture
def made_result() -> MadeResult:
    return make_result()


@pytest.fixture
def make():
    return make_result
