"""What the ranks of a step spend their time on, by kind of action: the same table for a simulated and a measured step.

The compute stream's rows and `idle` sum to the step. What runs on other streams is listed beside them: it may be hidden
behind compute, so it belongs to no sum.
"""

from __future__ import annotations

import numpy as np

from simulator import kinds
from simulator.graph.event_graph import HOST_STREAM
from simulator.timeline import Timeline

RECOMPUTE, EXPOSED, IDLE = "recompute", "collectives inside", "idle"
COMPUTE_STREAMS = ("compute", "tensor", "context")
"""A compute action's kernels run on the first of these, the collectives inside it on the others."""

ON_COMPUTE = {
    "F": "forward", "B": "backward", "I": "backward", "W": "backward", "lookup": "lookup",
    "deduplicate": "ids made distinct", "repeat": "ids made distinct", "encode": "encode", "decode": "decode",
    "optimizer": "optimizer", "table_optimizer": "table optimizer",
}  # fmt: skip
BESIDE = {
    "reduce": "gradient reduce", "reduce_scatter": "gradient reduce-scatter", "all_gather": "parameter all-gather",
    "recv": "pipeline receive", "exchange ids": "exchange of ids", "exchange vectors": "exchange of vectors",
    "exchange gradients": "exchange of gradients", "gather vectors": "gather of vectors",
    "reduce vectors": "reduction of vectors", "gather gradients": "gather of gradients",
    "reduce node vectors": "reduction of vectors in a node", "exchange node vectors": "exchange of vectors of nodes",
    "exchange node gradients": "exchange of gradients of nodes",
    "gather node gradients": "gather of gradients in a node",
    "gather context vectors": "gather of vectors over context",
    "scatter context gradients": "scatter of gradients over context", "scatter gradients": "scatter of gradients",
}  # fmt: skip
"""A send is the other end of a receive; it is not listed again."""

ROWS: tuple[str, ...] = (*dict.fromkeys(ON_COMPUTE.values()), RECOMPUTE, EXPOSED, IDLE, *BESIDE.values())
IN_STEP = frozenset((*ON_COMPUTE.values(), RECOMPUTE, EXPOSED, IDLE))
"""Rows that sum to the step."""


def action_times(timeline: Timeline) -> dict[str, float]:
    """{row of ROWS: ns of one step, averaged over the real ranks}.

    A compute action lasts from its first kernel's start to the last one's end. What its kernels do not fill is
    `EXPOSED` where it has collectives: those, as far as kernels do not hide them, and the wait for their members; else
    it is the action's own (the host launches). On other streams an action lasts from when the last of its members is
    ready.
    """
    totals = dict.fromkeys(ROWS, 0.0)
    if not len(timeline):
        return totals
    weight = np.array(timeline.multiplicity, dtype=np.float64)
    weight /= weight.sum()
    of_op = weight[timeline.rank_index]
    verbs = [action.verb for action in timeline.parsed_actions]
    verb = np.array([*verbs, ""])[timeline.action]
    stream = np.array([lane.name for lane in timeline.streams])[timeline.stream]
    span = timeline.end_ns - timeline.start_ns
    inside = (timeline.action >= 0) & np.isin(stream, COMPUTE_STREAMS)
    beside = (timeline.action >= 0) & ~inside & (stream != HOST_STREAM)
    for name, row in BESIDE.items():
        totals[row] += float((span * of_op)[beside & (verb == name)].sum())

    kernel_ns, recompute_ns = _kernel_ns(timeline, span)
    for name, row in ON_COMPUTE.items():
        totals[row] += float((kernel_ns * of_op)[inside & (verb == name)].sum())
    totals[RECOMPUTE] = float((recompute_ns * of_op)[inside].sum())

    key = timeline.rank_index * len(verbs) + timeline.action  # an action occurs once on a rank
    first = np.full(len(weight) * len(verbs), np.iinfo(np.int64).max)
    last = np.full_like(first, -1)
    np.minimum.at(first, key[inside], timeline.start_ns[inside])
    np.maximum.at(last, key[inside], timeline.end_ns[inside])
    filled = np.bincount(key[inside], weights=(kernel_ns + recompute_ns)[inside], minlength=len(first))
    collective_ns = span - kernel_ns - recompute_ns
    collects = np.bincount(key[inside], weights=collective_ns[inside], minlength=len(first)) > 0.5
    ran = np.flatnonzero(last >= 0)
    share, own = weight[ran // len(verbs)], np.array(verbs)[ran % len(verbs)]
    gap = (last - first - filled)[ran] * share
    totals[EXPOSED] = float(gap[collects[ran]].sum())
    for name, row in ON_COMPUTE.items():
        totals[row] += float(gap[~collects[ran] & (own == name)].sum())
    totals[IDLE] = timeline.step_ns - float(((last - first)[ran] * share).sum())
    return totals


def _kernel_ns(timeline: Timeline, span: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64[n], float64[n]: of each op, the ns in which a kernel ran, recomputing or not."""
    counts = np.diff(timeline.part_first)
    owner = np.repeat(np.arange(len(timeline)), counts)
    whole = np.bincount(owner, weights=timeline.part_ns, minlength=len(timeline))
    part_ns = timeline.part_ns * (span / np.maximum(whole, 1.0))[owner]
    found = []
    for chosen in ([kind for kind in kinds.COMPUTE_KINDS if kind != kinds.RECOMPUTE], [kinds.RECOMPUTE]):
        codes = [kinds.CODE[kind] for kind in chosen]
        plain = np.where((counts == 0) & np.isin(timeline.kind, codes), span, 0)
        among = np.isin(timeline.part_kind, codes)
        found.append(plain + np.bincount(owner[among], weights=part_ns[among], minlength=len(timeline)))
    return found[0], found[1]
