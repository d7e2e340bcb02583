"""The caching allocator: PyTorch's rules of sizes, and what a rank's step makes of them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from road_scenarios import answer

from simulator.memory import at_rest
from simulator.memory.allocator import CachingAllocator
from simulator.memory.reserve import replayed
from simulator.units import MIB


@pytest.mark.parametrize("asked, reserved", [
    (1, 2 * MIB), (MIB, 2 * MIB), (MIB + 1, 20 * MIB), (10 * MIB - 512, 20 * MIB), (10 * MIB, 10 * MIB),
    (10 * MIB + 1, 12 * MIB), (33 * MIB, 34 * MIB),
])  # fmt: skip
def test_a_segment_is_as_large_as_pytorch_makes_it(asked, reserved):
    allocator = CachingAllocator()
    allocator.malloc(asked)
    assert (allocator.requested, allocator.reserved) == (asked, reserved)


def test_small_requests_share_a_segment():
    allocator = CachingAllocator()
    for _ in range(4096):
        allocator.malloc(1)  # 512 bytes each
    assert allocator.reserved == 2 * MIB
    allocator.malloc(1)
    assert allocator.reserved == 4 * MIB


def test_what_is_left_of_a_large_block_is_used_where_it_is_more_than_a_mib():
    allocator = CachingAllocator()
    allocator.free(allocator.malloc(22 * MIB))
    allocator.malloc(20 * MIB)  # leaves 2 MiB
    allocator.malloc(2 * MIB)
    assert allocator.reserved == 22 * MIB
    other = CachingAllocator()
    other.free(other.malloc(22 * MIB))
    other.malloc(21 * MIB)  # would leave 1 MiB: stays inside
    other.malloc(2 * MIB)
    assert other.reserved == (22 + 20) * MIB


def test_a_gap_that_nothing_fits_into_is_fragmentation():
    """Two of three neighbours are given back with the middle one held: no block for both together."""
    allocator = CachingAllocator()
    allocator.free(allocator.malloc(90 * MIB))
    first, _, last = (allocator.malloc(30 * MIB) for _ in range(3))
    allocator.free(first)
    allocator.free(last)
    allocator.malloc(60 * MIB)
    assert allocator.reserved == 150 * MIB and allocator.beyond_peak == 60 * MIB


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40 * MIB), st.integers(0, 10**6)), max_size=60))
def test_blocks_never_overlap_and_all_given_back_is_whole_segments(steps):
    allocator, held = CachingAllocator(), []
    for frees, size, which in steps:
        if frees and held:
            allocator.free(held.pop(which % len(held))[0])
        else:
            held.append((allocator.malloc(size), size))
        spans = sorted((block.segment, block.start, block.start + block.size) for block, _ in held)
        assert all(one[0] != two[0] or one[2] <= two[1] for one, two in pairwise(spans))
        assert allocator.requested == sum(size for _, size in held) <= allocator.most_requested <= allocator.reserved
        assert all(block.size >= size for block, size in held)
    before = allocator.reserved
    for block, _ in held:
        allocator.free(block)
    sizes, segments = [], set()
    for size, segment, _ in (*allocator._free[True], *allocator._free[False]):
        sizes.append(size)
        segments.add(segment)
    assert len(segments) == len(sizes) and sum(sizes) == before == allocator.reserved


PIPE = ("plan.tensor=1", "plan.pipeline=4", "plan.data=2", "plan.global_batch=32")
PLANS = [
    ("gpt", ()), ("gpt", ("plan.zero=1",)), ("gpt", ("plan.zero=2", "plan.tensor=1")),
    ("gpt", ("plan.zero=3", "plan.tensor=1")), ("gpt", ("plan.zero=3", "plan.tensor=1", "plan.recompute=full")),
    ("gpt", ("plan.recompute=selective_op",)), ("gpt", PIPE), ("gpt", (*PIPE, "plan.schedule=zb_h2")),
    ("gpt", (*PIPE, "plan.schedule=gpipe")), ("gpt", (*PIPE, "plan.schedule=zb_v", "model.trunk.layers=8")),
    ("llama", ("plan.context=2", "plan.data=1")), ("hstu", ()), ("bert", ()), ("dlrm", ()),
    ("hstu", ("data.lengths={kind: zipf, alpha: 1.2, max: 1024}",)),
    ("llama", ("model.adapter={kind: lora, rank: 8}",)),
    ("llama", ("model.adapter={kind: lora, rank: 8}", "plan.tensor=1", "plan.pipeline=1", "plan.data=16", "plan.zero=3",
               "plan.sequence_parallel=false", "plan.global_batch=32")),
]  # fmt: skip


@pytest.mark.parametrize("base, sets", PLANS, ids=lambda value: value if isinstance(value, str) else ";".join(value))
def test_the_replayed_tensors_are_those_that_are_counted(base, sets):
    """Block by block the same peak; the allocator keeps more, and no more than as much again."""
    result = answer(base, *sets)
    for own, counted in zip(result.program.ranks, result.memory.per_rank, strict=True):
        allocator = replayed(own, result.scenario, result.cut, at_rest(own, result.scenario, result.cut))
        assert allocator.most_requested == pytest.approx(counted.peak, rel=1e-3)
        assert 0 <= allocator.beyond_peak <= counted.peak
        assert result.memory_reserve(counted.rank) == {"context": 3 * 2**29, "allocator": allocator.beyond_peak}
    assert result.to_dict()["memory_reserve_bytes"] == result.memory_reserve(result.memory.tightest.rank)


def test_a_cpu_has_neither():
    assert answer("cpu").to_dict()["memory_reserve_bytes"] == {"context": 0, "allocator": 0}


def test_large_even_tensors_leave_hardly_anything_over():
    """Every tensor of a layer a multiple of 2 MiB: next to nothing is lost."""
    sets = ("model.trunk.hidden=4096", "model.trunk.heads=32", "model.trunk.seq=2048", "plan.microbatch=2",
            "model.trunk.vocab=1024", "plan.tensor=1", "plan.pipeline=4", "plan.data=2", "software.attention=flash",
            "plan.global_batch=32", "model.trunk.layers=16")  # fmt: skip
    result = answer("gpt", *sets)
    assert result.memory_reserve(0)["allocator"] < 0.03 * result.memory.tightest.peak
