"""How fast flows over shared links are followed. Figures, never assertions on time: `make bench` prints them.

SimGrid 3.32 (C++) takes 48 s for the 10,000 flows on a 2-core box, and 0.14 s for 1,000; ASTRA-sim 105 s and 5.4 GB for
the ring of 4,096 ranks.
"""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest

from simulator.network import fill_loops, simulate_flows

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


def ten_million_additions_s() -> float:
    started = time.process_time()
    total = 0
    for number in range(10_000_000):
        total += number
    return time.process_time() - started


@pytest.mark.benchmark_suite
@pytest.mark.parametrize(("num_flows", "filled_by"), [(1_000, "numpy"), (10_000, "numpy"), (10_000, "numba"),
                                                      (10_000, "numba, loaded")])  # fmt: skip
def test_cpu_seconds_of_many_flows_at_once(num_flows, filled_by, capsys, monkeypatch):
    """The first figure with numba includes loading it, and compiling where that was never done here before."""
    if filled_by == "numpy":
        monkeypatch.setattr(fill_loops, "find_spec", lambda name: None)
    elif not find_spec("numba"):
        pytest.skip("numba is not installed")
    flows, capacities = fat_tree_64(num_flows)
    gc.collect()
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    finish_s = simulate_flows(flows, capacities)
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    yardstick_s = ten_million_additions_s()
    with capsys.disabled():
        print(
            f"\n{num_flows:,} flows at once on a 64-host fat-tree, {filled_by}, last arrival {max(finish_s):.6f} s: "
            f"{cpu_s:.2f} s CPU, {wall_s:.2f} s wall; ten million additions in Python {yardstick_s:.2f} s"
        )


RING = """
import resource, sys, time
from simulator.network import ring_all_reduce, simulate_rounds

ranks, slow, hosts_per_link = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
started = time.process_time()
leaf_up, leaf_down = (lambda host: 2 * (ranks + host // hosts_per_link)), (lambda host: leaf_up(host) + 1)
host = [rank % (ranks // hosts_per_link) * hosts_per_link + rank // (ranks // hosts_per_link) for rank in range(ranks)]

def star(a, b):
    return 2 * host[a], 2 * host[b] + 1

def through_leaves(a, b):
    return 2 * host[a], leaf_up(host[a]), leaf_down(host[b]), 2 * host[b] + 1

rounds = ring_all_reduce(2**30, ranks, star if hosts_per_link == 1 else through_leaves)
capacities = [50e9 * slow] + [50e9] * (4 * ranks - 1)
ends = simulate_rounds(rounds, capacities, [5e-7] * len(capacities))
cpu_s, mb = time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
messages = sum(map(len, rounds))
print(f"{messages:,} messages, {max(ends):.6f} s: {cpu_s:.2f} s CPU, {mb:.0f} MB at most with the interpreter")
"""
"""A process of its own, so that its memory is the ring's. The hosts of neighbours are never under one leaf."""


@pytest.mark.benchmark_suite
@pytest.mark.parametrize(
    ("what", "slow", "hosts_per_link"),
    [
        ("each on its own links", 1.0, 1),
        ("each on its own links, one NIC at half speed", 0.5, 1),
        ("8 on each leaf's link", 1.0, 8),
    ],
)
def test_cpu_seconds_and_memory_of_a_ring_of_4096_ranks_as_flows(what, slow, hosts_per_link, capsys):
    given = [str(argument) for argument in (4096, slow, hosts_per_link)]
    done = subprocess.run([sys.executable, "-c", RING, *given], capture_output=True, text=True, check=True)
    with capsys.disabled():
        print(f"\nring all-reduce of 1 GiB over 4,096 ranks, {what}: {done.stdout.strip()}; "
              f"ten million additions in Python {ten_million_additions_s():.2f} s")  # fmt: skip
