"""Plans that do not fit: the change that is named fits when it is applied, and nothing before it in the order does."""

import json
import os
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from road_scenarios import answer, scenario

from simulator import scenario_from
from simulator.errors import RehearseError
from simulator.memory import feasibility, remedies
from simulator.memory.candidates import candidates
from simulator.memory.feasibility import smallest_change
from simulator.road import Prices, memory_of

FULL = os.environ.get("REHEARSE_FULL") == "1"
SHAPES = st.fixed_dictionaries({
    "model.trunk.layers": st.sampled_from([16, 32, 48]),
    "model.trunk.hidden": st.sampled_from([4096, 8192]),
    "model.trunk.heads": st.just(32),
    "model.trunk.seq": st.sampled_from([2048, 8192]),
    "software.attention": st.sampled_from(["flash", "unfused"]),
    "plan.microbatch": st.sampled_from([1, 2, 4]),
    "plan.zero": st.sampled_from([0, 1]),
    "plan.recompute": st.sampled_from(["none", "selective", "full"]),
    "plan.sequence_parallel": st.sampled_from(["true", "false"]),
})  # fmt: skip
DEGREES = st.sampled_from([
    ("plan.tensor=1", "plan.pipeline=1", "plan.data=8"),
    ("plan.tensor=2", "plan.pipeline=1", "plan.data=4"),
    ("plan.tensor=2", "plan.pipeline=2", "plan.data=2", "plan.schedule=gpipe"),
    ("plan.tensor=1", "plan.pipeline=4", "plan.data=2", "plan.schedule=zb_h2"),
    ("plan.tensor=1", "plan.pipeline=2", "plan.data=4", "plan.schedule=interleaved_1f1b", "plan.virtual_stages=2"),
    ("plan.tensor=2", "plan.pipeline=1", "plan.context=2", "plan.data=2", "software.attention=flash"),
])  # fmt: skip


def applied(stated, change):
    """The changed scenario, None where it is not legal."""
    try:
        return scenario_from(json.loads(stated.canonical_json()), set=change)
    except RehearseError:
        return None


def fits(stated, change) -> bool:
    changed = applied(stated, change)
    try:
        return changed is not None and memory_of(changed).over is None
    except RehearseError:
        return False


@given(SHAPES, DEGREES)
@settings(max_examples=30 if FULL else 6, deadline=None)
def test_the_named_change_fits_and_none_before_it_does(shape, degrees):
    """Judged by simulating anew: another cut, all microbatches."""
    try:
        stated = scenario("gpt", *(f"{key}={value}" for key, value in shape.items()), *degrees, "plan.global_batch=32")
    except RehearseError:
        assume(False)
    try:
        assume(memory_of(stated).over is not None)
    except RehearseError:
        assume(False)
    found = smallest_change(stated, Prices.of(stated).cut)
    for change, _ in candidates(stated):
        if change == found:
            assert fits(stated, change)
            return
        assert not fits(stated, change), change
    assert found is None


@pytest.mark.parametrize("sets, remedy", [
    # GPipe keeps 16 microbatches, 1F1B four
    (("plan.schedule=gpipe", "model.trunk.layers=16", "model.trunk.hidden=4096", "model.trunk.seq=2048",
      "plan.microbatch=4", "plan.global_batch=128"), ["plan.schedule=1f1b"]),
    (("plan.schedule=zb_h2", "model.trunk.layers=16", "model.trunk.hidden=4096", "model.trunk.seq=2048",
      "plan.microbatch=10", "plan.global_batch=320", "model.trunk.vocab=1000"), ["plan.schedule=zb_h1"]),
])  # fmt: skip
def test_a_schedule_that_keeps_fewer_microbatches_comes_before_recomputation(sets, remedy):
    pipe = ("plan.tensor=1", "plan.pipeline=4", "plan.data=2", "plan.zero=1", "software.attention=flash")
    result = answer("gpt", *pipe, *sets)
    assert re.findall(r"--set (\S+)", result.reason) == remedy
    assert answer("gpt", *pipe, *sets, *remedy).feasible


def test_shards_over_two_nodes_instead_of_one():
    """30B over 8 ranks is 60 GB of states a rank; over 16 half of that."""
    sets = ("cluster.nodes=2", "plan.tensor=1", "plan.zero=3", "plan.shard_group=8", "plan.recompute=full",
            "model.trunk.hidden=7168", "model.trunk.heads=56", "model.trunk.layers=56", "software.attention=flash",
            "model.trunk.seq=2048")  # fmt: skip
    result = answer("gpt", *sets)
    assert re.findall(r"--set (\S+)", result.reason) == ["plan.shard_group=null"]


NARROW = ("plan.tensor=1", "plan.data=1", "plan.pipeline=8", "plan.schedule=1f1b", "plan.recompute=full",
          "model.trunk.seq=2048", "plan.microbatch=1", "plan.sequence_parallel=false")  # fmt: skip


