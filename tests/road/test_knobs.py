"""Every key that is accepted moves the answer the right way, or has nothing to act on and leaves it.

A row of KNOBS: base scenario, settings of both, settings of the first, settings of the second, what is looked at, and
how the first compares with the second.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass

import pytest
from cluster_knobs import ROWS
from road_scenarios import answer
from table_knobs import TABLE_ROWS

from simulator.graph.steps import StepSource
from simulator.program.lowering import cut_of
from simulator.scenario.keys import keys_at, sections_at
from simulator.scenario.not_yet import NOT_YET
from simulator.simulation import Result


def step(result: Result) -> int:
    return result.timeline.step_ns


def memory(kind: str):
    """Bytes of a kind on the fullest rank."""
    return lambda result: dict(result.memory.tightest.by_kind)[kind]


def peak(result: Result) -> int:
    return result.memory.tightest.peak


def time_of(*labels: str):
    """ns of the step under these labels of the breakdown."""
    return lambda result: sum(result.breakdown[label] for label in labels)


def running(*kinds: str):
    """ns that ops of these kinds run on the first rank, overlapped or not."""

    def total(result: Result) -> int:
        from simulator import kinds as all_kinds

        timeline, wanted = result.timeline, [all_kinds.CODE[kind] for kind in kinds]
        chosen = (timeline.rank_index == 0) & [kind in wanted for kind in timeline.kind.tolist()]
        return int((timeline.end_ns - timeline.start_ns)[chosen].sum())

    return total


def launches(verb: str):
    """How often rank 0 launches it."""
    return lambda result: sum(launch.action.verb == verb for launch in result.program.ranks[0].launches)


def sent(verb: str):
    """Bytes of all its messages on rank 0."""
    return lambda result: sum(
        launch.action.size_bytes for launch in result.program.ranks[0].launches if launch.action.verb == verb
    )


def inside(group: str):
    """Bytes of the messages inside rank 0's compute actions, of this group."""

    def total(result: Result) -> int:
        own, steps = result.program.ranks[0], StepSource(result.scenario, cut_of(result.scenario))
        actions = [launch.action for launch in own.launches if launch.stream == "compute"]
        pieces = [piece for action in actions for piece in steps.steps(own, action)]
        return sum(step.size_bytes for piece in pieces for step in piece.steps if getattr(step, "group", "") == group)

    return total


def model_flops(result: Result) -> int:
    return result.flops.model


def hardware_flops(result: Result) -> int:
    return result.flops.hardware


def busy(result: Result) -> float:
    return result.utilization.busy


def samples_per_s(result: Result) -> float:
    return result.to_dict()["samples_per_s"]


def timeline(result: Result) -> str:
    return result.timeline.digest()


SIGNS = {
    "<": operator.lt, "<=": operator.le, "=": operator.eq, ">=": operator.ge, ">": operator.gt, "!=": operator.ne,
}  # fmt: skip


@dataclass(frozen=True)
class Knob:
    """`text` is "<key>: <first> <sign> <second>"."""

    base: str
    key: str
    first: str
    second: str
    look: object
    sign: str
    both: str = ""

    def __str__(self) -> str:
        what = getattr(self.look, "__qualname__", "").split(".")[0]
        return f"{self.base}-{self.key}: {what} {self.first} {self.sign} {self.second} {self.both}".strip()


def sets(key: str, value: str, both: str) -> tuple[str, ...]:
    """`--set` lines. A value may bring others with it: "2; plan.data=4"; "-" leaves the key as it is."""
    head, *more = [part.strip() for part in value.split(";")]
    own = [] if head == "-" else [f"{key}={head}"]
    return (*filter(None, (part.strip() for part in both.split(";"))), *own, *more)


PIPE = "plan.tensor=1; plan.pipeline=4; plan.data=2"
DEEP = "plan.tensor=1; plan.pipeline=4; plan.data=2; plan.global_batch=32; model.trunk.layers=16; model.trunk.vocab=500"
BIG = "model.trunk.hidden=4096; model.trunk.heads=32; model.trunk.seq=1024"
LAYER_22B = ("model.trunk.hidden=6144; model.trunk.heads=64; model.trunk.seq=2048; plan.microbatch=4;"
             "plan.global_batch=4; plan.tensor=8")  # fmt: skip
SLOW_NET = "cluster.nodes=2; cluster.nic_gbit_per_s=1; plan.tensor=8; plan.data=2"
NVLINK = "plan.tensor=1; plan.data=8"
TWO_NODES = "cluster.nodes=2; plan.tensor=1"
SLOW_NODES = TWO_NODES + "; cluster.nic_gbit_per_s=10"
EVEN = TWO_NODES + "; cluster.nic_gbit_per_s=100; model.trunk.layers=12; model.trunk.seq=2048; plan.bucket_mib=5"
ONE_H100 = "cluster.nodes=1; plan.tensor=1; plan.pipeline=1; plan.sequence_parallel=false"
TWO_H100 = ONE_H100 + "; cluster.nodes=2; plan.data=16; plan.global_batch=16"
SPLIT = LAYER_22B + "; cluster.preset=dgx_h100; plan.sequence_parallel=true"
LONG = "model.trunk.seq=32768; plan.data=1"
HEADS = LONG + "; plan.context=2; model.trunk.kv_heads=16"
GROUPED = LONG + "; plan.context=2; model.trunk.kv_heads=8"

