"""Held: which sharded buckets an action unpacks, opens, packs, drops and releases; read from the program, by everybody.

The simulator prices the copies and counts the bytes, the executor does the same things with tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from simulator.model import blocks
from simulator.program.actions import COMPUTE_VERBS, Action
from simulator.program.gradients import read_by_head
from simulator.program.program import Bucket, RankProgram


class Touch(NamedTuple):
    """Names of buckets, in order.

    unpacks: gathered parameters, copied to where kernels read them, before the action. opens: buckets whose whole
    gradients live from this action to the one that packs them. packs: behind the action their gradients are copied into
    the message of their reduction, or into what is encoded as one. drops: their whole parameters are gone behind the
    action. releases: the message of their reduction is gone once the action begins, which has waited for it (FSDP2
    keeps it as long); a compressed one is gone when it is decoded.
    """

    unpacks: tuple[str, ...] = ()
    opens: tuple[str, ...] = ()
    packs: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()


NOTHING = Touch()


def touches(own: RankProgram, scenario) -> Mapping[str, Touch]:
    """{name of an action on the compute stream: what it does}; empty where neither parameters nor accumulated gradients
    are sharded."""
    plan = scenario.plan
    if not plan.gathers_blocks and not plan.scatters_each:
        return {}
    # the head reads a shared embedding too, and its backward pass comes first
    shared = [one.name for one in own.buckets if one.first == 0 and read_by_head(scenario)]
    actions = [launch.action for launch in own.launches]
    names = {action.name for action in actions}
    trained = {one.name for one in own.buckets if one.numel}
    idle = _idle(own, scenario) - set(shared)
    lasts = _last_of_frozen(own, plan, actions)
    packs: dict[str, list[str]] = {}
    completes = ""
    for action in actions:
        if action.verb in COMPUTE_VERBS:
            completes = action.name
        elif action.verb == "encode" and not action.phase:  # of what the action before it has completed
            packs.setdefault(completes, []).append(action.bucket)
        elif action.verb == "reduce_scatter" and action.method == "none":
            packs.setdefault(action.after[0], []).append(action.bucket)
    found: dict[str, Touch] = {}
    gathered: dict[str, str] = {}
    opened: dict[str, None] = {}
    under_way: list[Action] = []
    for action in actions:
        if action.verb == "all_gather":
            gathered[action.name] = action.bucket
        elif action.verb == "reduce_scatter" and action.method == "none":
            under_way.append(action)
        elif action.verb in (*COMPUTE_VERBS, "optimizer"):
            over = max((place for place, one in enumerate(under_way, 1) if one.name in action.after), default=0)
            releases = tuple(one.bucket for one in under_way[:over])
            del under_way[:over]
            unpacks = tuple(gathered[name] for name in action.after if name in gathered)
            opens: tuple[str, ...] = ()
            if plan.scatters_each and action.verb == "B":
                touched = dict.fromkeys([*(one.name for one in _spanned(own, action)), *shared])
                opens = tuple(name for name in touched if name in trained and name not in opened)
                opened |= dict.fromkeys(opens)
            packed = tuple(packs.get(action.name, ()))
            for name in packed:
                opened.pop(name, None)
            drops = packed + tuple(name for name in lasts.get(action.name, ()) if name not in idle)
            if plan.gathers_each and not plan.scatters_each:  # behind each pass, whatever it completes
                spanned = [one.name for one in _spanned(own, action)] if action.verb in ("B", "I") else []
                drops = tuple(name for name in drops if name in shared)
                drops += tuple(name for name in spanned if name not in shared and name not in idle)
            if action.verb == "F":
                again = {one.name: f"all_gather {one.name} B{action.microbatch}" for one in _spanned(own, action)}
                drops = tuple(name for name, gather in again.items() if gather in names or name in idle)
            whole = plan.gathers_blocks
            found[action.name] = Touch(unpacks if whole else (), opens, packed, drops if whole else (), releases)
    return found


def _idle(own: RankProgram, scenario) -> set[str]:
    """Buckets that are dropped behind their forward for good: they have no backward pass."""
    plan, units = scenario.plan, blocks.units(scenario.model)
    if not plan.reshard_after_forward or not (plan.scatters_each or plan.gathers_each):
        return set()
    return {
        one.name for one in own.buckets
        if not any(blocks.training(scenario.model, unit).runs for unit in units[one.first : one.last + 1])
    }  # fmt: skip


def _last_of_frozen(own: RankProgram, plan, actions: list[Action]) -> dict[str, list[str]]:
    """{name of an action: buckets of which nothing is trained, and which it is the last to need}: of a microbatch, or
    of the step where parameters are gathered once."""
    verb = "W" if any(action.verb == "W" for action in actions) else "B"
    passes = [action for action in actions if action.verb == verb]
    last = max((action.microbatch for action in passes), default=0)
    found: dict[str, list[str]] = {}
    for action in passes:
        if plan.scatters_each or action.microbatch == last:
            found[action.name] = [one.name for one in _spanned(own, action) if not one.numel]
    return found


def _spanned(own: RankProgram, action: Action) -> list[Bucket]:
    """The buckets whose units a compute action runs."""
    first, last = own.chunk(action.stage).span(action.verb, action.segment)
    return [one for one in own.buckets if first <= one.first and one.last <= last]
