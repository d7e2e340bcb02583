"""What can never work, whatever is built: refused with the numbers and a change that fits."""

from __future__ import annotations

from math import gcd, prod

from simulator.cluster import Cluster
from simulator.errors import ScenarioError
from simulator.model.spec import ModelSpec
from simulator.model.stacks import STACKS
from simulator.plans import Plan
from simulator.scenario.adapters import check_adapter
from simulator.scenario.divisions import (
    check_context,
    check_groups,
    check_layers,
    check_replicas,
    check_tensor,
    neighbours,
)
from simulator.scenario.dlrm_rules import check_dlrm
from simulator.scenario.gradient_rules import SPLITS_BACKWARD, check_gradients
from simulator.scenario.schema import Software
from simulator.scenario.table_rules import check_tables

DEGREES = ("tensor", "context", "data", "pipeline")

V_CHUNKS = 2
"""Model chunks on each rank of a V: one on the way out, one on the way back."""

MAX_GPUS = 2**24
MAX_LAYERS = 10_000
MAX_PASSES = 1_000_000
"""Far above any run that exists, and what still ends within minutes: a typo must not keep a machine busy for a year."""


def check_plan(model: ModelSpec, plan: Plan, cluster: Cluster, *, pads: bool = False) -> None:
    """Raises ScenarioError for the first thing in a resolved plan that cannot work on this model and cluster. pads:
    samples differ in length."""
    check_gpus(cluster)
    check_degrees(plan, cluster)
    check_profiled(model, plan)
    check_batch(plan)
    check_size(model, plan)
    check_dlrm(model, plan)
    check_adapter(model, plan)
    check_schedule(plan)
    check_layers(model, plan)
    check_replicas(model, plan)
    check_tensor(model, plan, pads=pads)
    check_context(model, plan, pads=pads)
    check_groups(plan, cluster)
    check_gradients(plan, cluster)
    check_tables(model, plan)


def check_profiled(model: ModelSpec, plan: Plan) -> None:
    """Layers that are known by their times can be copied and put in stages, not taken apart."""
    if model.trunk.block != "profiled":
        return
    for key, value in (("tables", model.tables), ("dense", model.dense), ("adapter", model.adapter)):
        if value:
            raise ScenarioError(
                f"block profiled has no {key}: what it takes is in its layers' times", key=f"model.{key}"
            )
    for key, plain in (("tensor", 1), ("context", 1), ("recompute", "none")):
        if getattr(plan, key) != plain:
            raise ScenarioError(
                f"{getattr(plan, key)} takes layers apart, and of profiled ones only their times are known; "
                f"use --set plan.{key}={plain}",
                key=f"plan.{key}",
            )
    if plan.schedule.startswith(SPLITS_BACKWARD):
        raise ScenarioError(
            f"{plan.schedule} splits the backward pass, and of profiled layers only the time of the whole is known; "
            "use --set plan.schedule=1f1b",
            key="plan.schedule",
        )


def check_software(software: Software, plan: Plan) -> None:
    """A stack that is stated must know what the plan asks of it."""
    if plan.sequence_parallel and software.stack and not STACKS[software.stack].sequence_parallel:
        known = ", ".join(stack.name for stack in STACKS.values() if stack.sequence_parallel)
        raise ScenarioError(
            f"{software.stack} has no sequence parallelism; use software.stack {known}, "
            "or --set plan.sequence_parallel=false",
            key="plan.sequence_parallel",
        )


def fitting_data(plan: Plan, cluster: Cluster) -> int:
    """The data degree that an omitted `data` stands for: gpus / (tensor * pipeline * context)."""
    others = plan.tensor * plan.pipeline * plan.context
    if cluster.gpus % others:
        raise ScenarioError(
            f"tensor {plan.tensor} * pipeline {plan.pipeline} * context {plan.context} = {others} does not divide the "
            f"cluster's {_gpus(cluster)}; use {_fitting_sets(plan, cluster)}",
            key="plan",
        )
    return cluster.gpus // others


def check_degrees(plan: Plan, cluster: Cluster) -> None:
    """tensor * context * data * pipeline = GPUs."""
    if plan.layout.ranks != cluster.gpus:
        product = " * ".join(f"{name} {getattr(plan, name)}" for name in DEGREES)
        raise ScenarioError(
            f"{product} = {plan.layout.ranks} ranks, and the cluster has {_gpus(cluster)}; "
            f"use {_fitting_sets(plan, cluster)}",
            key="plan",
        )


def _gpus(cluster: Cluster) -> str:
    return f"{cluster.gpus} GPU{'s' * (cluster.gpus > 1)} in {cluster.nodes} node{'s' * (cluster.nodes > 1)}"


