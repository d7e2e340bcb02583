"""A plan, its batch and the run around it in words: whatever differs from plain training is said."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from pathlib import PurePath

from simulator.report import format

MANY = 3
"""Slow ranks that are named one by one."""


def degrees_words(plan) -> str:
    """tensor 8 × pipeline 8: the degrees above one."""
    names = ("tensor", "pipeline", "data", "context")
    degrees = [f"{name} {getattr(plan, name)}" for name in names if getattr(plan, name) > 1]
    return " × ".join(degrees) if degrees else "one device"


def plan_words(plan) -> str:
    """Degrees and the choices that differ from plain training."""
    words = [degrees_words(plan)]
    if plan.pipeline > 1:
        virtual = f" with {plan.virtual_stages} chunks a rank" if plan.virtual_stages > 1 else ""
        words.append(f"schedule {plan.schedule}{virtual}")
    if plan.partition == "balanced":
        words.append("stages balanced in FLOPs")
    elif plan.partition != "uniform":
        words.append(f"stages of {'+'.join(map(str, plan.partition))} layers")
    if plan.sequence_parallel:
        words.append("sequence parallel")
    if plan.context > 1:
        words.append(f"context by {plan.context_kind.replace('_', ' ')}")
    words.append(f"recompute {plan.recompute.replace('_', ' ')}")
    if plan.zero:
        among = f" among every {plan.shard_group} ranks" if plan.shard_group else ""
        kept = ", parameters kept after forward" if plan.zero == 3 and not plan.reshard_after_forward else ""
        words.append(f"ZeRO {plan.zero}{among}{kept}")
    words += _reductions(plan)
    if plan.overlap.tensor and plan.tensor > 1:
        words.append("tensor communication beside products")
    if plan.sync.mode != "synchronous":
        words.append(f"{plan.sync.mode} updates")
    if plan.balancer.kind != "none":
        words.append(balancer_words(plan.balancer))
    return ", ".join(words)


def _reductions(plan) -> list[str]:
    """How gradients are summed."""
    words, how = [], plan.aggregation
    if how.algorithm != "auto":
        words.append(f"{how.algorithm.replace('_', ' ')} reductions")
    if how.order != "backward":
        words.append(f"reductions by {how.order}")
    if plan.compression.method != "none":
        words.append(f"{plan.compression.method} compression{_decided(plan.compression)}")
        if how.sparse != "allgather":
            words.append(f"{how.sparse} sums")
    if plan.data > 1 and not plan.overlap.grad_reduce:
        words.append("gradients reduced after the backward pass")
    return words


def _decided(compression) -> str:
    """How many buckets each method got, where that was decided: " (topk 3, none 5)"."""
    counts = Counter(method for _, method in compression.decided or ())
    return f" ({', '.join(f'{method} {count}' for method, count in counts.most_common())})" if counts else ""


def balancer_words(balancer) -> str:
    """What it evens out, and what the adaptive one waits for."""
    if balancer.kind == "length":
        return "samples dealt out by length"
    if balancer.kind == "adaptive":
        return f"adaptive balancer (window {balancer.window} steps, threshold {100 * balancer.threshold:g} %)"
    moved = sum(rank != device for rank, device in enumerate(balancer.placement if _is_order(balancer) else ()))
    where = f" ({moved} of {len(balancer.placement)} ranks on other devices than rank order gives)" if moved else ""
    return f"{balancer.kind} balancer{where}"


def _is_order(balancer) -> bool:
    return isinstance(balancer.placement, tuple)


def batch_words(plan) -> str:
    """Samples of a step and how they are cut."""
    count = plan.microbatches
    if plan.counts:
        found = Counter(plan.counts)
        each = ", ".join(f"{found[count]} of {count:,}" for count in sorted(found, reverse=True))
        of_all = f"{plan.data} replicas ({each} microbatches)"
    else:
        of_all = f"{plan.data} replica{'s' * (plan.data > 1)} × {count:,} microbatch{'es' * (count > 1)}"
    return f"{plan.global_batch:,} samples a step: {of_all} × {plan.microbatch} sample{'s' * (plan.microbatch > 1)}"


def lengths_words(lengths, trunk) -> str:
    """How long samples are; empty for a model without a sequence, of which a sample is one row."""
    seq = trunk.seq
    if not trunk.num_layers or not seq:
        return ""
    if lengths.kind == "fixed":
        return f"every sample has {seq:,} positions"
    layout = {"packed": "packed without padding", "padded": "padded to the longest sample of a microbatch"}
    if lengths.kind == "zipf":
        drawn = f"Zipf {lengths.alpha:g}, at most {min(lengths.max, seq):,} positions"
    else:
        known = lengths.name or f"the file {PurePath(lengths.path).name}"
        drawn = f"drawn from {known}, at most {seq:,} positions"
    return f"{drawn}, {layout[lengths.layout]}"


def steps_words(scenario) -> str:
    """The run of which the answer is the mean; empty for a single step."""
    if scenario.num_draws == 1:
        return ""
    each = ", each with samples of its own" if scenario.samples_differ else ""
    return f"the mean of {scenario.num_draws:,} steps{each}; timeline and memory over time are of the median one"


def faults_words(scenario) -> str:
    """Ranks that compute slower, and when; links are the cluster's. Empty where there are none."""
    faults = sorted(scenario.faults.stragglers, key=lambda one: (one.factor, one.from_step, one.to_step or 0, one.rank))
    told = []
    for (factor, begin, end), alike in groupby(faults, key=lambda one: (one.factor, one.from_step, one.to_step)):
        ranks = [str(one.rank) for one in alike]
        who = f"rank{'s' * (len(ranks) > 1)} {', '.join(ranks)}" if len(ranks) <= MANY else f"{len(ranks)} ranks"
        until = f" to step {end}" if end is not None else " on" if begin else ""
        when = f" from step {begin}{until}" if begin or end is not None else ""
        told.append(f"{who} {format.significant(factor)} times slower{when}")
    return "; ".join(told)
