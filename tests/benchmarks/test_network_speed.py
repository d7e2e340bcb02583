"""How fast flows over shared links are followed. Figures, never assertions on time: `make bench` prints them.

SimGrid 3.32 (C++) takes 48 s for the 10,000 flows on a 2-core box, and 0.14 s for 1,000.
"""

from __future__ import annotations

import gc
import random
import time

import pytest

from simulator.network import simulate_flows

LEAVES, SPINES, HOSTS_PER_LEAF = 8, 4, 8
LINK_BYTES_PER_S = 25e9


def fat_tree_64(num_flows: int, seed: int = 0) -> tuple[list[tuple[int, float, tuple[int, ...]]], list[float]]:
    """(flows, capacities): random pairs of 64 hosts under 8 leaves and 4 spines, 2 MB to 1 GB each, all at once.

    Links: 2h and 2h + 1 host h's way up and down, then each leaf's way up to and down from each spine. The spine is
    that of SimGrid's reference runs: (target - source) mod 4.
    """
    rng = random.Random(seed)
    hosts = LEAVES * HOSTS_PER_LEAF
    flows = []
    for _ in range(num_flows):
        source, target = rng.sample(range(hosts), 2)
        leaf_up, leaf_down, spine = source // HOSTS_PER_LEAF, target // HOSTS_PER_LEAF, (target - source) % SPINES
        between = ()
        if leaf_up != leaf_down:
            wires = [2 * (hosts + leaf * SPINES + spine) for leaf in (leaf_up, leaf_down)]
            between = (wires[0], wires[1] + 1)
        flows.append((rng.randint(2_000_000, 10**9), 0.0, (2 * source, *between, 2 * target + 1)))
    return flows, [LINK_BYTES_PER_S] * (2 * hosts + 2 * LEAVES * SPINES)


def test_the_fat_tree_is_what_it_says():
    flows, capacities = fat_tree_64(2_000)
    assert len(capacities) == 192
    assert {len(path) for _, _, path in flows} == {2, 4}
    assert {link for _, _, path in flows for link in path} == set(range(192))


@pytest.mark.benchmark_suite
@pytest.mark.parametrize("num_flows", [1_000, 10_000])
def test_cpu_seconds_of_many_flows_at_once(num_flows, capsys):
    flows, capacities = fat_tree_64(num_flows)
    gc.collect()
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    finish_s = simulate_flows(flows, capacities)
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    started = time.process_time()
    total = 0
    for number in range(10_000_000):
        total += number
    yardstick_s = time.process_time() - started
    with capsys.disabled():
        print(
            f"\n{num_flows:,} flows at once on a 64-host fat-tree, last arrival {max(finish_s):.6f} s: "
            f"{cpu_s:.2f} s CPU, {wall_s:.2f} s wall; ten million additions in Python {yardstick_s:.2f} s"
        )