PLAN = [
    Knob("gpt", "plan.tensor", "4", "2", memory("parameters"), "<"),
    Knob("gpt", "plan.tensor", "4", "2", memory("activations"), "<"),
    Knob("gpt", "plan.tensor", "4", "2", time_of("tensor_comm"), ">"),
    Knob("gpt", "plan.tensor", "2", "1", step, "<", BIG + "; cluster.gpus_per_node=2; plan.global_batch=2"),
    Knob("gpt", "plan.tensor", "8", "1", step, ">"),  # a small model: collectives cost more than they save
    Knob("gpt", "plan.pipeline", "4; plan.data=1", "1; plan.data=4", memory("parameters"), "<"),
    Knob("gpt", "plan.pipeline", "4; plan.data=1", "1; plan.data=4", time_of("bubble"), ">"),
    Knob("gpt", "plan.data", "2; cluster.gpus_per_node=2", "1; cluster.gpus_per_node=1", step, "<", "plan.tensor=1"),
    Knob("gpt", "plan.data", "2; cluster.gpus_per_node=2", "1; cluster.gpus_per_node=1", samples_per_s, ">",
         "plan.tensor=1"),
    Knob("gpt", "plan.context_kind", "all_to_all", "ring", timeline, "="),
    # sequences of 32768: half of each sample on each rank, and half the replicas
    Knob("llama", "plan.context", "2; plan.data=1", "1; plan.data=2", memory("activations"), "<", LONG),
    Knob("llama", "plan.context", "2; plan.data=1", "1; plan.data=2", memory("parameters"), "=", LONG),
    Knob("llama", "plan.context", "2; plan.data=1", "1; plan.data=2", sent("reduce"), "=", LONG),
    Knob("llama", "plan.context", "2; plan.data=1", "1; plan.data=2", inside("context"), ">", LONG),
    Knob("llama", "plan.context", "2; plan.data=1", "1; plan.data=2", model_flops, "=", LONG),
    Knob("llama", "plan.context", "2; plan.data=1; cluster.nodes=2", "1; plan.data=1; cluster.nodes=1", step, "<",
         LONG),
    Knob("hstu", "plan.context", "2; plan.data=4; plan.microbatch=16", "1; plan.data=8", sent("exchange vectors"), "=",
         "plan.global_batch=128"),
    Knob("hstu", "plan.context", "4; plan.data=2", "2; plan.data=4", memory("activations"), "<"),
    Knob("sasrec", "plan.context", "2; plan.data=2", "1; plan.data=4", memory("activations"), "<",
         "software.attention=flash"),
    Knob("bert", "plan.context", "4; plan.data=4", "1; plan.data=16", memory("activations"), "<",
         "software.attention=flash"),
    # K and V go round beside attention; Q, K, V and the output are exchanged beside nothing
    Knob("llama", "plan.context_kind", "all_to_all", "ring", time_of("context_comm"), ">", HEADS),
    Knob("llama", "plan.context_kind", "all_to_all", "ring", time_of("compute"), "<", HEADS),  # one kernel, no sums
    # K half as wide as Q: K and V go round, again, and their gradients: 3 Q; Q, K, V and the output both ways: 6 Q
    Knob("llama", "plan.context_kind", "all_to_all", "ring", inside("context"), ">", GROUPED),
    Knob("gpt", "plan.sequence_parallel", "true", "false", memory("activations"), "<"),
    # 22B's layer (arXiv 2205.05198): norms and dropouts split eightfold outweigh the dearer collectives
    Knob("gpt", "plan.sequence_parallel", "true", "false", step, "<", LAYER_22B),
    Knob("gpt", "plan.sequence_parallel", "true", "false", time_of("tensor_comm"), ">", LAYER_22B),
    Knob("gpt", "plan.sequence_parallel", "true", "false", timeline, "=", "plan.tensor=1"),
    Knob("gpt", "plan.schedule", "1f1b", "gpipe", memory("activations"), "<", PIPE),
    Knob("gpt", "plan.schedule", "1f1b", "gpipe", peak, "<", PIPE),
    Knob("gpt", "plan.schedule", "gpipe", "1f1b", step, "="),  # one stage: another order of the same work
    Knob("gpt", "plan.schedule", "1f1b", "interleaved_1f1b", timeline, "="),
    Knob("gpt", "plan.schedule", "zb_h1", "1f1b", step, "<", DEEP),
    Knob("gpt", "plan.schedule", "zb_h1", "1f1b", time_of("bubble"), "<", DEEP),
    Knob("gpt", "plan.schedule", "zb_h1", "1f1b", model_flops, "=", DEEP),
    Knob("gpt", "plan.schedule", "zb_h1", "1f1b", step, ">", "plan.tensor=8"),  # nothing to fill; collectives show
    Knob("gpt", "plan.schedule", "zb_h2", "zb_h1", step, "<", DEEP),
    Knob("gpt", "plan.schedule", "zb_h2", "zb_h1", memory("activations"), ">", DEEP),
    Knob("gpt", "plan.schedule", "zb_v", "1f1b", time_of("bubble"), "<", DEEP),
    Knob("gpt", "plan.schedule", "zb_v", "zb_h2", memory("activations"), "<", DEEP),
    Knob("gpt", "plan.schedule", "zb_v", "zb_h1", sent("send"), ">", DEEP),
    Knob("gpt", "plan.schedule", "zb_v", "zb_v; plan.virtual_stages=2", timeline, "=", DEEP),
    Knob("llama", "plan.virtual_stages", "2; plan.schedule=interleaved_1f1b", "1", time_of("bubble"), "<",
         "plan.global_batch=16; model.trunk.hidden=4096"),
    Knob("llama", "plan.virtual_stages", "2; plan.schedule=interleaved_1f1b", "1", sent("send"), ">",
         "plan.global_batch=16"),
    Knob("gpt", "plan.microbatch", "4", "1", memory("activations"), ">"),
    Knob("gpt", "plan.microbatch", "4", "1", step, "<"),  # larger kernels run better, and no pipeline to fill
    Knob("gpt", "plan.microbatch", "4", "1", time_of("bubble"), ">", PIPE + "; plan.global_batch=64"),
    Knob("gpt", "plan.global_batch", "32", "16", step, ">"),
    Knob("gpt", "plan.global_batch", "32", "16", samples_per_s, ">"),  # the update is shared by more samples
    Knob("gpt", "plan.global_batch", "32", "16", model_flops, ">"),
    Knob("gpt", "plan.recompute", "full", "none", memory("activations"), "<"),
    Knob("gpt", "plan.recompute", "full", "none", step, ">"),
    Knob("gpt", "plan.recompute", "full", "none", hardware_flops, ">"),
    Knob("gpt", "plan.recompute", "full", "none", model_flops, "="),
    Knob("gpt", "plan.recompute", "full", "none", time_of("recompute"), ">"),
    Knob("gpt", "plan.recompute", "selective", "none", memory("activations"), "<"),
    Knob("gpt", "plan.recompute", "selective", "none", step, ">"),
    Knob("gpt", "plan.recompute", "full", "selective", step, ">"),
    Knob("gpt", "plan.recompute", "full", "selective", memory("activations"), "<"),
    Knob("hstu", "plan.recompute", "selective", "none", timeline, "="),  # its attention keeps no s^2
    Knob("hstu", "plan.recompute", "full", "none", memory("activations"), "<"),
    Knob("gpt", "plan.zero", "1", "0", memory("optimizer"), "<"),
    Knob("gpt", "plan.zero", "1", "0", memory("parameters"), "="),
    Knob("gpt", "plan.zero", "1", "0", time_of("optimizer"), "<"),
    Knob("gpt", "plan.zero", "1", "0", launches("all_gather"), ">"),
    Knob("gpt", "plan.zero", "1", "0", timeline, "=", "plan.tensor=8"),
    Knob("gpt", "plan.zero", "3", "0", timeline, "=", "plan.tensor=8"),
    Knob("gpt", "plan.zero", "2", "1", memory("gradients"), "<"),
    Knob("gpt", "plan.zero", "2", "1", memory("parameters"), "="),
    Knob("gpt", "plan.zero", "2", "1", sent("reduce_scatter"), ">"),  # each of 4 microbatches' gradients
    Knob("gpt", "plan.zero", "2", "1", sent("reduce_scatter"), "=", "plan.global_batch=4"),
    Knob("gpt", "plan.zero", "2", "1", sent("all_gather"), "="),
    Knob("gpt", "plan.zero", "3", "2", memory("parameters"), "<", "plan.bucket_mib=null"),
    Knob("gpt", "plan.zero", "3", "0", peak, "<", "plan.tensor=1"),
    Knob("gpt", "plan.zero", "3", "2", sent("all_gather"), ">", "plan.bucket_mib=null"),
    Knob("gpt", "plan.zero", "3", "1", step, ">", TWO_NODES + "; cluster.nic_gbit_per_s=200"),
    Knob("gpt", "plan.zero", "3", "1", time_of("optimizer"), "<", TWO_NODES),
    Knob("gpt", "plan.shard_group", "2", "null", timeline, "="),
    Knob("gpt", "plan.shard_group", "16", "null", timeline, "=", TWO_NODES + "; plan.zero=3"),
    Knob("gpt", "plan.shard_group", "8", "null", memory("optimizer"), ">", TWO_NODES + "; plan.zero=1"),
    Knob("gpt", "plan.shard_group", "8", "null", memory("parameters"), ">", TWO_NODES + "; plan.zero=3"),
    Knob("gpt", "plan.shard_group", "8", "null", launches("reduce"), ">", TWO_NODES + "; plan.zero=2"),
    # gathers stay inside the nodes, and an eighth of the gradients crosses
    Knob("gpt", "plan.shard_group", "8", "null", step, "<", TWO_NODES + "; plan.zero=3; cluster.nic_gbit_per_s=200"),
    Knob("gpt", "plan.reshard_after_forward", "false", "true", timeline, "="),
    Knob("gpt", "plan.reshard_after_forward", "false", "true", timeline, "=", "plan.zero=2"),
    Knob("gpt", "plan.reshard_after_forward", "false", "true", memory("parameters"), ">", "plan.zero=3"),
    Knob("gpt", "plan.reshard_after_forward", "false", "true", sent("all_gather"), "<", "plan.zero=3"),
    Knob("gpt", "plan.reshard_after_forward", "false", "true", step, "<", TWO_NODES + "; plan.zero=3"),
    Knob("gpt", "plan.bucket_mib", "0.001", "25", launches("reduce"), ">"),
    Knob("gpt", "plan.bucket_mib", "0.001", "25", sent("reduce"), "="),
    Knob("gpt", "plan.bucket_mib", "1000", "25", launches("reduce"), "<"),
    Knob("gpt", "plan.bucket_mib", "1000", "25", step, ">=", TWO_NODES),  # one bucket overlaps with nothing
    Knob("gpt", "plan.bucket_mib", "1", "25", timeline, "=", "plan.tensor=8"),
    Knob("gpt", "plan.bucket_mib", "1", "25", launches("reduce_scatter"), ">", "plan.zero=2"),
    Knob("gpt", "plan.bucket_mib", "1", "1000", memory("gradients"), "<", "plan.zero=2"),
    Knob("gpt", "plan.aggregation.algorithm", "ring", "tree", time_of("data_comm"), ">",
         "cluster.nodes=64; plan.tensor=8; plan.global_batch=64; plan.bucket_mib=1; plan.overlap.grad_reduce=false"),
    Knob("gpt", "plan.aggregation.algorithm", "auto", "ring", step, "<=", "cluster.nodes=4; plan.global_batch=32"),
    Knob("gpt", "plan.aggregation.algorithm", "auto", "tree", step, "<=", "cluster.nodes=4; plan.global_batch=32"),
    Knob("gpt", "plan.aggregation.algorithm", "tree", "auto", timeline, "=", "plan.tensor=8"),
    # half of a ring's bytes leave each of two nodes; on fast NICs the stages inside nodes cost more than that saves
    Knob("gpt", "plan.aggregation.algorithm", "hierarchical", "ring", step, "<", SLOW_NODES),
    Knob("gpt", "plan.aggregation.algorithm", "hierarchical", "ring", step, ">", "cluster.nodes=4; plan.tensor=1;"
         "plan.global_batch=32"),
    Knob("gpt", "plan.aggregation.algorithm", "hierarchical", "ring", running("data_comm"), "<", SLOW_NODES
         + "; plan.zero=1"),
    Knob("gpt", "plan.aggregation.algorithm", "hierarchical", "ring", timeline, "=", SLOW_NET),  # one rank a node
    Knob("gpt", "plan.aggregation.algorithm", "halving_doubling", "ring", step, "<", SLOW_NODES),
    Knob("gpt", "plan.aggregation.algorithm", "halving_doubling", "ring", time_of("data_comm"), "<",
         "cluster.nodes=64; plan.tensor=8; plan.global_batch=64; plan.bucket_mib=1; plan.overlap.grad_reduce=false"),
    Knob("llama", "plan.aggregation.algorithm", "in_switch", "ring", step, "<", ONE_H100 + "; plan.data=8"),
    Knob("llama", "plan.aggregation.algorithm", "in_switch", "auto", step, ">=", ONE_H100 + "; plan.data=8"),
    Knob("llama", "plan.aggregation.algorithm", "in_switch", "tree", step, "<", TWO_H100),
    Knob("gpt", "plan.aggregation.algorithm", "in_switch", "ring", step, "<", SLOW_NODES
         + "; cluster.in_network_reduction=true"),
    Knob("gpt", "plan.aggregation.algorithm", "in_switch", "auto", timeline, "=", "plan.tensor=8"),
    Knob("gpt", "plan.aggregation.order", "priority", "backward", timeline, "=", "plan.tensor=8"),
    # links as slow as the computation: what backward cannot hide, the next forward does
    Knob("gpt", "plan.aggregation.order", "priority", "backward", step, "<", EVEN),
    Knob("gpt", "plan.aggregation.order", "priority", "backward", step, "<", EVEN + "; plan.overlap.grad_reduce=false"),
    Knob("gpt", "plan.aggregation.order", "priority", "backward", sent("reduce"), "=", EVEN),
    Knob("gpt", "plan.aggregation.order", "priority", "backward", timeline, "=", EVEN + "; plan.bucket_mib=1000"),
    Knob("gpt", "plan.aggregation.sparse", "balanced", "allgather", timeline, "=", "plan.tensor=8"),
    Knob("gpt", "plan.aggregation.sparse", "balanced", "allgather", timeline, "="),  # nothing is sparse
    Knob("gpt", "plan.aggregation.sparse", "balanced", "allgather", step, "<", SLOW_NODES
         + "; plan.compression.method=topk"),
    # two ranks: two exchanges instead of one, and nothing saved
    Knob("gpt", "plan.aggregation.sparse", "balanced", "allgather", step, ">",
         "plan.tensor=4; plan.compression.method=topk"),
    Knob("gpt", "plan.overlap.grad_reduce", "false", "true", step, ">=", TWO_NODES),
    Knob("gpt", "plan.overlap.grad_reduce", "false", "true", time_of("data_comm"), ">", TWO_NODES),
    Knob("gpt", "plan.overlap.grad_reduce", "false", "true", timeline, "=", "plan.tensor=8"),
    *(Knob("gpt", "plan.overlap.grad_reduce", "false", "true", step, ">", f"{TWO_NODES}; plan.zero={zero}")
      for zero in (2, 3)),
    *(Knob("gpt", "plan.overlap.param_gather", "false", "true", step, ">", f"{TWO_NODES}; plan.zero={zero}")
      for zero in (2, 3)),
    Knob("gpt", "plan.overlap.param_gather", "false", "true", memory("buffers"), "<=", TWO_NODES + "; plan.zero=3"),
    Knob("gpt", "plan.overlap.param_gather", "false", "true", step, ">=", TWO_NODES + "; plan.zero=1"),
    Knob("gpt", "plan.overlap.param_gather", "false", "true", time_of("data_comm"), ">", TWO_NODES + "; plan.zero=1"),
    Knob("gpt", "plan.overlap.param_gather", "false", "true", timeline, "="),
    Knob("gpt", "plan.overlap.tensor", "true", "false", timeline, "=", "plan.tensor=1"),
    Knob("gpt", "plan.overlap.tensor", "true", "false", time_of("tensor_comm"), "<", SPLIT),
    Knob("gpt", "plan.overlap.tensor", "true", "false", time_of("compute"), ">", SPLIT),  # smaller products, slowed
    Knob("gpt", "plan.overlap.tensor", "true", "false", step, "<", SPLIT),
    Knob("gpt", "plan.overlap.tensor", "true", "false", memory("activations"), "=", SPLIT),
    Knob("gpt", "plan.overlap.pipeline", "false", "true", step, ">", PIPE + "; cluster.nodes=2; plan.data=4"),
    Knob("gpt", "plan.overlap.pipeline", "false", "true", timeline, "="),
    Knob("gpt", "plan.embedding_sharding", "table_wise", "auto", timeline, "="),  # no tables
    Knob("hstu", "plan.embedding_sharding", "row_wise", "auto", timeline, "="),
    Knob("hstu", "plan.embedding_sharding", "table_wise", "row_wise", time_of("embedding_comm"), ">"),
    Knob("hstu", "plan.embedding_sharding", "data_parallel", "row_wise", memory("embeddings"), ">"),
    Knob("hstu", "plan.embedding_sharding", "data_parallel", "row_wise", launches("exchange vectors"), "<"),
    Knob("hstu", "plan.embedding_sharding", "{item: data_parallel}", "row_wise", sent("exchange vectors"), "<"),
    Knob("hstu", "plan.embedding_sharding", "{item: row_wise, user: row_wise}", "row_wise", timeline, "="),
    Knob("hstu", "plan.embedding_sharding", "data_parallel", "row_wise", sent("exchange ids"), "=",
         "cluster.gpus_per_node=1"),
]  # fmt: skip