def _fitting_sets(plan: Plan, cluster: Cluster) -> str:
    """The `--set` lines that fit: one degree of the plan changed as little as possible, or the number of nodes."""
    gpus, lines = cluster.gpus, []
    stated = {name: getattr(plan, name) for name in DEGREES if getattr(plan, name)}
    for name in ("data", "pipeline", "tensor", "context"):
        others = prod(degree for other, degree in stated.items() if other != name)
        if gpus % others:
            continue
        if "data" in stated:
            lines.append(f"--set plan.{name}={gpus // others}")
        elif name != "data":  # any divisor fits, and data follows: the one nearest to what was asked
            fitting = [degree for degree in range(1, stated[name] + 1) if gpus // others % degree == 0]
            lines.append(f"--set plan.{name}={fitting[-1]}")
    product, per_node = prod(stated.values()), gpus // cluster.nodes
    if product > gpus and product % per_node == 0:
        lines.append(f"--set cluster.nodes={product // per_node}")
    if not lines:  # two degrees at once
        tensor = gcd(plan.tensor, gpus)
        pipeline = gcd(plan.pipeline, gpus // tensor)
        both = f"--set plan.tensor={tensor} --set plan.pipeline={pipeline} --set plan.context=1"
        lines.append(both + (f" --set plan.data={gpus // (tensor * pipeline)}" if plan.data else ""))
    return " or ".join(lines[:2])


def check_batch(plan: Plan) -> None:
    """m = global_batch / (microbatch * data) is a whole number of at least 1."""
    at_once = plan.microbatch * plan.data
    if plan.global_batch % at_once:
        raise ScenarioError(
            f"{plan.global_batch} is not a multiple of microbatch {plan.microbatch} * data {plan.data} = {at_once}; "
            f"the nearest that work are {neighbours(plan.global_batch, at_once)}",
            key="plan.global_batch",
        )


def check_gpus(cluster: Cluster) -> None:
    """The cluster is small enough to be simulated at all."""
    if cluster.gpus > MAX_GPUS:
        raise ScenarioError(
            f"{cluster.gpus} GPUs are more than the {MAX_GPUS:,} of one simulation; use fewer nodes", key="cluster"
        )


def check_size(model: ModelSpec, plan: Plan) -> None:
    """The step is small enough to be simulated at all."""
    layers, m = model.trunk.num_layers, plan.microbatches
    passes = m * plan.pipeline * plan.virtual_stages
    if layers > MAX_LAYERS:
        raise ScenarioError(
            f"{layers} layers are more than the {MAX_LAYERS:,} of one simulation; use fewer", key="model.trunk.layers"
        )
    if passes > MAX_PASSES:
        raise ScenarioError(
            f"m {m} * pipeline {plan.pipeline} * virtual_stages {plan.virtual_stages} = {passes} forward passes are "
            f"more than the {MAX_PASSES:,} of one simulation; raise microbatch or data, or lower global_batch",
            key="plan.global_batch",
        )


def check_schedule(plan: Plan) -> None:
    """Interleaving needs model chunks, a V two of them; where compute waits for its sends, none may wait in a ring."""
    interleaved = plan.schedule == "interleaved_1f1b"
    if plan.schedule == "zb_v" and plan.virtual_stages != V_CHUNKS:
        raise ScenarioError(
            f"zb_v holds {V_CHUNKS} chunks on each rank, and virtual_stages is {plan.virtual_stages}; "
            f"use --set plan.virtual_stages={V_CHUNKS}",
            key="plan.virtual_stages",
        )
    if plan.schedule == "zb_v" and plan.pipeline > 2 and not plan.overlap.pipeline:
        raise ScenarioError(
            "neighbours in a V send to each other at the same time, and where compute waits for its sends they "
            "wait for each other for ever; use --set plan.overlap.pipeline=true",
            key="plan.overlap.pipeline",
        )
    if plan.virtual_stages > 1 and not interleaved and plan.schedule != "zb_v":
        raise ScenarioError(
            f"{plan.virtual_stages} chunks for each rank belong to interleaved_1f1b, and the schedule is "
            f"{plan.schedule}; use --set plan.schedule=interleaved_1f1b or --set plan.virtual_stages=1",
            key="plan.virtual_stages",
        )
    if not interleaved or plan.pipeline == 1:
        return
    if plan.virtual_stages == 1:
        raise ScenarioError(
            "interleaved_1f1b needs at least 2 model chunks for each rank; use --set plan.virtual_stages=2 or "
            "--set plan.schedule=1f1b",
            key="plan.virtual_stages",
        )
    if plan.microbatches % plan.pipeline and not plan.overlap.pipeline:
        step = plan.microbatch * plan.data * plan.pipeline
        raise ScenarioError(
            f"{plan.microbatches} microbatches are not a multiple of pipeline {plan.pipeline}, and without overlap "
            "interleaved ranks whose groups differ wait for each other for ever; use --set plan.overlap.pipeline=true; "
            f"the nearest global_batch that work are {neighbours(plan.global_batch, step)}",
            key="plan.global_batch",
        )
