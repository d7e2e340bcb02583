"""Remedies: changes of a scenario that make it need less memory, in the order in which they disturb it.

1. What costs communication alone: ZeRO 1, sequence parallelism, tables sharded as fits, shards over all replicas,
   ZeRO 2 and 3, blocks dropped after forward.
2. Another order of the same work: a schedule that keeps fewer microbatches alive.
3. What is computed again: recompute selective, selective_op, full.
4. Smaller kernels: half the microbatch, a quarter, and so on.
5. Tables in host memory, the largest first.
6. Fewer bits, which change what is learnt: 16-bit activations and parameters for 32-bit ones, then 16-bit sums of
   gradients; tables in fp16, the largest first.
7. The model over more ranks, fewer replicas: context, tensor, pipeline; twice, four and eight times as many.

Then (`candidates.py`) two of these together, the most of several together, more nodes, and tensor groups that leave
their node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from simulator.cluster import Device
from simulator.model import blocks, tables
from simulator.model.spec import Table

Change = tuple[str, ...]
"""`--set` lines that belong together."""

MOST_MICROBATCHES = 4096
"""Smaller kernels make more of them. Beyond this many, and four times what the plan has, no step is proposed: it would
be bound by launches, and take minutes to try."""

FACTORS = (2, 4, 8)
NARROW = ("bf16", "fp16")
"""16-bit dtypes, the one without loss scaling first."""

NODE_FACTORS = (2, 4, 8, 16)

LESS_ALIVE = {
    "gpipe": ("1f1b",),
    "zb_h2": ("zb_h1", "1f1b"),
    "zb_h1": ("1f1b",),
    "zb_v": ("1f1b",),
    "interleaved_1f1b": ("1f1b",),
}
"""Schedules that keep fewer activations on their fullest rank, nearest first."""


def changes(scenario) -> Iterator[Change]:
    """Single remedies, in the written order. Some may be illegal for this model: who applies them finds out."""
    for lever in LEVERS:
        yield from lever(scenario)


def _states(scenario) -> Iterator[Change]:
    plan = scenario.plan
    if plan.replicas > 1 and plan.zero == 0:
        yield ("plan.zero=1",)
    if plan.tensor > 1 and not plan.sequence_parallel:
        yield ("plan.sequence_parallel=true",)
    if plan.embedding_sharding != "auto" and blocks.sparse_tables(scenario.model):
        yield ("plan.embedding_sharding=auto",)
    if plan.zero and plan.shard_group not in (None, plan.replicas):
        yield ("plan.shard_group=null",)
    if plan.replicas > 1 and plan.pipeline == 1 and plan.zero < 2:  # under a pipeline whole gradients are summed up
        yield ("plan.zero=2",)
    if plan.replicas > 1 and plan.zero < 3:
        kept = () if plan.pipeline == 1 or plan.reshard_after_forward else ("plan.reshard_after_forward=true",)
        yield ("plan.zero=3", "plan.bucket_mib=null", *kept)
    if plan.gathers_blocks and not plan.reshard_after_forward:
        yield ("plan.reshard_after_forward=true",)


def _schedules(scenario) -> Iterator[Change]:
    plan = scenario.plan
    for name in LESS_ALIVE.get(plan.schedule, ()) if plan.pipeline > 1 else ():
        yield (f"plan.schedule={name}", *(("plan.virtual_stages=1",) if plan.virtual_stages > 1 else ()))


def _recomputation(scenario) -> Iterator[Change]:
    modes = ("none", "selective", "selective_op", "full")
    for mode in modes[modes.index(scenario.plan.recompute) + 1 :]:
        yield (f"plan.recompute={mode}",)


def _smaller_kernels(scenario) -> Iterator[Change]:
    plan = scenario.plan
    microbatch, microbatches = plan.microbatch, plan.microbatches
    while microbatch % 2 == 0 and 2 * microbatches <= max(MOST_MICROBATCHES, 4 * plan.microbatches):
        microbatch, microbatches = microbatch // 2, 2 * microbatches
        yield (f"plan.microbatch={microbatch}",)


def _fewer_bits(scenario) -> Iterator[Change]:
    """What is stated beside a dtype is stated too: what it defaults to follows the dtype that was."""
    precision = scenario.precision
    if scenario.dtype in ("fp32", "tf32"):
        devices = [node.device for node, _ in scenario.cluster.groups]
        dtype = next((name for name in NARROW if all(_computes(device, name) for device in devices)), None)
        if dtype is not None:
            sums = (f"precision.gradients={dtype}", f"precision.reduce={dtype}") if dtype == "fp16" else ()
            yield (f"dtype={dtype}", f"precision.parameters={dtype}", *sums)
    elif scenario.dtype in NARROW and precision.gradients == "fp32":
        yield (f"precision.gradients={scenario.dtype}",)


def _tables_of_fewer_bits(scenario) -> Iterator[Change]:
    lines: Change = ()
    for place in _by_stored(scenario, lambda table: table.dtype in ("fp32", "tf32")):
        lines += (f"model.tables.{place}.dtype=fp16",)
        yield lines


def _computes(device: Device, dtype: str) -> bool:
    """Whether a device has this arithmetic; of a CPU nobody says."""
    return bool(device.peak(dtype) or device.sustained_flops_per_s)


def _tables_to_host(scenario) -> Iterator[Change]:
    """The table that holds most device memory, then the two that do, and so on, in host memory."""
    lines: Change = ()
    for place in _by_stored(scenario, lambda table: table.placement == "device"):
        lines += (f"model.tables.{place}.placement=host",)
        yield lines


def _by_stored(scenario, counts: Callable[[Table], bool]) -> list[int]:
    """Places of the tables that count, what holds most device memory first."""
    stored = {load.table.name: load.rows * load.stored_bytes for load in tables.loads(scenario)}
    found = [
        (stored[table.name], -place)
        for place, table in enumerate(scenario.model.tables)
        if counts(table) and stored.get(table.name)
    ]
    return [-place for _, place in sorted(found, reverse=True)]


def _more_ranks_each(scenario) -> Iterator[Change]:
    plan = scenario.plan
    for factor in FACTORS:
        if plan.data % factor:
            continue
        fewer = f"plan.data={plan.data // factor}"
        for kind in dict.fromkeys((plan.context_kind, "all_to_all")):  # unfused attention has no ring
            lines = () if kind == plan.context_kind else (f"plan.context_kind={kind}",)
            yield (f"plan.context={plan.context * factor}", *lines, fewer)
        if plan.tensor * factor <= min(node.gpus for node, _ in scenario.cluster.groups):
            yield from wider(scenario, factor)
        yield (f"plan.pipeline={plan.pipeline * factor}", fewer)


STATES, MORE_RANKS = _states, _more_ranks_each
LEVERS = (
    STATES, _schedules, _recomputation, _smaller_kernels, _tables_to_host, _fewer_bits, _tables_of_fewer_bits,
    MORE_RANKS,
)  # fmt: skip
GROWING = (_smaller_kernels, _tables_to_host, _tables_of_fewer_bits)
"""Levers of which each change does all that the one before it does, and more."""


def wider(scenario, factor: int) -> Iterator[Change]:
    """Every layer over more ranks, where its heads divide."""
    plan, heads = scenario.plan, scenario.model.trunk.kv_heads
    if plan.data % factor == 0 and heads and heads % (plan.tensor * factor) == 0:
        yield (f"plan.tensor={plan.tensor * factor}", f"plan.data={plan.data // factor}")


def more_nodes(scenario) -> Iterator[Change]:
    """More nodes: the model over them by pipeline, or its tables over them by data.

    By pipeline, the batch and the work of a replica stay what they are; by data, each replica has fewer microbatches,
    and a larger batch where they cannot be dealt.
    """
    plan = scenario.plan
    for factor in NODE_FACTORS:
        nodes = _times_the_nodes(scenario, factor)
        if not nodes:
            return
        spread = (*nodes, f"plan.pipeline={plan.pipeline * factor}")
        yield spread
        if plan.recompute != "full":
            yield (*spread, "plan.recompute=full")
        replicas = (*nodes, f"plan.data={plan.data * factor}")
        larger = () if plan.microbatches % factor == 0 else (f"plan.global_batch={plan.global_batch * factor}",)
        yield (*replicas, *larger)


def _times_the_nodes(scenario, factor: int) -> Change:
    """So many times the nodes, group by group; nothing for a cluster that is spelt out or is one machine."""
    section = scenario.stated.cluster
    if section.groups is not None:
        return tuple(
            f"cluster.groups.{place}.nodes={group.nodes * factor}" for place, group in enumerate(section.groups)
        )
    return (f"cluster.nodes={section.nodes * factor}",) if section.nodes is not None else ()