COMPRESSION = [
    Knob("gpt", "plan.compression.method", "topk", "none", step, "<", SLOW_NET),
    Knob("gpt", "plan.compression.method", "powersgd", "none", step, "<", SLOW_NET),
    Knob("gpt", "plan.compression.method", "bf16", "none", step, "<", SLOW_NET),
    Knob("gpt", "plan.compression.method", "topk", "none", step, ">=", NVLINK),
    Knob("gpt", "plan.compression.method", "powersgd", "none", step, ">=", NVLINK),
    Knob("gpt", "plan.compression.method", "bf16", "none", sent("reduce"), "<"),
    Knob("gpt", "plan.compression.method", "bf16", "none", timeline, "=", "plan.tensor=2; precision.reduce=bf16;"
         "precision.gradients=bf16; name=gpt; cluster.gpus_per_node=8; plan.compression.method=none"),
    Knob("gpt", "plan.compression.method", "topk", "none", time_of("compression"), ">"),
    Knob("gpt", "plan.compression.density", "0.1", "0.01", sent("reduce"), ">", "plan.compression.method=topk"),
    Knob("gpt", "plan.compression.density", "0.1", "0.01", step, ">",
         "plan.compression.method=topk; " + SLOW_NET),
    Knob("gpt", "plan.compression.rank", "8", "2", sent("reduce"), ">", "plan.compression.method=powersgd"),
    Knob("gpt", "plan.compression.rank", "8", "2", step, ">", "plan.compression.method=powersgd; " + SLOW_NET),
    Knob("gpt", "plan.compression.error_feedback", "true", "false", memory("buffers"), ">",
         "plan.compression.method=topk"),
    Knob("gpt", "plan.compression.error_feedback", "true", "false", step, ">", "plan.compression.method=topk"),
    Knob("gpt", "plan.compression.error_feedback", "true", "false", step, ">", "plan.compression.method=powersgd"),
]  # fmt: skip

