"""What must divide: layers into stages, heads over tensor ranks, sequences over context ranks, groups of nodes.

Whatever does not is refused with the nearest numbers that do.
"""

from __future__ import annotations

from itertools import groupby
from math import gcd

from simulator.cluster import Cluster
from simulator.errors import ScenarioError
from simulator.model.spec import ModelSpec
from simulator.plans import Plan
from simulator.policies.replica_counts import in_lockstep

MAX_PLACED = 2048
"""Ranks that are not in rank order are looked at one by one."""


def check_layers(model: ModelSpec, plan: Plan) -> None:
    """Every stage has something to run: uniform stages the same number of layers, others at least one."""
    layers, stages = model.trunk.num_layers, plan.pipeline * plan.virtual_stages
    product = f"pipeline {plan.pipeline} * virtual_stages {plan.virtual_stages} = {stages}"
    if isinstance(plan.partition, tuple):
        _check_stated_layers(plan.partition, layers, stages, product)
    elif stages > max(layers, 1):
        raise ScenarioError(f"{layers} layers cannot fill {product} stages; use fewer", key="plan.pipeline")
    elif plan.partition == "uniform" and plan.balancer.kind != "static" and stages > 1 and layers % stages:
        working = [p for p in range(1, layers + 1) if layers % (p * plan.virtual_stages) == 0]
        near = sorted(working, key=lambda p: abs(p - plan.pipeline))[:2]
        advice = (
            f"the nearest pipeline degrees that work are {' and '.join(map(str, sorted(near)))}"
            if near
            else "use --set plan.virtual_stages=1"
        )
        raise ScenarioError(
            f"{layers} layers do not divide into {product} equal stages; {advice}, or use "
            "--set plan.partition=balanced",
            key="plan.pipeline",
        )


def _check_stated_layers(stated: tuple[int, ...], layers: int, stages: int, product: str) -> None:
    said, key, way_out = list(stated), "plan.partition", "or use --set plan.partition=balanced"
    if len(stated) != stages:
        raise ScenarioError(
            f"{said} names {len(stated)} stages, and the plan has {product}; give {stages} numbers, {way_out}", key=key
        )
    if sum(stated) != layers:
        raise ScenarioError(
            f"{said} deals out {sum(stated)} layers, and the model has {layers}; change the numbers, {way_out}", key=key
        )
    if 0 in stated[1:-1]:
        raise ScenarioError(
            f"{said} leaves stage {stated.index(0, 1)} without a layer, which only the first and the last can be, with "
            f"the embedding and the head; change the numbers, {way_out}",
            key=key,
        )


def check_counts(counts: object, plan: Plan, key: str = "plan.balancer.microbatches") -> None:
    """One number of microbatches for each replica, which together make the global batch."""
    whole = isinstance(counts, tuple) and all(type(count) is int and count > 0 for count in counts)
    total = plan.microbatches * plan.data
    if not whole or len(counts) != plan.data or sum(counts) != total:
        said = list(counts) if isinstance(counts, tuple) else counts
        raise ScenarioError(
            f"{said} does not deal {total} microbatches to {plan.data} replicas, at least 1 to each; give {plan.data} "
            f"numbers whose sum is {total}, or use --set plan.balancer.microbatches=balanced",
            key=key,
        )


def check_replicas(model: ModelSpec, plan: Plan) -> None:
    """Unequal microbatches need replicas that meet once a step, and whole rounds where a schedule needs them."""
    counts = plan.balancer.microbatches
    if not isinstance(counts, tuple):
        return
    check_counts(counts, plan)
    if plan.counts and in_lockstep(model, plan):
        why = f"zero {plan.zero}" if plan.scatters_each or plan.gathers_each else "tables"
        raise ScenarioError(
            f"{list(counts)} are unequal, and with {why} replicas wait for each other in every microbatch; use "
            "--set plan.balancer.microbatches=equal",
            key="plan.balancer.microbatches",
        )
    whole_rounds = plan.virtual_stages > 1 and plan.pipeline > 1 and not plan.overlap.pipeline
    if whole_rounds and any(count % plan.pipeline for count in counts):
        raise ScenarioError(
            f"{list(counts)} are not all multiples of pipeline {plan.pipeline}, and without overlap interleaved ranks "
            "whose groups differ wait for each other for ever; use --set plan.overlap.pipeline=true",
            key="plan.balancer.microbatches",
        )


