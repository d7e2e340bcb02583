"""What any lowered program must be: it reads back, obeys `check_program`, holds every unit and every rank once."""

import pytest
from road_scenarios import scenario

from simulator.model import blocks
from simulator.program.actions import COMPUTE_VERBS
from simulator.program.lowering import lower
from simulator.program.pipeline import SCHEDULES
from simulator.program.program import Program, check_program

INTERLEAVED = ("plan.schedule=interleaved_1f1b", "plan.virtual_stages=2")
PLANS = [
    ("gpt", ()),
    ("gpt", ("plan.tensor=1", "plan.bucket_mib=1")),
    ("gpt", ("plan.tensor=8",)),
    ("gpt", ("plan.zero=1",)),
    ("gpt", ("plan.zero=1", "plan.overlap.param_gather=false", "plan.overlap.grad_reduce=false")),
    ("gpt", ("plan.zero=1", "plan.overlap.grad_reduce=false", "plan.bucket_mib=4")),
    ("gpt", ("plan.zero=1", "plan.tensor=1", "plan.shard_group=4", "plan.bucket_mib=4")),
    ("gpt", ("plan.zero=2", "plan.bucket_mib=4")),
    ("gpt", ("plan.zero=2", "plan.overlap.grad_reduce=false", "plan.overlap.param_gather=false")),
    ("gpt", ("plan.zero=3",)),
    ("gpt", ("plan.zero=3", "plan.overlap.grad_reduce=false", "plan.overlap.param_gather=false")),
    ("gpt", ("plan.zero=3", "plan.reshard_after_forward=false", "plan.tensor=1", "plan.shard_group=2")),
    ("gpt", ("plan.zero=3", "plan.reshard_after_forward=false", "plan.pipeline=2", "plan.tensor=1")),
    ("gpt", ("plan.compression={method: topk}", "plan.bucket_mib=4")),
    ("gpt", ("plan.compression={method: powersgd}", "plan.overlap.grad_reduce=false")),
    ("gpt", ("plan.compression={method: bf16}",)),
    ("gpt", ("plan.pipeline=4", "plan.tensor=1", "plan.schedule=gpipe")),
    ("gpt", ("plan.pipeline=4", "plan.tensor=1", "plan.overlap.pipeline=false", "plan.zero=1", "plan.bucket_mib=1")),
    ("llama", ()),
    ("llama", INTERLEAVED),
    ("llama", (*INTERLEAVED, "plan.zero=1", "plan.bucket_mib=1")),
    ("hstu", ()),
    ("hstu", ("plan.tensor=4", "plan.embedding_sharding=table_wise")),
    ("hstu", ("plan.embedding_sharding={item: row_wise, user: data_parallel}", "plan.global_batch=128")),
    ("llama", (*INTERLEAVED, "plan.zero=3", "plan.reshard_after_forward=false")),
    ("hstu", ("plan.pipeline=2", "plan.zero=1", "plan.bucket_mib=1")),
    ("hstu", ("plan.zero=3", "plan.global_batch=128")),
    ("sasrec", ("plan.zero=3",)),
    ("sasrec", ()),
    ("bert", ("plan.pipeline=2", "plan.tensor=2")),
    ("gpt", ("plan.pipeline=4", "plan.tensor=1", "plan.schedule=zb_h1", "plan.bucket_mib=1")),
    ("gpt", ("plan.pipeline=2", "plan.schedule=zb_h2", "plan.zero=1", "plan.overlap.grad_reduce=false")),
    ("gpt", ("plan.pipeline=2", "plan.schedule=zb_v", "plan.compression={method: topk}", "plan.bucket_mib=4")),
    ("gpt", ("plan.pipeline=4", "plan.tensor=1", "plan.schedule=zb_v", "model.trunk.layers=8", "plan.bucket_mib=1")),
    ("gpt", ("plan.pipeline=4", "plan.tensor=1", "plan.partition=[0, 1, 3, 0]", "plan.bucket_mib=1")),
    ("gpt", ("plan.pipeline=2", "plan.schedule=zb_v", "model.trunk.layers=7", "plan.partition=balanced")),
    ("hstu", ("plan.schedule=zb_v", "plan.pipeline=1", "plan.zero=1", "plan.bucket_mib=1")),
    ("cpu", ()),
    ("single", ()),
]
lowered = pytest.mark.parametrize("base, sets", PLANS, ids=lambda value: " ".join(value) if value else "-")


@lowered
def test_a_whole_program_reads_back_as_itself(base, sets):
    program = lower(scenario(base, *sets))
    again = Program.from_text(program.to_text())
    assert again.to_text() == program.to_text() and again.digest() == program.digest()
    assert again == program


@lowered
def test_a_lowered_program_obeys_the_laws_of_programs(base, sets):
    program = lower(scenario(base, *sets))
    check_program(program)
    check_program(program.unfolded())


@lowered
def test_every_unit_is_on_one_stage_and_every_stage_on_one_rank(base, sets):
    stated = scenario(base, *sets)
    program, stages = lower(stated), stated.plan.pipeline * stated.plan.virtual_stages
    chunks = sorted((chunk for own in program.ranks for chunk in own.chunks), key=lambda chunk: chunk.stage)
    assert [chunk.stage for chunk in chunks] == list(range(stages))
    spans = [span for chunk in chunks for span in chunk.segments]
    assert [unit for first, last in spans for unit in range(first, last + 1)] == list(
        range(len(blocks.units(stated.model)))
    )