MODEL = [
    Knob("gpt", "model.trunk.layers", "8", "4", step, ">"),
    Knob("gpt", "model.trunk.hidden", "2048", "1024", step, ">"),
    Knob("gpt", "model.trunk.hidden", "2048", "1024", memory("parameters"), ">"),
    Knob("gpt", "model.trunk.heads", "32", "16", memory("activations"), ">"),  # unfused: more s^2 matrices
    Knob("gpt", "model.trunk.heads", "32", "16", model_flops, "="),
    Knob("llama", "model.trunk.kv_heads", "4", "16", memory("parameters"), "<"),
    Knob("llama", "model.trunk.kv_heads", "4", "16", model_flops, "<"),
    Knob("llama", "model.trunk.kv_heads", "4", "16", step, "<"),
    Knob("llama", "model.trunk.kv_heads", "4", "16", memory("activations"), "<"),
    Knob("gpt", "model.trunk.head_dim", "128", "64", memory("parameters"), ">"),
    Knob("gpt", "model.trunk.head_dim", "128", "64", step, ">"),
    Knob("gpt", "model.trunk.ffn", "8192", "4096", step, ">"),
    Knob("gpt", "model.trunk.ffn", "8192", "4096", model_flops, ">"),
    Knob("gpt", "model.trunk.vocab", "64000", "32000", step, ">"),
    Knob("gpt", "model.trunk.vocab", "64000", "32000", memory("parameters"), ">"),
    Knob("gpt", "model.trunk.tied_embeddings", "false", "true", memory("parameters"), ">"),
    Knob("gpt", "model.trunk.tied_embeddings", "false", "true", model_flops, "="),
    Knob("gpt", "model.trunk.tied_embeddings", "true", "false", time_of("data_comm"), ">", PIPE),
    Knob("gpt", "model.trunk.seq", "1024", "512", step, ">"),
    Knob("gpt", "model.trunk.seq", "1024", "512", memory("activations"), ">"),
    Knob("gpt", "model.trunk.causal", "false", "true", step, ">"),
    Knob("gpt", "model.trunk.causal", "false", "true", step, ">", "software.attention=flash"),
    Knob("gpt", "model.trunk.causal", "false", "true", step, ">", "software.attention=flash; model.trunk.seq=4096"),
    Knob("llama", "model.trunk.causal", "false", "true", step, ">", "model.trunk.seq=64"),
    Knob("gpt", "model.trunk.causal", "false", "true", model_flops, "="),  # the convention counts all of s^2
    Knob("hstu", "model.trunk.causal", "false", "true", model_flops, ">"),
    Knob("hstu", "model.trunk.causal", "false", "true", step, ">"),
    Knob("single", "model.trunk.causal", "false", "true", step, ">=", "model.trunk.seq=4096"),
    Knob("gpt", "model.trunk.block", "llama", "gpt", memory("activations"), "!="),
    Knob("hstu", "model.tables.0.rows", "100000000", "10000000", memory("embeddings"), ">"),
    Knob("hstu", "model.tables.0.rows", "100000000", "10000000", sent("exchange ids"), "="),
    Knob("hstu", "model.tables.0.dim", "256", "128", sent("exchange vectors"), ">"),
    Knob("hstu", "model.tables.0.dim", "256", "128", step, ">"),
    Knob("hstu", "model.tables.0.dim", "256", "128", memory("embeddings"), ">"),
    Knob("hstu", "model.tables.0.lookups_per_sample", "2048", "null", sent("exchange ids"), ">"),
    Knob("hstu", "model.tables.0.lookups_per_sample", "2048", "null", step, ">"),
    Knob("hstu", "model.tables.0.lookups_per_sample", "1024", "null", timeline, "="),
    Knob("hstu", "model.tables.0.optimizer", "adam", "rowwise_adagrad", memory("embeddings"), ">"),
    Knob("hstu", "model.tables.0.optimizer", "adam", "sgd", time_of("optimizer"), ">"),
    Knob("hstu", "model.tables.0.optimizer", "adagrad", "sgd", memory("embeddings"), ">"),
    Knob("hstu", "model.tables.0.dtype", "fp16", "fp32", memory("embeddings"), "<"),
    Knob("hstu", "model.tables.0.dtype", "fp16", "fp32", sent("exchange vectors"), "<"),
    Knob("hstu", "model.tables.0.dtype", "bf16", "fp16", timeline, "="),
    # hotter ids: fewer distinct rows to update
    Knob("hstu", "model.tables.0.ids.alpha", "1.4", "1.05", time_of("optimizer"), "<"),
    Knob("hstu", "model.tables.0.ids", "{kind: uniform}", "{kind: zipf, alpha: 1.05}", time_of("optimizer"), ">"),
    Knob("hstu", "model.tables.0.ids", "{kind: uniform}", "{kind: zipf, alpha: 1.05}", sent("exchange ids"), "="),
    Knob("hstu", "model.tables.0.placement", "host", "device", step, ">"),
    Knob("hstu", "model.tables.0.placement", "host", "device", memory("embeddings"), "<"),
    Knob("hstu", "model.tables.0.cache_fraction", "0.5", "0.01", step, "<", "model.tables.0.placement=host"),
    Knob("hstu", "model.tables.0.cache_fraction", "0.5", "0.01", memory("embeddings"), ">",
         "model.tables.0.placement=host"),
    Knob("hstu", "model.tables.0.cache_fraction", "1", "null; model.tables.0.placement=device", step, "=",
         "model.tables.0.placement=host"),
    Knob("hstu", "model.tables.0.ids.alpha", "1.4", "1.05", step, "<",
         "model.tables.0.placement=host; model.tables.0.cache_fraction=0.01"),
    Knob("bert", "model.head.kind", "full_softmax", "sampled_softmax; model.head.negatives=4", step, ">"),
    Knob("bert", "model.head.negatives", "1000", "10", step, ">", "model.head.kind=sampled_softmax"),
    Knob("bert", "model.head.negatives", "1000", "10", model_flops, ">", "model.head.kind=sampled_softmax"),
    Knob("bert", "model.head.negatives", "1000", "10", sent("exchange vectors"), ">",
         "model.head.kind=sampled_softmax"),
    Knob("bert", "model.head.tied", "false", "true", memory("parameters"), "<=", "plan.embedding_sharding=row_wise"),
    Knob("bert", "model.head.tied", "false", "true", memory("embeddings"), ">"),
    Knob("sasrec", "model.head.negatives", "10", "1", step, ">"),
    Knob("sasrec", "model.head.table", "null", "item", sent("exchange ids"), "<"),
    Knob("hstu", "model.dense.top", "[1024, 1024, 1]", "[256, 1]", step, ">"),
    Knob("hstu", "model.dense.top", "[1024, 1024, 1]", "[256, 1]", memory("parameters"), ">"),
]  # fmt: skip

