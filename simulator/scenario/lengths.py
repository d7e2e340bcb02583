"""`data.lengths`: whether the lengths fit the model, and those of a file or a data set, read once."""

from __future__ import annotations

import os

from simulator.datasets import movielens
from simulator.errors import ScenarioError
from simulator.files import text_of
from simulator.model.lengths import LONGEST, PACKED, PACKS, PADDED
from simulator.model.spec import ModelSpec
from simulator.plans import Plan
from simulator.scenario.schema import Lengths
from simulator.scenario.source import Source

DATASETS = (movielens.NAME,)
MAX_PASSES = 1_000_000
"""Of all replicas, since none of them folds into another: above it a step takes minutes to simulate."""


def from_folder(source: Source, folder: str) -> None:
    """Makes a relative `data.lengths.path` start where the scenario's file is."""
    data = source.data.get("data")
    lengths = data.get("lengths") if isinstance(data, dict) else None
    if isinstance(lengths, dict) and isinstance(path := lengths.get("path"), str):
        lengths["path"] = os.path.join(folder, os.path.expanduser(path))


def resolve_lengths(lengths: Lengths, block: str) -> Lengths:
    """With its layout as a name, where it has any."""
    if lengths.kind == "fixed" or lengths.layout is not None:
        return lengths
    return lengths.model_copy(update={"layout": PACKED if block in PACKS else PADDED})


def check_lengths(model: ModelSpec, plan: Plan, lengths: Lengths) -> None:
    """Raises ScenarioError where there is no sequence whose length could differ, or more of them than can be drawn."""
    if lengths.kind == "fixed":
        return
    if model.trunk.block in ("none", "profiled"):
        raise ScenarioError(
            f"block {model.trunk.block} has no sequence that could be longer or shorter; use fixed",
            key="data.lengths.kind",
        )
    if lengths.kind == "zipf" and min(lengths.max, model.trunk.seq) > LONGEST:
        raise ScenarioError(f"{lengths.max} is more than {LONGEST:,}; use that or less", key="data.lengths.max")
    if plan.microbatches * plan.data * plan.pipeline > MAX_PASSES:
        raise ScenarioError(
            f"m {plan.microbatches} * data {plan.data} * pipeline {plan.pipeline} passes, each with lengths of its "
            f"own, are more than the {MAX_PASSES:,} of one simulation; raise microbatch or use fixed",
            key="data.lengths.kind",
        )


def observed_lengths(lengths: Lengths) -> tuple[int, ...]:
    """What a file or a data set holds; empty for other kinds. Raises ScenarioError where it cannot be had."""
    if lengths.kind == "file":
        return _of_file(lengths.path)
    if lengths.kind != "dataset":
        return ()
    if lengths.name not in DATASETS:
        raise ScenarioError(
            f"{lengths.name!r} is not a data set that is known; use {', '.join(DATASETS)}, or a file of lengths",
            key="data.lengths.name",
        )
    try:
        movielens.fetch()
        return tuple(len(sequence) for sequence in movielens.load().sequences)
    except movielens.NoData as error:
        remedy = "fetch it where there is a network, or use data.lengths={kind: zipf, alpha: 1.2, max: 737}"
        raise ScenarioError(f"{error}; {remedy}", key="data.lengths.name") from None


def _of_file(path: str) -> tuple[int, ...]:
    key, found = "data.lengths.path", []
    text = text_of(path, key=key, remedy="give a text file with one length a line")
    for number, line in enumerate(text.splitlines(), 1):
        if not (word := line.strip()):
            continue
        if not word.isdecimal() or not 1 <= int(word) <= 2**53:
            raise ScenarioError(
                f"{path} line {number}: {word[:40]!r} is not a length; write one whole number of at least 1 a line",
                key=key,
            )
        found.append(int(word))
    if not found:
        raise ScenarioError(f"{path} holds no length; write one whole number of at least 1 a line", key=key)
    return tuple(found)
