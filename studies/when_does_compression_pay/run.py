"""When does gradient compression pay, which one, and does choosing bucket by bucket ever lose?

    python -m studies.when_does_compression_pay.run [--report FILE] [--quick] [--objective time_to_target]

Two hundred set-ups, each without compression, with each of six methods and with the adaptive choice; then BytePS's
published case. Every number is a prediction; GPUs come from published profiles, encoding and decoding from passes over
memory. By time to a target, the steps that each method was measured to need count too (`target.py`).
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from simulator import simulate
from simulator.report.html import study_block, write_report
from simulator.report.tables import study_table
from studies.when_does_compression_pay import byteps, target
from studies.when_does_compression_pay.setups import CANDIDATES, MODELS, SetUp, set_ups

WIN = 0.01
"""A method wins, or adaptive loses, by more than this."""

QUICK_EVERY = 9
"""Of the set-ups, in quick mode: 23 of them, from every model and network speed."""


@dataclass(frozen=True)
class Outcome:
    """Seconds of a step by method; half, double: of the best single one with its own kernels at that cost."""

    set_up: SetUp
    steps: dict[str, float]

    @property
    def best(self) -> str:
        """The fastest of none and the single methods, none on ties."""
        return min(("none", *CANDIDATES), key=self.steps.__getitem__)

    def gain(self, method: str) -> float:
        """Speed-up over none, 0 for none."""
        return self.steps["none"] / self.steps[method] - 1

    @property
    def lost(self) -> float:
        """How much longer the adaptive step is than the best of none and any single method."""
        return self.steps["adaptive"] / self.steps[self.best] - 1


def outcome(set_up: SetUp) -> Outcome:
    """One set-up, by every method."""
    methods = ("none", *CANDIDATES, "adaptive")
    return Outcome(set_up, {method: simulate(set_up.scenario(method)).step_time_s for method in methods})


def counts(outcomes: list[Outcome]) -> list[str]:
    """The sentences that answer."""
    found = []
    for words, chosen in (("fast", [one for one in outcomes if one.set_up.fast]),
                          ("slower", [one for one in outcomes if not one.set_up.fast])):  # fmt: skip
        narrow = [one for one in chosen if max(map(one.gain, CANDIDATES[1:])) > WIN]
        cast = [one for one in chosen if one.gain("bf16") > WIN]
        largest = max((one.gain(one.best) for one in chosen), default=0.0)
        found.append(
            f"{words} networks: of {len(chosen)} set-ups a compressor of 4x or more wins by over 1 % in {len(narrow)}, "
            f"the cast to bf16 in {len(cast)}; the largest gain is {largest:+.0%}"
        )
    losing = [one for one in outcomes if one.lost > WIN]
    ahead = [one for one in outcomes if one.lost < -WIN]
    found.append(
        f"adaptive: loses to the best of none and any single method by over 1 % in {len(losing)} of {len(outcomes)}; "
        f"beats it by over 1 % in {len(ahead)}"
    )
    return found


def table(outcomes: list[Outcome], model: str) -> list[dict[str, Any]]:
    """One model's rows, at the smaller batch."""
    rows = []
    for one in outcomes:
        if one.set_up.model == model and one.set_up.batch == 1:
            gains = {method: f"{one.gain(method):+.0%}" for method in CANDIDATES}
            rows.append({"network": one.set_up.network, "step without": f"{1000 * one.steps['none']:.3g} ms", **gains,
                         "adaptive": f"{one.gain('adaptive'):+.0%}"})  # fmt: skip
    return rows


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--report", type=Path, default=Path("out/when_does_compression_pay.html"))
    parser.add_argument("--quick", action="store_true", help=f"every {QUICK_EVERY}th set-up")
    parser.add_argument("--objective", choices=("throughput", "time_to_target"), default="throughput")
    options = parser.parse_args(arguments)
    chosen = list(set_ups())[:: QUICK_EVERY if options.quick else 1]
    if options.objective == "time_to_target":
        target.answer(chosen, options.report)
        return 0
    console, outcomes, blocks = Console(), [], []
    with ProcessPoolExecutor() as pool:
        for number, one in enumerate(pool.map(outcome, chosen, chunksize=4), 1):
            outcomes.append(one)
            if number % 20 == 0:
                print(f"predicted {number} of {len(chosen)} set-ups", file=sys.stderr)
    for model in MODELS:
        if rows := table(outcomes, model):
            console.print(study_table(rows, title=f"{model}: speed-up over no compression"), "")
            blocks.append(study_block(model, rows))
    published = byteps.rows()
    console.print(study_table(published, title="BytePS, ResNet18 on 32 V100: speed-up over no compression"), "")
    blocks.append(study_block("BytePS, ResNet18 on 32 V100", published))
    winners = Counter(one.best for one in outcomes)
    notes = [*counts(outcomes), "best by set-up: " + ", ".join(f"{name} {n}" for name, n in winners.most_common())]
    for note in notes:
        console.print(f"- {note}", highlight=False, soft_wrap=True)
    shown = [simulate(byteps.scenario(method, 25.0)) for method in byteps.SECONDS[25.0]]
    options.report.parent.mkdir(parents=True, exist_ok=True)
    assumed = [f"assumed for BytePS's case: {words}" for words in byteps.ASSUMED]
    title = "When does gradient compression pay?"
    write_report(shown, options.report, title=title, notes=[*notes, *assumed], blocks=blocks)
    console.print(f"\nreport: {options.report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