CLUSTER = [
    Knob("gpt", "cluster.nic_gbit_per_s", "400", "100", step, "<", TWO_NODES),
    Knob("llama", "cluster.nic_gbit_per_s", "3200", "100", step, "<"),
    Knob("hstu", "cluster.nic_gbit_per_s", "3200", "100", step, "<", "cluster.nodes=2; plan.global_batch=128"),
    Knob("gpt", "cluster.nic_gbit_per_s", "100", "1600", timeline, "="),  # one node sends nothing out of it
    Knob("gpt", "cluster.nics_per_node", "2; cluster.nic_gbit_per_s=400", "8; cluster.nic_gbit_per_s=400", step, "=",
         TWO_NODES),  # the node's total is what counts where all GPUs send at once
    Knob("gpt", "cluster.nics_per_node", "2", "8", step, ">", TWO_NODES),
    Knob("gpt", "cluster.gpus_per_node", "4", "8", step, ">"),
    Knob("gpt", "cluster.nodes", "2", "1", step, "<", BIG),
    Knob("gpt", "cluster.nodes", "2", "1", time_of("data_comm"), ">"),
    Knob("gpt", "cluster.device", "a100_sxm4_40gb", "a100_sxm4_80gb", step, ">"),
    Knob("gpt", "cluster.preset", "dgx_a100_40gb", "dgx_a100", step, ">"),
    Knob("gpt", "cluster.preset", "dgx_h100", "dgx_a100", step, "<"),
    Knob("single", "cluster.device", "a100_sxm4_80gb", "h100_sxm5_80gb", step, ">", BIG),
    Knob("single", "cluster.device", "h200_sxm_141gb", "h100_sxm5_80gb", step, "<"),
    Knob("cpu", "cluster.gpus_per_node", "2", "1; plan.data=1", samples_per_s, "<="),  # the same cores, shared
]  # fmt: skip

