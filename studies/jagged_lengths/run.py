"""What do samples of differing length cost a step, and how much of it does dealing them out by length give back?

    python -m studies.jagged_lengths.run [--report FILE] [--quick]

HSTU ranking on H100 (preset hstu_nv_ranking), lengths Zipf, a mean over many steps, each with a draw of its own. Prints
the answer as tables and writes one offline HTML report. Every number is a prediction from the published H100 profile;
nothing here ran on an H100.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console

from simulator import scenario_from, simulate
from simulator.report.html import study_block, write_report
from simulator.report.tables import study_table
from simulator.simulation import Result

STEPS, FEW, QUICK = 100, 20, 10
ALPHA, LONGEST = 1.2, 4096
"""NVIDIA/recsys-examples, HSTU E2E_BENCHMARK.md: Zipf 1.2, at most 4,096 events, 32 samples a GPU on 16 H100."""

GROUNDS = {
    # (GPUs, samples a GPU, exponent): what changes against the benchmark's own setting, which is the first
    "benchmark": (16, 32, ALPHA),
    "4 times the GPUs": (64, 32, ALPHA),
    "a quarter of the samples": (16, 8, ALPHA),
    "4 times the samples": (16, 128, ALPHA),
    "longer tails": (16, 32, 1.05),
    "shorter tails": (16, 32, 1.5),
}


def run(gpus: int, samples: int, alpha: float, layout: str, balancer: str, steps: int) -> Result:
    """One setting, one layout, with or without the balancer."""
    return simulate(
        scenario_from(
            {
                "schema_version": 1,
                "name": f"{gpus} GPUs, {samples} samples each, alpha {alpha:g}, {layout}, balancer {balancer}",
                "model": {"preset": "hstu_nv_ranking"},
                "cluster": {"preset": "dgx_h100", "nodes": gpus // 8},
                "plan": {"microbatch": samples, "global_batch": gpus * samples, "balancer": {"kind": balancer}},
                "data": {"lengths": {"kind": "zipf", "alpha": alpha, "max": LONGEST, "layout": layout}},
                "steps": steps,
            }
        )
    )


def row(setting: str, result: Result, base: Result) -> dict[str, Any]:
    """One line of the first table; gains are over the padded step without balancer."""
    found, step = result.to_dict(), result.step_time_s
    share = {label: seconds / step for label, seconds in found["breakdown_s"].items()}
    return {
        "setting": setting,
        "step ms": step * 1e3,
        "tokens/s": found["tokens_per_s"],
        "MFU": f"{found['mfu']:.1%}",
        "compute": f"{share['compute']:.0%}",
        "waits for others": f"{share['straggler_wait']:.0%}",
        "memory GiB": found["memory_bytes"]["peak_max"] / 2**30,
        "times as fast": base.step_time_s / step,
    }


def gain_row(ground: str, alone: Result, balanced: Result) -> dict[str, Any]:
    """One line of the second table, packed samples."""
    waits = alone.breakdown["straggler_wait"] / sum(alone.breakdown.values())
    return {
        "ground": ground,
        "step ms, loader's order": alone.step_time_s * 1e3,
        "waits for others": f"{waits:.0%}",
        "step ms, balanced": balanced.step_time_s * 1e3,
        "gain": alone.step_time_s / balanced.step_time_s,
        "gain the policy predicted": 1 + fmean(one.predicted_gain for one in balanced.decisions),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--report", type=Path, default=Path("out/jagged_lengths.html"))
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} steps, and the benchmark's setting alone")
    options = parser.parse_args(arguments)
    steps = {ground: STEPS if ground == "benchmark" else FEW for ground in GROUNDS}
    if options.quick:
        steps = {"benchmark": QUICK}
    wanted = [(ground, layout, kind) for ground in steps for layout in ("packed", "padded")
              for kind in ("none", "length") if layout == "packed" or ground == "benchmark"]  # fmt: skip
    with ProcessPoolExecutor() as pool:
        futures = {key: pool.submit(run, *GROUNDS[key[0]], *key[1:], steps[key[0]]) for key in wanted}
        found = {}
        for key, future in futures.items():
            found[key] = future.result()
            print(f"predicted {found[key].name}", file=sys.stderr)
    base = found["benchmark", "padded", "none"]
    first = [row(f"{layout}, {'balanced' if kind == 'length' else 'loader order'}", one, base)
             for (ground, layout, kind), one in found.items() if ground == "benchmark"]  # fmt: skip
    second = [gain_row(ground, found[ground, "packed", "none"], found[ground, "packed", "length"]) for ground in steps]
    notes = [answer(found, second)]
    console, tables = Console(), {"16 H100, 32 samples each, Zipf 1.2": first, "What the balancer gains": second}
    for title, rows in tables.items():
        console.print(study_table(rows, title=title), "")
    for note in notes:
        console.print(f"- {note}", highlight=False, soft_wrap=True)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    blocks = [study_block(title, rows) for title, rows in tables.items()]
    write_report(list(found.values())[:4], options.report, title="Samples of differing length", notes=notes,
                 blocks=blocks)  # fmt: skip
    console.print(f"\nreport: {options.report}")
    return 0


def answer(found: dict[tuple, Result], gains: list[dict[str, Any]]) -> str:
    """The study's sentence."""
    alone, balanced = (found["benchmark", "packed", kind] for kind in ("none", "length"))
    waits = alone.breakdown["straggler_wait"] / sum(alone.breakdown.values())
    lows = [line["gain"] for line in gains]
    return (
        f"Packed samples, {len(alone.steps_ns)} steps: replicas wait {waits:.0%} of a step of "
        f"{alone.step_time_s * 1e3:.1f} ms for the one with most work; dealt out by length a step takes "
        f"{balanced.step_time_s * 1e3:.1f} ms, {lows[0]:.2f} times as fast ({min(lows):.2f} to {max(lows):.2f} in all "
        "settings)."
    )


if __name__ == "__main__":
    sys.exit(main())
