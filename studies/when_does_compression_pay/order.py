"""Does the prediction put {none, bf16, int8, topk, powersgd} in the order in which this machine runs them?

    python -m studies.when_does_compression_pay.order [--budget SECONDS] [--steps N] [--folder DIR]

Two processes, over plain loopback and over an emulated slow link (`faults.links`: collectives wait as long as their
bytes would need there). The machine is calibrated first; keep it idle.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from calibration.calibrate import calibrating
from simulator import scenario_from, simulate
from simulator.executor.batches import synthetic
from simulator.report.tables import study_table
from simulator.validation.statistics import concordance
from studies.predict_then_run.turns import run_in_turns

METHODS = ("none", "bf16", "int8", "topk", "powersgd")
SLOWER = 128
"""A link of 100 Mb/s in place of loopback's assumed 1.6e9 bytes/s."""

LINKS = {"loopback": 1, f"emulated, {SLOWER} times slower": SLOWER}
WARMUP = 3


@dataclass(frozen=True)
class Row:
    """Seconds of a step, predicted and measured (median), and the median absolute deviation of the measured ones."""

    link: str
    method: str
    predicted_s: float
    measured_s: float
    mad_s: float


def scenario(method: str, factor: int, profile: str | None = None):
    """A GPT of a million parameters on two processes."""
    slow = {"links": [{"link": "node0/switch", "factor": factor}]} if factor > 1 else {}
    return scenario_from({
        "schema_version": 1,
        "name": f"{method}, {factor} times slower",
        "model": {"trunk": {"block": "gpt", "layers": 4, "hidden": 128, "heads": 4, "vocab": 2000, "seq": 64}},
        "dtype": "fp32",
        "optimizer": "adam",
        "cluster": {"preset": "cpu_host", "gpus_per_node": 2},
        "profile": profile,
        "plan": {"data": 2, "microbatch": 8, "global_batch": 16, "bucket_mib": 1.0, "compression": {"method": method}},
        "faults": slow,
    })  # fmt: skip


def rows(budget_s: float, steps: int, folder: Path) -> list[Row]:
    """Calibrates, runs the methods of each link in turns, predicts them."""
    profile = folder / "profile.json"
    files = [folder / f"{method}.json.yaml" for method in METHODS]
    for path, method in zip(files, METHODS, strict=True):
        path.write_text(scenario(method, 1).canonical_json())
    how = {"budget_s": budget_s, "out": str(profile), "missing": [str(path) for path in files]}
    found: list[Row] = []
    with calibrating("cpu", **how, say=lambda *line: None) as session, tempfile.TemporaryDirectory() as pipes:
        session.run(time.monotonic() + budget_s)
        runs = {}
        for link, factor in LINKS.items():
            print(f"order: running {len(METHODS)} methods over {link}", file=sys.stderr, flush=True)
            chosen = [scenario(method, factor) for method in METHODS]
            runs[link] = run_in_turns(
                chosen, Path(pipes) / str(factor), synthetic, session.revisit, steps=steps, warmup=WARMUP
            )
        session.flush()
    for link, factor in LINKS.items():
        for method, run in zip(METHODS, runs[link], strict=True):
            measured = [ns / 1e9 for ns in run.samples_ns]
            middle = median(measured)
            predicted = simulate(scenario(method, factor, str(profile))).step_time_s
            found.append(Row(link, method, predicted, middle, median(abs(one - middle) for one in measured)))
    return found


def agreement(chosen: list[Row]) -> tuple[float | None, int]:
    """(Kendall's tau, pairs that differ by more than both spreads)."""
    score, pairs = concordance([(one.predicted_s, one.measured_s) for one in chosen], [one.mad_s for one in chosen])
    return (score / pairs if pairs else None), pairs


def answers(found: list[Row]) -> list[str]:
    """The orders, fastest first, and how far they agree."""
    said = []
    for link in LINKS:
        chosen = [one for one in found if one.link == link]
        tau, pairs = agreement(chosen)
        by = {words: " < ".join(one.method for one in sorted(chosen, key=key)) for words, key in
              (("predicted", lambda one: one.predicted_s), ("measured", lambda one: one.measured_s))}  # fmt: skip
        agrees = (
            "none differs by more than its spread" if tau is None else f"Kendall's tau {tau:+.2f} over {pairs} pairs"
        )
        said.append(f"{link}: predicted {by['predicted']}; measured {by['measured']}; {agrees}")
    return said


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of calibration")
    parser.add_argument("--steps", type=int, default=18, help="measured steps of each run")
    parser.add_argument("--folder", type=Path, default=Path("out/compression_order"))
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    found = rows(options.budget, options.steps, options.folder)
    shown: list[dict[str, Any]] = [
        {"link": one.link, "method": one.method, "predicted ms": 1e3 * one.predicted_s,
         "measured ms": 1e3 * one.measured_s, "spread ms": 1e3 * one.mad_s,
         "error": f"{one.predicted_s / one.measured_s - 1:+.0%}"}
        for one in found
    ]  # fmt: skip
    console = Console()
    console.print(study_table(shown))
    for line in answers(found):
        console.print(f"- {line}", highlight=False, soft_wrap=True)
    (options.folder / "answers.json").write_text(json.dumps({"rows": shown, "answers": answers(found)}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