@lowered
def test_every_unit_is_in_one_bucket_and_buckets_are_segments_where_cut(base, sets):
    stated = scenario(base, *sets)
    for own in lower(stated).ranks:
        if stated.plan.data == 1:
            assert own.buckets == ()
            continue
        held = sorted(unit for chunk in own.chunks for unit in range(chunk.first, chunk.last + 1))
        assert sorted(unit for one in own.buckets for unit in range(one.first, one.last + 1)) == held
        assert [one.name for one in own.buckets] == [f"b{index}" for index in range(len(own.buckets))]
        spans = {(one.first, one.last) for one in own.buckets}
        for chunk in own.chunks:
            assert len(chunk.segments) == 1 or set(chunk.segments) <= spans


@lowered
def test_each_microbatch_runs_every_segment_of_each_stage_once_forward_and_backward(base, sets):
    stated = scenario(base, *sets)
    for own in lower(stated).ranks:
        compute = [action for action in own.stream("compute") if action.verb in COMPUTE_VERBS]
        for chunk in own.chunks:
            for verb in "FIW" if SCHEDULES[stated.plan.schedule].splits else "FB":
                for microbatch in range(stated.microbatches):
                    pieces = [
                        action.segment for action in compute
                        if (action.verb, action.stage, action.microbatch) == (verb, chunk.stage, microbatch)
                    ]  # fmt: skip
                    cut = [] if verb == "I" else [list(range(len(chunk.segments)))]
                    assert pieces in ([None], *cut)


@lowered
def test_waits_point_backwards_and_each_stream_is_in_launch_order(base, sets):
    for own in lower(scenario(base, *sets)).ranks:
        place = {launch.action.name: index for index, launch in enumerate(own.launches)}
        assert len(place) == len(own.launches)
        for launch in own.launches:
            assert all(place[other] < place[launch.action.name] for other in launch.action.after)
        for stream in own.streams:
            names = [action.name for action in own.stream(stream)]
            assert names == sorted(names, key=place.__getitem__)


@lowered
def test_the_optimizer_follows_every_reduction(base, sets):
    """Of a microbatch before the last one, computation has waited for them long before (test_sharded_programs)."""
    stated = scenario(base, *sets)
    for own in lower(stated).ranks:
        names = [launch.action.name for launch in own.launches]
        found = [launch.action for launch in own.launches if launch.action.verb.startswith("reduce")]
        reductions = [one.name for one in found if one.microbatch in (None, stated.microbatches - 1)]
        optimizer = next(launch.action for launch in own.launches if launch.action.verb == "optimizer")
        assert set(optimizer.after) == set(reductions)
        assert all(names.index(name) < names.index("optimizer") for name in reductions)


SPLIT = [sets for _, sets in PLANS if any("zb_" in line for line in sets)]


@pytest.mark.parametrize("base, sets", [plan for plan in PLANS if plan[1] in SPLIT], ids=lambda value: " ".join(value))
def test_a_bucket_leaves_behind_the_last_w_that_fills_it(base, sets):
    """Its own segment of the last microbatch; where ends meet, the head's share of a tied embedding is there before."""
    stated = scenario(base, *sets)
    for own in lower(stated).ranks:
        place = {launch.action.name: index for index, launch in enumerate(own.launches)}
        for bucket in own.buckets:
            chunk = own.chunk(bucket.stage)
            filling = [
                launch.action for launch in own.launches
                if launch.action.verb == "W" and launch.action.stage == bucket.stage
                and chunk.span("W", launch.action.segment)[0] <= bucket.last
                and bucket.first <= chunk.span("W", launch.action.segment)[1]
            ]  # fmt: skip
            assert len(filling) == stated.microbatches
            leaves = next(
                launch.action for launch in own.launches
                if launch.action.bucket == bucket.name and launch.action.verb in ("reduce", "reduce_scatter", "encode")
            )  # fmt: skip
            assert all(place[action.name] < place[leaves.name] for action in filling)
            if own.chunks[0].stage == 0 and len(own.chunks) > 1:
                head = f"{own.chunks[-1].stage}W{stated.microbatches - 1}"
                last = max(index for name, index in place.items() if name.split(".")[0] == head)
                first = min(index for name, index in place.items() if name.startswith(f"0W{stated.microbatches - 1}"))
                assert last < first


@lowered
def test_unfolded_covers_all_ranks_and_folds_back(base, sets):
    stated = scenario(base, *sets)
    program = lower(stated)
    whole = program.unfolded()
    assert sorted(own.rank for own in whole.ranks) == list(range(stated.layout.ranks))
    assert all(list(own.members) == [own.rank] for own in whole.ranks)
    assert sum(len(own.members) for own in program.ranks) == stated.layout.ranks
    assert len(program.ranks) == stated.layout.pipeline
    by_rank = {own.rank: own for own in whole.ranks}
    for own in program.ranks:
        assert all(by_rank[rank].launches == own.launches for rank in own.members)


def test_a_text_of_something_else_is_refused_with_its_line():
    text = lower(scenario("gpt")).to_text()
    with pytest.raises(ValueError, match="line 3: 'r0 dances': no such line in a program"):
        Program.from_text("\n".join([*text.splitlines()[:2], "r0 dances"]))
    with pytest.raises(ValueError, match="a program starts with its degrees"):
        Program.from_text("")
    with pytest.raises(ValueError, match=r"line 3: .*not an action such as"):
        Program.from_text("program tensor 1 context 1 data 1 pipeline 1\nr0 stands for 0..0\nr0.compute 0Q0")
    with pytest.raises(ValueError, match=r"line 2: 'r7\.compute 0F0': no line 'r7 stands for \.\.\.' before it"):
        Program.from_text("program tensor 1 context 1 data 1 pipeline 1\nr7.compute 0F0")
