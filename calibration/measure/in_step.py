"""Units in a step against units by themselves: python -m calibration.measure.in_step SCENARIO [key=value ...].

A held-out check of how pieces are measured, and of nothing else: one process runs whole steps of one rank, without any
collective, and between them the rank's jobs as the calibration runs them. Both see the same machine at the same time.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

STEPS = 14
WARM_STEPS = 2
LEAD = "calibration.measure.in_step"


def check(path: str, sets: list[str], steps: int = STEPS) -> Iterator[tuple[str, float, float, float]]:
    """(piece, runs a step, seconds in a step, seconds by itself), medians."""
    import torch

    from calibration.measure.clock import HostClock
    from calibration.measure.pieces import Rank, make_job
    from calibration.measure.sampling import sample_once, take_staged
    from calibration.pieces import jobs_of_scenario, measured_cut
    from calibration.scenarios import WITHOUT_PROFILE
    from simulator.executor.run_delay import RunDelay
    from simulator.scenario.loader import load_scenario

    torch.set_num_threads(1)
    scenario = load_scenario(path, [*WITHOUT_PROFILE, *sets])
    jobs = [(job, make_job(job.to_record(), "cpu")) for job in jobs_of_scenario(scenario) if job.place == 0]
    rank = Rank.of(scenario.canonical_json(), 0, "cpu", measured_cut(scenario).attention)
    in_step: dict[str, list[int]] = {}
    alone: dict[str, list[int]] = {}
    clock, delay = HostClock(), RunDelay()

    def timed(call: Callable[[], object]) -> int:
        return sample_once(call, 1, clock, delay).ns

    for number in range(steps):
        counted = number >= WARM_STEPS
        for name, ns in _step(rank, timed):
            if counted:
                in_step.setdefault(name, []).append(ns)
        for job, made in jobs:
            staged = take_staged(made.rounds, len(job.pieces), 1, clock, warm=number > 0)
            for piece, samples in zip(job.pieces, staged, strict=True):
                if counted:
                    alone.setdefault(piece.name, []).extend(sample.ns for sample in samples)
    for name, found in in_step.items():
        yield name, len(found) / (steps - WARM_STEPS), median(found) * 1e-9, median(alone[name]) * 1e-9


def _step(rank, timed: Callable[[Callable[[], object]], int]) -> Iterator[tuple[str, int]]:
    """(piece, ns) of every unit of one step of a rank, and of its update."""
    from calibration.measure.pieces import random_inputs, random_tensor, run_backward
    from simulator.graph.pieces import unit_name
    from simulator.model import blocks

    model = rank.scenario.model
    units = blocks.units(model)
    own = [units[index] for chunk in rank.own.chunks for index in range(chunk.first, chunk.last + 1)]
    hidden = model.trunk.hidden
    for _ in range(rank.scenario.microbatches):
        inputs, kept, found = random_inputs(rank), [], []
        x = None if own[0].kind == "embedding" else random_tensor(rank, rank.positions, hidden)
        for unit in own:
            ns = timed(partial(_keep_forward, kept, rank, unit, x, inputs))
            found.append((f"{unit_name(model, unit)}.F", ns))
            x = kept[-1][1]
        grad = None if own[-1].kind == "head" else random_tensor(rank, *x.shape)
        for unit in reversed(own):
            leaf, out = kept.pop()
            ns = timed(partial(run_backward, rank, unit, out, grad, units))
            found.append((f"{unit_name(model, unit)}.B", ns))
            grad = None if leaf is None else leaf.grad
            del leaf, out
        yield from found
    yield f"{rank.scenario.optimizer}.optimizer", timed(rank.dense.update)


def _keep_forward(kept: list, rank, unit, x, inputs) -> None:
    from calibration.measure.pieces import run_forward

    kept.append(run_forward(rank, unit, x, inputs))


def main(arguments: list[str]) -> int:
    from simulator.executor.environment import rank_environment

    if arguments and arguments[0] != "--here":  # the heap's settings count from a process's start
        return subprocess.call([sys.executable, "-m", LEAD, "--here", *arguments], env=rank_environment(2))
    total = [0.0, 0.0]
    print(f"{'piece':<32} {'a step':>6} {'in step':>10} {'by itself':>10} {'error':>7}")
    for name, runs, inside, alone in check(arguments[1], arguments[2:]):
        print(f"{name:<32} {runs:>6.0f} {inside * 1e3:>7.3f} ms {alone * 1e3:>7.3f} ms {alone / inside - 1:>+7.1%}")
        total = [total[0] + runs * inside, total[1] + runs * alone]
    print(f"{'all':<32} {'':>6} {total[0] * 1e3:>7.1f} ms {total[1] * 1e3:>7.1f} ms {total[1] / total[0] - 1:>+7.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