NUMBERS = [
    Knob("gpt", "dtype", "fp32", "bf16", step, ">"),
    Knob("gpt", "dtype", "fp32", "bf16", memory("activations"), ">"),
    Knob("gpt", "dtype", "fp32", "bf16", memory("parameters"), ">"),
    Knob("gpt", "dtype", "fp32", "bf16", memory("optimizer"), "<"),  # no master copy
    Knob("gpt", "dtype", "fp32", "bf16", model_flops, "="),
    Knob("gpt", "dtype", "tf32", "fp32", step, "<"),
    Knob("gpt", "dtype", "fp16", "bf16", memory("gradients"), "<"),
    Knob("gpt", "dtype", "fp16", "bf16", memory("parameters"), "="),
    Knob("gpt", "precision.parameters", "fp32", "bf16", memory("parameters"), ">"),
    Knob("gpt", "precision.parameters", "fp32", "bf16", memory("optimizer"), "<"),  # no master copy
    Knob("gpt", "precision.gradients", "fp32", "bf16", memory("gradients"), ">"),
    Knob("gpt", "precision.gradients", "fp32", "bf16", step, "!="),
    Knob("gpt", "precision.reduce", "fp32", "bf16", sent("reduce"), ">"),
    Knob("gpt", "precision.reduce", "fp32", "bf16", step, ">", "plan.overlap.grad_reduce=false"),
    Knob("gpt", "precision.reduce", "fp32", "bf16", timeline, "=", "plan.tensor=8"),
    Knob("gpt", "precision.reduce", "fp32", "bf16", sent("reduce_scatter"), ">", "plan.zero=3"),
    Knob("gpt", "precision.parameters", "fp32", "bf16", sent("all_gather"), ">", "plan.zero=3"),
    Knob("gpt", "optimizer", "sgd", "adam", memory("optimizer"), "<"),
    Knob("gpt", "optimizer", "sgd", "adam", step, "<"),
    Knob("gpt", "optimizer", "lamb", "adam", step, ">"),
    Knob("gpt", "optimizer", "lamb", "adam", memory("optimizer"), "="),
    Knob("gpt", "optimizer", "adamw", "adam", timeline, "="),
    Knob("gpt", "optimizer", "adagrad", "adam", memory("optimizer"), "<"),
    Knob("gpt", "optimizer", "adagrad", "adam", step, "<"),
    Knob("gpt", "software.stack", "megatron_2021", "megatron_2022", step, ">"),
    Knob("gpt", "software.stack", "megatron_2022", "current", step, ">"),
    Knob("gpt", "software.stack", "megatron_2022", "null", timeline, "="),
    Knob("gpt", "software.stack", "torch", "current", step, ">"),
    Knob("llama", "software.stack", "current", "null", timeline, "="),
    Knob("gpt", "software.attention", "flash", "unfused", step, "<"),
    Knob("gpt", "software.attention", "flash", "unfused", memory("activations"), "<"),
    Knob("llama", "software.attention", "flash", "null", timeline, "="),
    Knob("gpt", "software.attention", "unfused", "null", timeline, "="),
    Knob("gpt", "network", "isolated", "auto", step, "=", NVLINK),  # one communicator: nobody to share with
    Knob("gpt", "network", "isolated", "auto", step, "<", SLOW_NET + "; cluster.nics_per_node=1"),  # eight on one NIC
    Knob("gpt", "network", "fair_share", "auto", timeline, "=", SLOW_NET + "; cluster.nics_per_node=1"),
    Knob("gpt", "profile", "h100_sxm5_80gb", "null", step, "!="),
    Knob("gpt", "profile", "a100_sxm4_80gb", "null", timeline, "="),
    Knob("gpt", "steps", "10", "1", timeline, "="),
    Knob("gpt", "seed", "7", "0", timeline, "="),
    Knob("gpt", "name", "other", "gpt", timeline, "="),
    Knob("gpt", "data.lengths", "{kind: fixed}", "-", timeline, "="),
    Knob("gpt", "faults", "{}", "-", timeline, "="),
    Knob("gpt", "serving", "{}", "-", timeline, "="),
    Knob("gpt", "plan.sync", "{mode: synchronous}", "-", timeline, "="),
    Knob("gpt", "plan.balancer", "{kind: none}", "-", timeline, "="),
    Knob("gpt", "plan.recompute", "selective_op", "selective", memory("activations"), "<"),
    Knob("gpt", "plan.recompute", "selective_op", "full", memory("activations"), ">"),
    Knob("gpt", "plan.recompute", "selective_op", "selective", time_of("recompute"), ">"),
    Knob("gpt", "plan.recompute", "selective_op", "full", step, "<"),
    Knob("llama", "plan.recompute", "selective_op", "selective", hardware_flops, "="),  # no product runs again
    Knob("gpt", "plan.partition", "uniform", "-", timeline, "="),
    Knob("gpt", "plan.partition", "balanced", "uniform", timeline, "=", DEEP),  # a small vocabulary: layers alike
    Knob("gpt", "plan.partition", "balanced", "uniform", step, "<", DEEP + "; model.trunk.vocab=50000"),
    Knob("gpt", "plan.partition", "balanced", "uniform", step, "<",
         DEEP + "; model.trunk.vocab=50000; plan.schedule=zb_h1"),
    Knob("gpt", "plan.partition", "[4, 4, 4, 4]", "uniform", timeline, "=", DEEP),
    Knob("gpt", "plan.partition", "[2, 6, 4, 4]", "uniform", step, ">", DEEP),
    Knob("gpt", "plan.partition", "[2, 6, 4, 4]", "uniform", memory("parameters"), ">", DEEP),
]  # fmt: skip

