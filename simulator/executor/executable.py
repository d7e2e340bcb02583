"""What the simulator prices and the executor cannot run: refused before a process is started."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path

from simulator.errors import NotSupportedYet, ScenarioError
from simulator.executor.compiled import check_compiles
from simulator.executor.emulated import check_emulated
from simulator.memory import measure_memory
from simulator.model import tables
from simulator.program.cuts import cut_of
from simulator.stage_balance import adapts
from simulator.units import GIB

PROCESS_BYTES = 350 * 2**20
"""A process with torch loaded and Gloo connected, before it holds a model: 240 MiB resident, measured with torch 2.13
for CPUs, and 110 MiB assumed for what steps allocate and do not give back."""

BACKENDS = ("gloo", "nccl")


def check_executable(scenario, ranks: int | None, backend: str) -> None:
    """Raises ScenarioError or NotSupportedYet with key, value and remedy."""
    if backend not in BACKENDS:
        raise ScenarioError(f"{backend!r} is not a backend; use {' or '.join(BACKENDS)}", key="--backend")
    check_ranks(scenario, ranks)
    check_emulated(scenario, backend)
    check_stragglers(scenario, backend)
    check_adaptive(scenario, backend)
    if scenario.software.compile:
        check_compiles(backend)
    if scenario.model.trunk.block == "profiled":
        raise ScenarioError(
            "profiled layers are times without weights, so there is nothing to execute; use another block, or simulate",
            key="model.trunk.block",
        )


def check_stragglers(scenario, backend: str) -> None:
    """Raises NotSupportedYet where a slow rank cannot be run."""
    if scenario.faults.stragglers and backend != "gloo":
        raise NotSupportedYet(
            "stragglers are run on CPUs over gloo, not yet on CUDA devices; leave them out, or use --backend gloo",
            key="faults.stragglers",
        )


def check_adaptive(scenario, backend: str) -> None:
    """Raises NotSupportedYet for state that no rank can hand over yet."""
    if not adapts(scenario):
        return
    plan, words = scenario.plan, None
    compression = plan.compression.method
    if plan.gathers_blocks:
        words = "adaptive with zero 3 cannot be executed yet, for nobody holds a layer to hand it over; use zero 1"
    elif compression in ("powersgd", "adaptive"):
        words = f"adaptive with {compression} cannot be executed yet, for it remembers whole buckets; use topk or bf16"
    elif compression != "none" and (plan.shards > 1 or plan.aggregation.sparse == "balanced"):
        words = f"adaptive with {compression} by owners cannot be executed yet; use zero 0 and sparse allgather"
    elif compression != "none" and plan.aggregation.order == "priority":
        words = f"adaptive with {compression} and order priority cannot be executed yet; use backward"
    elif backend != "gloo":
        words = "adaptive is run on CPUs over gloo, not yet on CUDA devices; use --backend gloo"
    if words is not None:
        raise NotSupportedYet(words, key="plan.balancer.kind")


def check_memory(scenario, program) -> None:
    """All ranks share this machine's memory; raises ScenarioError before they fill it."""
    cut = cut_of(scenario, scenario.software.attention or "flash")
    peaks = {own.rank: own.peak for own in measure_memory(program, scenario, cut).per_rank}
    needed = sum(len(own.members) * (peaks[own.rank] + PROCESS_BYTES) for own in program.ranks)
    needed += sum(tables.num_owners(scenario, load) * tables.on_host(load) for load in tables.parts(scenario))
    available = available_bytes()
    if needed > available:
        raise ScenarioError(
            f"{scenario.layout.ranks} processes need {needed / GIB:.1f} GiB and this machine has "
            f"{available / GIB:.1f} GiB left; execute a smaller model (--set model.trunk.layers=2) or fewer ranks",
            key="model",
        )


def available_bytes() -> int:
    """Memory that processes can have without swapping; all of it where the system does not say what is free."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_ranks(scenario, ranks: int | None) -> None:
    """N processes run a program of N ranks; raises ScenarioError with the `--set` line that fits."""
    layout = scenario.layout
    if ranks is None or ranks == layout.ranks:
        return
    context = f" * context {layout.context}" if layout.context > 1 else ""
    degrees = f"tensor {layout.tensor}{context} * data {layout.data} * pipeline {layout.pipeline} = {layout.ranks}"
    raise ScenarioError(f"{ranks} ranks cannot run {degrees}; use {_fitting(scenario, ranks)}", key="--ranks")


def _fitting(scenario, ranks: int) -> str:
    plan, layout = scenario.plan, scenario.layout
    degrees = {key: getattr(layout, key) for key in ("tensor", "context", "pipeline")}
    lines, rest = [], ranks
    if ranks % prod(degrees.values()):  # other degrees must give way: the largest that still fit
        for key, degree in degrees.items():
            degrees[key] = max(d for d in range(1, degree + 1) if degree % d == 0 and rest % d == 0)
            rest //= degrees[key]
            if key != "context" or degree > 1:
                lines.append(f"plan.{key}={degrees[key]}")
    data = ranks // prod(degrees.values())
    lines.append(f"plan.data={data}")
    if plan.global_batch % (plan.microbatch * data):
        at_once = plan.microbatch * data
        lines.append(f"plan.global_batch={max(1, plan.global_batch // at_once) * at_once}")
    cluster = "cluster.gpus_per_node" if scenario.stated.cluster.preset == "cpu_host" else None
    lines.append(f"{cluster}={ranks}" if cluster else f"cluster='{{preset: cpu_host, gpus_per_node: {ranks}}}'")
    return " ".join(f"--set {line}" for line in lines) + f", or --ranks {layout.ranks}"
