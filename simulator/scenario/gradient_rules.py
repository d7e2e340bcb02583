"""What no plan can do with its gradients: how they are compressed, sharded and summed."""

from __future__ import annotations

from dataclasses import astuple
from math import gcd, lcm

from simulator.cluster import Cluster
from simulator.costs.algorithm_rules import check_algorithm, switches_of
from simulator.errors import ScenarioError
from simulator.plans import Plan
from simulator.policies.compression import collectives_of, methods_of

SPLITS_BACKWARD = "zb_"
"""How the names of the schedules begin that run the backward pass in halves."""


def check_gradients(plan: Plan, cluster: Cluster) -> None:
    """Raises ScenarioError for the first thing that a resolved plan cannot do with its gradients."""
    check_order(plan)
    check_compression(plan)
    check_shards(plan)
    check_sharded_passes(plan)
    check_aggregation(plan, cluster)


def check_order(plan: Plan) -> None:
    """Priority is an order of all-reduces."""
    if plan.aggregation.order == "priority" and plan.shards > 1:
        raise ScenarioError(
            f"priority is an order of all-reduces (P3, ByteScheduler, BytePS), and zero {plan.zero} reduces to owners, "
            "whose parameters are gathered again; use --set plan.aggregation.order=backward or --set plan.zero=0",
            key="plan.aggregation.order",
        )


def check_compression(plan: Plan) -> None:
    """Compression needs gradients that are reduced, all at once or to owners."""
    replicas = plan.replicas
    if plan.compression.method != "none" and replicas == 1:
        raise ScenarioError(
            f"{plan.compression.method} has no gradient reduction to compress, since data * context is 1; "
            "use --set plan.compression.method=none or a larger data",
            key="plan.compression.method",
        )
    if plan.compression.method != "none" and 1 < plan.shards < replicas:
        raise ScenarioError(
            f"{plan.compression.method} is not defined where zero shards over {plan.shards} of {replicas} replicas and "
            "copies add up behind it (PyTorch's communication hooks refuse hybrid sharding too); use "
            "--set plan.shard_group=null, or none with precision.reduce bf16",
            key="plan.compression.method",
        )
    inside = plan.compression.inside
    if inside is not None and plan.shards == 1:
        raise ScenarioError(
            f"{inside} is a hop to owners, and zero {plan.zero} gives gradients to none; use --set plan.zero=1, "
            "or leave it out",
            key="plan.compression.inside",
        )
    if inside is not None and replicas % inside:
        raise ScenarioError(
            f"{inside} does not divide data * context = {replicas}; use "
            f"--set plan.compression.inside={gcd(inside, replicas)}, or leave it out",
            key="plan.compression.inside",
        )
    if plan.scatters_each and plan.microbatches > 1 and "dgc" in methods_of(plan):
        raise ScenarioError(
            f"dgc accumulates momentum once a step, and zero {plan.zero} reduces each of {plan.microbatches} "
            f"microbatches by itself; use --set plan.zero=1, or --set plan.microbatch="
            f"{plan.microbatch * plan.microbatches}",
            key="plan.compression.method",
        )


def check_shards(plan: Plan) -> None:
    """Shards go over equal groups of replicas."""
    replicas = plan.replicas
    if plan.shard_group is not None and replicas % plan.shard_group:
        common = gcd(plan.shard_group, replicas)
        raise ScenarioError(
            f"{plan.shard_group} does not divide data * context = {replicas}; use "
            f"--set plan.shard_group={common if common > 1 else 'null'}, or leave it out",
            key="plan.shard_group",
        )
    if plan.shard_group == 1 and plan.zero and replicas > 1:
        raise ScenarioError(
            f"1 shards nothing, and zero is {plan.zero}; use --set plan.zero=0 or a shard_group of 2 to {replicas}",
            key="plan.shard_group",
        )


def check_sharded_passes(plan: Plan) -> None:
    """Gathering and scattering block by block goes with schedules that the software which does so can run."""
    if plan.scatters_each and plan.schedule.startswith(SPLITS_BACKWARD):
        raise ScenarioError(
            f"{plan.schedule} splits the backward pass, and zero {plan.zero} without a pipeline reduces each block's "
            "gradients right behind it; use --set plan.schedule=1f1b",
            key="plan.schedule",
        )
    turns = plan.schedule == "gpipe" or plan.virtual_stages > 1  # a backward pass does not follow its forward
    if plan.gathers_blocks and plan.pipeline == 1 and plan.microbatches > 1 and turns:
        raise ScenarioError(
            f"{plan.schedule} runs other forward passes before a microbatch's backward, and zero 3 without a pipeline "
            "keeps the last block from the one to the other (FSDP knows no such order); use --set plan.schedule=1f1b",
            key="plan.schedule",
        )
    if plan.pipeline > 1 and plan.zero == 2 and plan.replicas > 1:
        raise ScenarioError(
            f"2 scatters gradients behind every microbatch, which its own software, DeepSpeed, refuses with a pipeline "
            f"(pipeline {plan.pipeline}); use --set plan.zero=1, or --set plan.zero=3",
            key="plan.zero",
        )


def check_aggregation(plan: Plan, cluster: Cluster) -> None:
    """The algorithm that is named can run every collective of the gradients, on every group of them."""
    algorithm, layout = plan.aggregation.algorithm, plan.layout
    if algorithm == "auto" or layout.data * layout.context == 1:
        return
    ops = (*collectives_of(plan), "all_gather") if plan.zero else collectives_of(plan)
    groups = {"shard": ops, "replica": ("all_reduce",)} if layout.shard else {"data": ops}
    stage_ranks = layout.ranks // layout.pipeline
    in_order = not cluster.is_mixed and plan.order is None
    node = cluster.node_type.gpus if in_order else cluster.gpus
    repeats = lcm(node, layout.tensor * (layout.shard or 1))  # after so many ranks groups lie on nodes as before
    for kind, own in groups.items():
        spans = {
            cluster.span(group)
            for first in range(0, layout.ranks, stage_ranks)
            for rank in range(first, first + min(repeats, stage_ranks))
            if rank == (group := layout.group(kind, rank))[0]
        }
        for op in own:
            for span in sorted(spans, key=astuple):
                check_algorithm(op, algorithm, span, switches_of(cluster))