LOOKS = {"step": step, "timeline": timeline}
CLUSTERS = [
    Knob(base, key, first, second, LOOKS[look], sign, both) for base, key, first, second, look, sign, both in ROWS
]
ASKED = {"launches": launches, "memory": memory, "sent": sent, "time_of": time_of}


def look_of(words: str):
    """The look of a table's row: `step`, or `sent exchange ids`."""
    name, _, argument = words.partition(" ")
    return ASKED[name](argument) if argument else LOOKS[name]


TABLES = [
    Knob(base, key, one, other, look_of(look), sign, both) for base, key, one, other, look, sign, both in TABLE_ROWS
]

KNOBS = [*PLAN, *COMPRESSION, *MODEL, *CLUSTER, *CLUSTERS, *NUMBERS, *TABLES]


@pytest.mark.parametrize("knob", KNOBS, ids=str)
def test_the_knob_moves_the_answer_the_right_way(knob):
    first = knob.look(answer(knob.base, *sets(knob.key, knob.first, knob.both)))
    second = knob.look(answer(knob.base, *sets(knob.key, knob.second, knob.both)))
    assert SIGNS[knob.sign](first, second), f"{first} {knob.sign} {second}"


LEFT_OUT = {
    "schema_version", "model.preset", "model.huggingface",  # what they stand for is tested with the scenario
    "model.tables.name", "model.tables.ids.kind",  # a name; a kind that comes with its whole `ids` above
    *(f"model.trunk.layers.{key}" for key in ("forward_s", "backward_s", "parameters", "activation_bytes")),
    *(f"plan.sync.{key}" for key in ("staleness", "period")),  # of modes that are refused
    *(f"plan.balancer.{key}" for key in ("window", "threshold")),
    *(f"data.lengths.{key}" for key in ("alpha", "max", "name", "path")),
}  # fmt: skip
"""Keys that only a refused kind takes, or that are tested elsewhere."""


def leaves(path: tuple[str, ...] = ()) -> list[str]:
    """Every key of the scenario file that holds a plain value, dotted, without list indices."""
    found = []
    for key in keys_at(path):
        here = (*path, key)
        found += leaves(here) if sections_at(here) else [".".join(here)]
    return found


def test_every_key_that_is_accepted_has_a_knob_here():
    tested = {re.sub(r"\.\d+", "", knob.key) for knob in KNOBS}
    refused = {key.replace(".*", "") for key, _, _ in NOT_YET}
    missing = [
        key for key in leaves()
        if key not in tested | LEFT_OUT and not any(key == one or key.startswith(f"{one}.") for one in refused)
    ]  # fmt: skip
    assert missing == []