def check_order(model: ModelSpec, plan: Plan, cluster: Cluster) -> None:
    """One device for each rank. Tables' rows may be dealt to the ranks of a node, so those follow one another."""
    order, placement, key = plan.order, plan.balancer.placement, "plan.balancer.placement"
    if placement in (None, "natural"):
        return
    if order is not None and len(order) != cluster.gpus:
        raise ScenarioError(
            f"{len(order)} devices are named, and the cluster has {cluster.gpus}; name each of 0 to "
            f"{cluster.gpus - 1} once, or use --set plan.balancer.placement=traffic",
            key=key,
        )
    if model.tables and order is not None:
        nodes = [cluster.node_of(device) for device in order[: plan.data * plan.context * plan.tensor]]
        if len(list(groupby(nodes))) > len(set(nodes)):
            raise ScenarioError(
                "embedding tables are dealt to nodes, and ranks of stage 0 on one node do not follow one another; use "
                "--set plan.balancer.placement=traffic, or natural",
                key=key,
            )
    if cluster.gpus > MAX_PLACED:
        raise ScenarioError(
            f"{cluster.gpus:,} devices are more than the {MAX_PLACED:,} that ranks are placed on one by one; use --set "
            "plan.balancer.placement=natural",
            key=key,
        )


def check_tensor(model: ModelSpec, plan: Plan, *, pads: bool = False) -> None:
    """Whole heads and equal shares of the MLP on every tensor rank. A vocabulary is padded, as Megatron-LM does. pads:
    samples differ in length, and are filled up to what divides (`model/lengths.py`)."""
    trunk, tensor = model.trunk, plan.tensor
    if tensor == 1:
        return
    for key in ("heads", "kv_heads", "ffn"):
        width = getattr(trunk, key) or 0
        if width % tensor:
            raise ScenarioError(
                f"{tensor} does not divide {key} {width}; "
                f"the nearest tensor degrees that work are {_nearest_divisors(trunk, tensor)}",
                key="plan.tensor",
            )
    if plan.overlap.tensor and not plan.sequence_parallel:
        raise ScenarioError(
            "true splits the gathers and scatters of sequence parallelism, and sequence_parallel is false; use "
            "--set plan.sequence_parallel=true or --set plan.overlap.tensor=false",
            key="plan.overlap.tensor",
        )
    if plan.sequence_parallel and not pads and trunk.seq % (tensor * plan.context):
        raise ScenarioError(
            f"sequence_parallel splits seq {trunk.seq} over tensor {tensor} * context {plan.context} ranks, which do "
            f"not divide it; the nearest seq that work are {neighbours(trunk.seq, tensor * plan.context)}, or use "
            "--set plan.sequence_parallel=false",
            key="plan.sequence_parallel",
        )


def check_groups(plan: Plan, cluster: Cluster) -> None:
    """A tensor group may span nodes, not groups of nodes: its members run one kernel each and wait for the slowest."""
    for end in cluster.group_ends:
        if end % plan.tensor:
            common = gcd(*cluster.group_ends)
            working = [degree for degree in range(1, common + 1) if common % degree == 0]
            near = sorted(sorted(working, key=lambda degree: abs(degree - plan.tensor))[:2])
            first, words = end - end % plan.tensor, " and ".join(map(str, near))
            raise ScenarioError(
                f"ranks {first} to {first + plan.tensor - 1} would be one tensor group, and a group of nodes ends at "
                f"rank {end - 1}; the nearest tensor degrees that work are {words}, or let the groups before that "
                f"hold a multiple of {plan.tensor} GPUs",
                key="plan.tensor",
            )


def check_context(model: ModelSpec, plan: Plan, *, pads: bool = False) -> None:
    """Equal slices of the sequence (a causal ring: equal pairs of chunks), to which samples that differ in length are
    filled up; by heads, whole heads on every rank."""
    trunk, context = model.trunk, plan.context
    if context == 1:
        return
    chunks = 2 * context if plan.context_kind == "ring" and trunk.causal else context
    if trunk.seq % chunks and not pads:
        raise ScenarioError(
            f"seq {trunk.seq} does not divide into the {chunks} equal chunks of context {context} "
            f"({plan.context_kind}); the nearest seq that work are {neighbours(trunk.seq, chunks)}",
            key="plan.context",
        )
    if plan.context_kind == "ring":
        return
    for key in ("heads", "kv_heads"):
        width, ranks = getattr(trunk, key), plan.tensor * context
        if width % ranks:
            working = [degree for degree in range(1, width + 1) if width % (plan.tensor * degree) == 0]
            near = sorted(sorted(working, key=lambda degree: abs(degree - context))[:2])
            raise ScenarioError(
                f"all_to_all deals {key} {width} out over tensor {plan.tensor} * context {context} = {ranks} ranks, "
                f"which do not divide it; the nearest context degrees that work are {' and '.join(map(str, near))}, or "
                "use --set plan.context_kind=ring",
                key="plan.context",
            )


def _nearest_divisors(trunk, tensor: int) -> str:
    common = gcd(gcd(trunk.heads, trunk.kv_heads), trunk.ffn or trunk.heads)
    working = [degree for degree in range(1, common + 1) if common % degree == 0]
    near = sorted(sorted(working, key=lambda degree: abs(degree - tensor))[:2])
    return " and ".join(map(str, near))


def neighbours(value: int, step: int) -> str:
    """The multiples of `step` around a value, as words."""
    below = value // step * step
    return f"{below} and {below + step}" if below else f"{step} and {2 * step}"
