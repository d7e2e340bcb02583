"""How much of what a slow rank costs does the adaptive stage balancer give back?

    python -m studies.adaptive_balancer.run [--report FILE] [--quick] [--execute]

Two stages, one rank 1.5 times slower. Layers are dealt evenly; as is best for whoever knows the straggler; and moved by
the balancer, which has to see it first. Predicted on H100 and, with --execute, really run on two processes.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from simulator import execute, simulate
from simulator.policies.decisions import Decision
from simulator.report.html import study_block, write_report
from simulator.report.tables import study_table
from simulator.scenario.loader import scenario_from

FACTOR = 1.5
ADAPTIVE = {"kind": "adaptive", "window": 10, "threshold": 0.05}
BALANCERS: dict[str, dict[str, Any]] = {"even": {"kind": "none"}, "hindsight": {"kind": "static"}, "adaptive": ADAPTIVE}
H100 = {"block": "gpt", "hidden": 2048, "heads": 16, "vocab": 32768, "seq": 2048}
NODES = {"preset": "dgx_h100", "nodes": 2, "gpus_per_node": 1, "nics_per_node": 1}
CPUS = {"preset": "cpu_host", "gpus_per_node": 2}
HERE = {"block": "gpt", "hidden": 256, "heads": 4, "vocab": 512, "seq": 128}


@dataclass(frozen=True)
class Setting:
    """nic_gbit_per_s: of a node; None: this machine."""

    layers: int
    nic_gbit_per_s: float | None
    steps: int

    @property
    def words(self) -> str:
        return "this machine" if self.nic_gbit_per_s is None else f"H100, {self.nic_gbit_per_s:g} Gb/s"

    def scenario(self, balancer: str):
        """Two stages of one rank each, eight microbatches, the second rank slow throughout."""
        here = self.nic_gbit_per_s is None
        cluster = CPUS if here else {**NODES, "nic_gbit_per_s": self.nic_gbit_per_s}
        return scenario_from({
            "schema_version": 1,
            "name": f"{balancer}, {self.layers} layers, {self.words}",
            "model": {"trunk": {**(HERE if here else H100), "layers": self.layers}},
            "dtype": "fp32" if here else "bf16",
            "cluster": cluster,
            "plan": {"pipeline": 2, "microbatch": 1, "global_batch": 8, "balancer": BALANCERS[balancer]},
            "faults": {"stragglers": [{"rank": 1, "factor": FACTOR}]},
            "steps": self.steps,
        })  # fmt: skip


SETTINGS = [Setting(layers, nic, 100) for layers in (12, 24, 48) for nic in (400.0, 25.0)]
MEASURED = Setting(12, None, 30)


@dataclass(frozen=True)
class Outcome:
    """Seconds a step; of the adaptive run before and after it has moved, and its mean, moves included."""

    setting: Setting
    even_s: float
    hindsight_s: float
    before_s: float
    after_s: float
    mean_s: float
    moves_s: float
    decisions: tuple[Decision, ...]

    def recovered(self, step_s: float) -> float:
        """Share of what an even partition loses to hindsight's."""
        return (self.even_s - step_s) / (self.even_s - self.hindsight_s)

    @property
    def gain(self) -> float:
        return self.before_s / self.after_s - 1

    def row(self) -> dict[str, str]:
        predicted = [one.predicted_gain for one in self.decisions]
        return {
            "where": self.setting.words,
            "layers": str(self.setting.layers),
            "even, ms": f"{1e3 * self.even_s:.1f}",
            "hindsight, ms": f"{1e3 * self.hindsight_s:.1f}",
            "decided": ", ".join(f"step {one.step}: {'+'.join(map(str, one.after))}" for one in self.decisions) or "-",
            "after, ms": f"{1e3 * self.after_s:.1f}",
            "recovered": f"{self.recovered(self.after_s):.0%}",
            f"over {self.setting.steps} steps": f"{self.recovered(self.mean_s):.0%}",
            "move, ms": f"{1e3 * self.moves_s:.1f}",
            "gain predicted": ", ".join(f"{one:+.1%}" for one in predicted) or "-",
            "gain measured": f"{self.gain:+.1%}" if len(predicted) == 1 else "-",
        }


def predicted(setting: Setting) -> Outcome:
    even, hindsight, adaptive = (simulate(setting.scenario(name)) for name in BALANCERS)
    steps = [ns * 1e-9 for ns in adaptive.steps_ns]
    first, last = [adaptive.decisions[place].step for place in (0, -1)] if adaptive.decisions else (1, 0)
    moves = sum(steps[one.step] - min(steps[one.step :]) for one in adaptive.decisions)
    return Outcome(
        setting, even.step_time_s, hindsight.step_time_s, steps[first - 1], median(steps[last + 1 :]),
        adaptive.step_time_s, moves, adaptive.decisions,
    )  # fmt: skip


def measured(setting: Setting) -> Outcome:
    even, hindsight, adaptive = (execute(setting.scenario(name), steps=setting.steps) for name in BALANCERS)
    steps, moves = [ns * 1e-9 for ns in adaptive.samples_ns], sum(adaptive.moves_ns.values()) * 1e-9
    first, last = (adaptive.decisions[0].step, adaptive.decisions[-1].step) if adaptive.decisions else (len(steps), 0)
    return Outcome(
        setting, even.step_time_s, hindsight.step_time_s, median(steps[:first]), median(steps[last:]),
        (sum(steps) + moves) / len(steps), moves, adaptive.decisions,
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--report", type=Path, default=Path("out/adaptive_balancer.html"))
    parser.add_argument("--quick", action="store_true", help="the first setting only")
    parser.add_argument("--execute", action="store_true", help="really run it here, too (about a minute)")
    options = parser.parse_args(arguments)
    outcomes = [predicted(setting) for setting in (SETTINGS[:1] if options.quick else SETTINGS)]
    outcomes += [measured(MEASURED)] if options.execute else []
    rows, console = [one.row() for one in outcomes], Console()
    console.print(study_table(rows, title=f"Two stages, one rank {FACTOR} times slower"))
    least = min(one.recovered(one.after_s) for one in outcomes)
    note = f"Behind its move the balancer recovers {least:.0%} of hindsight's gain or more (settings: {len(outcomes)})"
    console.print(f"- {note}", highlight=False, soft_wrap=True)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    block = study_block("What the balancer recovers", rows)
    shown = map(simulate, map(SETTINGS[0].scenario, BALANCERS))
    write_report(list(shown), options.report, title="The adaptive stage balancer", notes=[note], blocks=[block])
    console.print(f"report: {options.report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
