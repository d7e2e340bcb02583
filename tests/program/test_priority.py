"""Priority: which reductions wait for the next step, and what of its forward pass waits for them."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.program.actions import Action
from simulator.program.lowering import lower
from simulator.program.priority import carried_buckets
from simulator.program.program import Bucket, Program, check_program
from simulator.scenario.loader import scenario_from

BASE = {
    "schema_version": 1,
    "name": "priority",
    "model": {"trunk": {"block": "gpt", "layers": 6, "hidden": 64, "heads": 4, "vocab": 512, "seq": 16}},
    "cluster": {"preset": "dgx_a100", "gpus_per_node": 4},
    "plan": {"microbatch": 1, "global_batch": 8, "bucket_mib": 0.1, "aggregation": {"order": "priority"}},
}


def program(*sets: str) -> Program:
    found = lower(scenario_from(deepcopy(BASE), set=sets))
    check_program(found)
    assert Program.from_text(found.to_text()).to_text() == found.to_text()
    return found


def alike(count: int, numel: int = 100) -> tuple[Bucket, ...]:
    """Buckets of one unit each, as backward fills them."""
    return tuple(Bucket(f"b{number}", 0, count - 1 - number, count - 1 - number, numel) for number in range(count))


def names(buckets) -> list[str]:
    return [bucket.name for bucket in buckets]


def test_without_overlap_all_but_the_bucket_needed_first_wait_in_the_order_of_need():
    carried = carried_buckets(alike(5), overlap=False, recomputes=False, tied=False)
    assert names(carried) == ["b3", "b2", "b1", "b0"]  # b4 holds the first unit


@pytest.mark.parametrize(("recomputes", "waits"), [(False, ["b8", "b5", "b2"]), (True, ["b7", "b3"])])
def test_beside_backward_every_third_or_fourth_waits(recomputes, waits):
    carried = carried_buckets(alike(10), overlap=True, recomputes=recomputes, tied=False)
    assert names(carried) == waits


def test_the_bucket_needed_first_and_a_shared_embedding_never_wait():
    assert names(carried_buckets(alike(4), overlap=False, recomputes=False, tied=True)) == ["b2", "b1"]
    assert carried_buckets(alike(1), overlap=False, recomputes=False, tied=False) == ()
    assert carried_buckets(alike(2), overlap=False, recomputes=False, tied=True) == ()
    assert carried_buckets((), overlap=True, recomputes=False, tied=False) == ()


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=40), st.booleans())
def test_forward_gets_no_more_than_its_share_of_the_bytes_at_any_time(sizes, recomputes):
    count, share = len(sizes), 4 if recomputes else 3
    buckets = tuple(
        Bucket(f"b{number}", 0, count - 1 - number, count - 1 - number, size) for number, size in enumerate(sizes)
    )
    carried = set(names(carried_buckets(buckets, overlap=True, recomputes=recomputes, tied=False)))
    for ready in range(1, count + 1):
        waiting = sum(bucket.numel for bucket in buckets[:ready] if bucket.name in carried)
        assert waiting * share <= sum(sizes[:ready])


@pytest.mark.parametrize(
    "sets", [("plan.overlap.grad_reduce=false",), ("plan.tensor=2", "plan.bucket_mib=0.02")], ids=str
)
def test_a_segment_waits_for_its_own_bucket_and_reductions_start_the_step(sets):
    (own,) = program(*sets).ranks
    launches = [launch.action for launch in own.launches]
    carried = own.updated_alone
    assert carried and launches[: len(carried)] == [own_reduce(own, name) for name in carried]
    for name in carried:
        bucket, update = own.bucket(name), Action("optimizer", bucket=name, after=(f"reduce {name}",))
        place = launches.index(update)
        needs = launches[place + 1]
        assert (needs.verb, needs.microbatch) == ("F", 0)
        assert own.chunk(0).span("F", needs.segment) == (bucket.first, bucket.last)
    (rest,) = [action for action in launches if action.verb == "optimizer" and action.bucket is None]
    others = [bucket.name for bucket in own.buckets if bucket.name not in carried]
    assert sorted(rest.after) == sorted(f"reduce {name}" for name in others)


def own_reduce(own, name: str) -> Action:
    """Bucket's reduction, as a step starts with it: it waits for nothing."""
    found = next(launch.action for launch in own.launches if launch.action.name == f"reduce {name}")
    assert found.after == ()
    return found


def test_both_orders_send_the_same_and_update_everything_once():
    (first,), (own,) = program("plan.aggregation.order=backward").ranks, program().ranks
    sizes = [sorted(launch.action.size_bytes for launch in one.launches if launch.action.verb == "reduce")
             for one in (first, own)]  # fmt: skip
    assert sizes[0] == sizes[1]
    updates = [launch.action for launch in own.launches if launch.action.verb == "optimizer"]
    units = sorted(unit for one in updates for low, high in own.updated(one) for unit in range(low, high + 1))
    assert units == list(range(own.chunks[0].first, own.chunks[0].last + 1))


@pytest.mark.parametrize("sets", [
    ("plan.bucket_mib=100",), ("plan.tensor=4",), ("plan.pipeline=2", "plan.bucket_mib=100"),
], ids=str)  # fmt: skip
def test_where_one_update_awaits_everything_the_orders_are_one_program(sets):
    assert program(*sets).digest() == program(*sets, "plan.aggregation.order=backward").digest()


def test_a_later_stage_updates_while_it_waits_for_its_first_activation():
    later = program("plan.pipeline=2", "plan.bucket_mib=0.02", "plan.overlap.grad_reduce=false").ranks[1]
    compute = [action.name for action in later.stream("compute")]
    assert compute[: len(later.updated_alone) + 1] == [*(f"optimizer {name}" for name in later.updated_alone), "1F0.0"]
    assert later.buckets[0].name not in later.updated_alone  # it holds a copy of the token embedding
