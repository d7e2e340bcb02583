"""How fast whole simulations of large clusters are. Figures, never assertions on time: `make bench` prints them.

ASTRA-sim 2 takes 105 s and 5.4 GB for one ring all-reduce on 4,096 ranks, Echo up to 2 min for 96 GPUs, on machines
like the one these were first printed on.
"""

from __future__ import annotations

import resource
import time

import pytest

from simulator.road import Road
from simulator.scenario.loader import scenario_from
from simulator.simulation import simulate

GPT3 = {"tensor": 8, "pipeline": 16, "microbatch": 1, "zero": 1, "sequence_parallel": True}


def gpt3_175b(data: int, microbatches: int = 128, **plan):
    plan = {**GPT3, **plan, "data": data, "global_batch": data * microbatches}
    nodes = plan["tensor"] * plan["pipeline"] * data // 8
    return scenario_from({
        "schema_version": 1, "name": "large", "model": {"preset": "gpt3_175b"}, "plan": plan,
        "cluster": {"preset": "dgx_h100", "nodes": nodes},
    })  # fmt: skip


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def test_the_large_scenarios_are_what_they_say():
    assert gpt3_175b(128).layout.ranks == 16_384
    assert gpt3_175b(8_192).layout.ranks == 1_048_576
    assert gpt3_175b(16, 16, pipeline=8).layout.ranks == 1_024
    assert gpt3_175b(128).network == "auto"


@pytest.mark.benchmark_suite
def test_wall_seconds_of_one_step_on_very_many_gpus(capsys):
    scenarios = {16_384: gpt3_175b(128), 1_048_576: gpt3_175b(8_192)}
    found = {
        gpus: min((simulate(made) for _ in range(4)), key=lambda one: one.wall_s) for gpus, made in scenarios.items()
    }
    ratio = found[1_048_576].wall_s / found[16_384].wall_s
    with capsys.disabled():
        for gpus, result in found.items():
            print(
                f"\ngpt3_175b on {gpus:,} H100: step {result.step_time_s:.3f} s, {len(result.graph):,} ops of "
                f"{len(result.graph.ranks)} ranks, {result.wall_s:.2f} s wall, graph building included (best of 4)"
            )
        print(f"64 times the GPUs take {ratio:.2f} times as long")


@pytest.mark.benchmark_suite
def test_seconds_of_a_thousand_gpus_unfolded_with_links_shared(capsys):
    started = time.perf_counter()
    road = Road(gpt3_175b(16, 16, pipeline=8))
    expanded = road.expanded(road.prices, whole=True)
    built_s = time.perf_counter() - started
    timeline = road.timeline(expanded)
    whole_s = time.perf_counter() - started
    folded = road.timeline(road.expanded(road.prices))
    assert timeline.digest() == folded.digest()
    with capsys.disabled():
        print(
            f"\n1,024 GPUs, each simulated, links shared: {len(expanded.graph):,} ops, {whole_s:.1f} s wall "
            f"({built_s:.1f} s to build), at most {peak_gib():.2f} GiB in this process"
        )
