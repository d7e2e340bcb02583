"""What compression costs in steps: loss and NDCG of a small SASRec on MovieLens-100K, method by method.

    python -m studies.when_does_compression_pay.learning [--steps N] [--seeds N] [--folder DIR]

Two real processes train each method; what an earlier command has trained is used again. Learning rates are tuned for
each method, and for none, on seed 0 by the same grid. Steps to the target times the predicted step of a large set-up
give the time to target there, as far as statistical efficiency carries over from this small model: an assumption.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from statistics import fmean, median
from typing import Any

from rich.console import Console

from simulator import scenario_from, simulate
from simulator.executor.evaluation import last_scores, whole_weights
from simulator.executor.job import Job
from simulator.executor.launcher import launch
from simulator.program.lowering import lower
from simulator.report.tables import study_table
from studies.predict_then_run import stages
from studies.when_does_compression_pay.learned import record
from studies.when_does_compression_pay.setups import SetUp

METHODS = ("none", "bf16", "int8", "onebit", "topk", "randomk", "dgc", "powersgd")
RATES = (1e-3, 3e-3, 1e-2)
"""Of Adam; dgc brings its own momentum (0.9), which makes its gradients about ten times as large."""

SMOOTH, TARGET_AT = 20, 0.3
"""Steps that a loss is averaged over; the target is the loss without compression after this share of the steps."""

AT_SCALE = (SetUp("GPT, 0.1B", 1, "dgx_a100", 2, 1600.0), SetUp("GPT, 0.1B", 1, "dgx_a100", 2, 100.0),
            SetUp("GPT, 0.1B", 1, "dgx_a100", 2, 10.0))  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """One run: the loss of every step, smoothed, and NDCG@10 of the held-out items at its end."""

    method: str
    rate: float
    seed: int
    losses: Sequence[float]
    ndcg: float

    def steps_to(self, loss: float) -> int | None:
        """The first step whose smoothed loss is no higher; None where there is none."""
        return next((step for step, own in enumerate(self.losses) if own <= loss), None)


def scenario(method: str, seed: int):
    """SASRec of two layers, 64 wide, over 32 positions; 32 histories a step on two ranks."""
    return scenario_from({
        "schema_version": 1, "name": f"{method}, seed {seed}", "seed": seed, "dtype": "fp32", "optimizer": "adam",
        "model": {
            "trunk": {"block": "sasrec", "layers": 2, "hidden": 64, "heads": 2, "ffn": 64, "seq": 32, "vocab": 1683,
                      "tied_embeddings": True},
        },
        "cluster": {"preset": "cpu_host", "gpus_per_node": 2},
        "plan": {"data": 2, "microbatch": 16, "global_batch": 32, "compression": {"method": method}},
    })  # fmt: skip


def train(runs: Sequence[tuple[str, float, int]], steps: int, source: Any, histories: Any) -> list[Trained]:
    """All runs, one after another on the same two processes."""
    chosen = [scenario(method, seed) for method, _, seed in runs]
    jobs = [Job(one, lower(one), "gloo", steps, 0, source, attention="flash", learning_rate=rate, keep_weights=True)
            for one, (_, rate, _) in zip(chosen, runs, strict=True)]  # fmt: skip
    found = []
    for (method, rate, seed), one, records in zip(runs, chosen, launch(jobs, 2, timeout_s=560), strict=True):
        losses = [sum(parts) for parts in zip(*(record.losses for record in records), strict=True)]
        smooth = tuple(fmean(losses[max(0, at + 1 - SMOOTH) : at + 1]) for at in range(len(losses)))
        ids, last = stages.next_item.contexts(histories, one.model.trunk.seq)
        scores = last_scores(one, whole_weights(one, records), ids, last)
        found.append(Trained(method, rate, seed, smooth, stages.next_item.ndcg(scores, histories)))
    return found


def kept(runs: Sequence[tuple[str, float, int]], steps: int, source: Any, histories: Any, file: Path) -> list[Trained]:
    """The same, a few at a time, each written down as it is there, and read where it was trained before."""
    known: dict[tuple, Trained] = {}
    if file.exists():
        for line in file.read_text().splitlines():
            one = Trained(**json.loads(line))
            known[one.method, one.rate, one.seed, len(one.losses)] = one
    missing = [run for run in runs if (*run, steps) not in known]
    for at in range(0, len(missing), len(METHODS)):
        print(f"learning: {len(runs) - len(missing) + at} of {len(runs)} runs", file=sys.stderr, flush=True)
        for one in train(missing[at : at + len(METHODS)], steps, source, histories):
            known[one.method, one.rate, one.seed, steps] = one
            with file.open("a") as out:
                out.write(json.dumps(asdict(one)) + "\n")
    return [known[(*run, steps)] for run in runs]


def summary(runs: Sequence[Trained], target: float, steps_at_scale: dict[str, list[float]]) -> list[dict[str, Any]]:
    """One row a method: medians over seeds, and time to target at scale over that without compression."""
    rows, plain = [], None
    for method in METHODS:
        own = [run for run in runs if run.method == method]
        reached = [run.steps_to(target) for run in own]
        needed = median(inf if step is None else step for step in reached)
        needed = None if needed == inf else needed
        plain = plain or needed
        loss, ndcg = median(run.losses[-1] for run in own), median(run.ndcg for run in own)
        row: dict[str, Any] = {"method": method, "learning rate": f"{own[0].rate:g}", "loss at end": loss,
                               "NDCG@10": ndcg, "steps to target": needed}  # fmt: skip
        for network, seconds in steps_at_scale.items():
            per_step = seconds[METHODS.index(method)] / seconds[0]
            row[f"time, {network}"] = None if needed is None else f"{per_step * needed / plain:.2f}"
        rows.append(row)
    return rows


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("out/compression_learning"))
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / "runs.jsonl"
    histories, source, where = stages.data(0, lambda *line: print(*line[:1], file=sys.stderr))
    grid = [(method, rate, 0) for method in METHODS for rate in RATES]
    tuned = kept(grid, options.steps, source, histories, file)
    best = {method: min((run for run in tuned if run.method == method), key=lambda run: run.losses[-1])
            for method in METHODS}  # fmt: skip
    rest = [(method, best[method].rate, seed) for seed in range(1, options.seeds) for method in METHODS]
    runs = [*best.values(), *kept(rest, options.steps, source, histories, file)]
    target = median(run.losses[round(TARGET_AT * options.steps) - 1] for run in runs if run.method == "none")
    scale = {one.network.partition(", ")[2]: [simulate(one.scenario(method)).step_time_s for method in METHODS]
             for one in AT_SCALE}  # fmt: skip
    rows = summary(runs, target, scale)
    Console().print(study_table(rows, title=f"{where}: target loss {target:.3f}; times over that without compression"))
    (options.folder / "answers.json").write_text(json.dumps({"target": target, "rows": rows}, indent=1))
    (options.folder / "learned.json").write_text(json.dumps(record(runs, METHODS, target, where), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