def test_activations_of_half_the_bytes_come_behind_smaller_kernels():
    """fp32, recomputed and one sample at a time: what is left to halve is the bytes of an activation."""
    sets = (*NARROW, "dtype=fp32", "software.attention=unfused", "model.trunk.hidden=2048", "model.trunk.heads=16",
            "model.trunk.layers=8", "model.trunk.seq=20480")  # fmt: skip
    result = answer("gpt", *sets)
    remedy = re.findall(r"--set (\S+)", result.reason)
    assert remedy == ["dtype=bf16", "precision.parameters=bf16"]
    assert answer("gpt", *sets, *remedy).feasible


def test_gradients_in_16_bits_take_half_of_their_memory():
    """18 bytes a parameter become 16."""
    sets = (*NARROW, "dtype=bf16", "software.attention=flash", "model.trunk.hidden=7808", "model.trunk.heads=61",
            "model.trunk.layers=48")  # fmt: skip
    result = answer("gpt", *sets)
    remedy = re.findall(r"--set (\S+)", result.reason)
    assert remedy == ["precision.gradients=bf16"]
    assert answer("gpt", *sets, *remedy).feasible


def test_tables_in_fp16_come_behind_tables_in_host_memory():
    tables = ("model.tables=[{name: a, rows: 1000, dim: 256}, {name: b, rows: 5000, dim: 256}, "
              "{name: c, rows: 9, dim: 256, dtype: bf16}]")  # fmt: skip
    stated = scenario("hstu", tables, "model.head={kind: binary}", "plan.embedding_sharding=data_parallel")
    found = [change for change in remedies.changes(stated) if change[-1].startswith("model.tables")]
    assert found == [
        *(tuple(f"model.tables.{place}.placement=host" for place in places) for places in ((1,), (1, 0), (1, 0, 2))),
        ("model.tables.1.dtype=fp16",), ("model.tables.1.dtype=fp16", "model.tables.0.dtype=fp16"),
    ]  # fmt: skip


def test_a_long_sequence_is_cut():
    """One sample of 1,048,576 positions on each GPU, whatever is recomputed: slices of it fit."""
    sets = ("plan.tensor=1", "plan.zero=3", "plan.recompute=full", "model.trunk.seq=1048576", "plan.global_batch=8",
            "model.trunk.layers=8", "model.trunk.hidden=2048", "model.trunk.kv_heads=16", "cluster.nodes=1",
            "plan.pipeline=1", "plan.data=8", "plan.sequence_parallel=false")  # fmt: skip
    result = answer("llama", *sets)
    remedy = re.findall(r"--set (\S+)", result.reason)
    assert remedy[0].startswith("plan.context=") and answer("llama", *sets, *remedy).feasible


def test_every_lever_is_in_the_written_order():
    stated = scenario("gpt", "plan.tensor=2", "plan.microbatch=4", "plan.global_batch=64")
    found = [change[0] for change in remedies.changes(stated)]
    assert found == [
        "plan.zero=1", "plan.sequence_parallel=true", "plan.zero=2", "plan.zero=3",
        "plan.recompute=selective", "plan.recompute=selective_op", "plan.recompute=full",
        "plan.microbatch=2", "plan.microbatch=1", "precision.gradients=bf16",
        "plan.context=2", "plan.context=2", "plan.tensor=4", "plan.pipeline=2",
        "plan.context=4", "plan.context=4", "plan.tensor=8", "plan.pipeline=4",
    ]  # fmt: skip


def test_a_plan_that_needs_three_changes_is_told_of_them():
    """13B in two stages on devices of 40 GB: 32 samples of 8,192 positions at once, and nothing run again."""
    sets = ("cluster.preset=dgx_a100_40gb", "cluster.nodes=2", "plan.tensor=1", "plan.pipeline=2", "plan.data=8",
            "plan.zero=1", "plan.schedule=zb_h1", "plan.recompute=none", "plan.microbatch=32", "plan.global_batch=2048",
            "plan.sequence_parallel=false", "model.trunk.layers=16", "model.trunk.hidden=8192", "dtype=fp16",
            "model.trunk.heads=64", "model.trunk.kv_heads=64", "model.trunk.seq=8192")  # fmt: skip
    result = answer("llama", *sets)
    remedy = re.findall(r"--set (\S+)", result.reason)
    assert len(remedy) >= 3 and answer("llama", *sets, *remedy).feasible


def test_levers_that_are_of_no_help_cost_a_trial_each(monkeypatch):
    """26 tables, and nothing makes room: not a trial for each number of tables beside each other change."""
    tried = []

    def none_fits(scenario, change, cut, short=False):
        tried.append(change)

    monkeypatch.setattr(feasibility, "fits", none_fits)
    stated = scenario("dlrm", "model={preset: dlrm_v2_mlperf}", "plan.microbatch=8192", "plan.global_batch=65536")
    assert feasibility.smallest_change(stated, Prices.of(stated).cut) is None
    assert len(tried) < len(list(candidates(stated))) / 4, len(tried)


def test_no_step_of_a_hundred_thousand_microbatches_is_proposed():
    stated = scenario("gpt", "plan.microbatch=65536", "plan.global_batch=65536", "plan.tensor=8", "plan.data=1")
    smallest = [change for change in remedies.changes(stated) if change[0].startswith("plan.microbatch")][-1]
    assert smallest == (f"plan.microbatch={65536 // remedies.MOST_MICROBATCHES}",)
