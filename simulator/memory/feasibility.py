"""Why a plan does not fit in memory, and the smallest change that does.

Smallest is the first that fits in the written order of `candidates.py`.
"""

from __future__ import annotations

import json

from simulator.errors import RehearseError
from simulator.memory.candidates import candidates
from simulator.memory.peak import Memory, measure_memory
from simulator.memory.remedies import Change
from simulator.model.blocks import Cut
from simulator.program.cuts import recut
from simulator.program.lowering import lower
from simulator.units import GIB

ENOUGH = 4
"""Microbatches for each stage and chunk after which no rank gets fuller: trials run no more than these."""


def shortage(scenario, memory: Memory, cut: Cut) -> str | None:
    """One sentence, or None where every rank fits: which rank is short by how much, and what would fit."""
    worst = memory.over
    if worst is None:
        return None
    what, size = max(worst.by_kind, key=lambda pair: pair[1])
    sentence = (
        f"rank {worst.rank} needs {worst.peak / GIB:.2f} GiB and has {worst.limit / GIB:.2f} GiB: "
        f"{(worst.peak - worst.limit) / GIB:.2f} GiB short, most of it {what} ({size / GIB:.2f} GiB); "
    )
    change = smallest_change(scenario, cut)
    if change is None:
        return sentence + (
            "nothing that was tried fits: zero, sequence_parallel, schedule, recompute, microbatch, dtype, context, "
            "tensor, pipeline, tables sharded or in host memory, 16 times the nodes"
        )
    return sentence + "the smallest change that fits is " + " ".join(f"--set {line}" for line in change)


def smallest_change(scenario, cut: Cut) -> Change | None:
    """The first of the candidates under which every rank fits; None where none does."""
    enough: dict[Change, bool] = {}
    for change, most in candidates(scenario):
        if most != change:
            if most not in enough:
                enough[most] = fits(scenario, most, cut, short=True)
            if not enough[most]:
                continue
        if fits(scenario, change, cut, short=True) and fits(scenario, change, cut):
            return change
    return None


def fits(scenario, change: Change, cut: Cut, short: bool = False) -> bool:
    """Whether the changed scenario is legal and every rank fits. cut: of the scenario as it is.

    short: with as few microbatches as fill the pipeline, which may only say yes too often.
    """
    from simulator.scenario.loader import scenario_from

    try:
        stated = _reopened(scenario)
        changed = scenario_from(stated, set=change)
        plan = changed.plan
        enough = ENOUGH * plan.pipeline * plan.virtual_stages
        if short and plan.microbatches > enough:
            less = f"plan.global_batch={plan.global_batch // plan.microbatches * enough}"
            changed = scenario_from(stated, set=(*change, less))
        return measure_memory(lower(changed), changed, recut(changed, cut)).over is None
    except RehearseError:
        return False  # not a legal plan: not a remedy


def _reopened(scenario) -> dict:
    """The scenario as a file whose replicas may have other counts and ranks other devices: those of another plan would
    not fit it."""
    file = json.loads(scenario.canonical_json())
    if file["plan"]["balancer"]["kind"] == "static":
        file["plan"]["balancer"] |= {"microbatches": "balanced", "placement": "natural"}
    return file
