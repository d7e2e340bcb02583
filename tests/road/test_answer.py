"""The answer of `simulate`: every key of the contract's section 5, of the right type, and its sums."""

import json
import math
import re
import time
from importlib import import_module

import pytest
from road_scenarios import BASES, answer, scenario

from simulator import simulate
from simulator.errors import ScenarioError
from simulator.metrics import breakdown_ns
from simulator.model import blocks
from simulator.units import GIB

NUMBER, WHOLE, TEXT = (float, int), int, str
KEYS = {
    "name": TEXT, "run_id": TEXT, "program_digest": TEXT, "timeline_digest": TEXT, "engine": TEXT, "seed": WHOLE,
    "feasible": bool, "reason": (TEXT, type(None)), "step_time_s": NUMBER, "step_time_s_p5": NUMBER,
    "step_time_s_p95": NUMBER, "samples_per_s": NUMBER, "tokens_per_s": NUMBER,
    "model_flops_per_gpu_per_s": NUMBER, "mfu": (*NUMBER, type(None)), "hardware_flops_per_gpu_per_s": NUMBER,
    "hfu": (*NUMBER, type(None)), "utilization": dict, "breakdown_s": dict, "memory_bytes": dict,
    "cost_usd_per_million_samples": (*NUMBER, type(None)), "ops": WHOLE, "ranks": WHOLE, "ranks_simulated": WHOLE,
    "wall_s": NUMBER, "provenance": dict,
}  # fmt: skip
BREAKDOWN = ("compute", "recompute", "tensor_comm", "context_comm", "pipeline_comm", "data_comm", "embedding_comm",
             "compression", "optimizer", "straggler_wait", "bubble", "other")  # fmt: skip
MEMORY = ("parameters", "gradients", "optimizer", "activations", "embeddings", "buffers")
PROVENANCE = ("measured", "interpolated", "extrapolated", "published", "datasheet")
RANKS = {"gpt": 8, "llama": 16, "hstu": 8, "sasrec": 4, "bert": 16, "cpu": 2, "single": 1, "dlrm": 4}

every_base = pytest.mark.parametrize("base", BASES)


def numbers(value):
    """Every number in a JSON value."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from numbers(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


@every_base
def test_every_key_is_there_with_its_type(base):
    found = answer(base).to_dict()
    assert set(KEYS) - set(found) == set()
    for key, kind in KEYS.items():
        assert isinstance(found[key], kind), (key, found[key])
        assert kind is bool or not isinstance(found[key], bool), key
    assert tuple(found["breakdown_s"]) == BREAKDOWN
    assert tuple(found["memory_bytes"]) == ("peak_max", "limit", "by_kind")
    assert tuple(found["memory_bytes"]["by_kind"]) == MEMORY
    assert set(found["provenance"]) == set(PROVENANCE)
    assert set(found["utilization"]) == {"busy", "compute"}


@every_base
def test_every_number_is_finite_and_the_json_is_strict(base):
    found = answer(base).to_dict()
    assert all(math.isfinite(number) and number >= 0 for number in numbers(found))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert all(isinstance(number, int) for number in numbers(found["memory_bytes"]))


@every_base
def test_digests_are_hexadecimal_and_the_program_is_the_one_that_ran(base):
    result = answer(base)
    found = result.to_dict()
    assert re.fullmatch("[0-9a-f]{16}", found["run_id"])
    assert re.fullmatch("[0-9a-f]{64}", found["timeline_digest"])
    assert found["program_digest"] == result.program.digest()
    assert (found["engine"], found["seed"], found["name"]) == ("simpy", 0, base)


@every_base
def test_the_breakdown_sums_to_the_step_to_one_nanosecond(base):
    result = answer(base)
    found = result.to_dict()
    assert sum(result.breakdown.values()) == result.timeline.step_ns
    assert abs(sum(found["breakdown_s"].values()) - found["step_time_s"]) < 1e-9
    assert found["step_time_s"] == found["step_time_s_p5"] == found["step_time_s_p95"] > 0


@pytest.mark.parametrize("sets", [
    ("plan.overlap.pipeline=false",), ("plan.overlap.pipeline=false", "plan.schedule=gpipe"),
    ("plan.zero=1", "plan.overlap.param_gather=false", "plan.bucket_mib=1"), ("plan.compression.method=topk",),
    ("plan.recompute=full", "model.trunk.tied_embeddings=true"),
    ("plan.schedule=interleaved_1f1b", "plan.virtual_stages=2"),
])  # fmt: skip
def test_every_nanosecond_has_a_label_whatever_the_plan(sets):
    """Idle time before a receive is posted belongs to nobody else: it is bubble."""
    result = answer("llama", *sets)
    assert sum(result.breakdown.values()) == result.timeline.step_ns
    assert result.breakdown["bubble"] > 0
    for index in range(len(result.timeline.ranks)):
        assert sum(breakdown_ns(result.timeline, index).values()) == result.timeline.step_ns


@every_base
def test_memory_by_kind_sums_to_the_peak_of_the_fullest_rank(base):
    result = answer(base)
    found = result.to_dict()["memory_bytes"]
    assert sum(found["by_kind"].values()) == found["peak_max"] == max(own.peak for own in result.memory.per_rank)
    assert [own.rank for own in result.memory.per_rank] == [own.rank for own in result.program.ranks]


@every_base
def test_provenance_shares_sum_to_one(base):
    found = answer(base).to_dict()["provenance"]
    assert math.isclose(sum(found.values()), 1.0, abs_tol=1e-12)
    assert found["datasheet"] == (1.0 if base == "cpu" else found["datasheet"])


@every_base
def test_rates_follow_from_the_step(base):
    result = answer(base)
    found, plan, trunk = result.to_dict(), result.scenario.plan, result.scenario.model.trunk
    step_s = found["step_time_s"]
    assert found["samples_per_s"] == pytest.approx(plan.global_batch / step_s, rel=1e-12)
    assert found["tokens_per_s"] == pytest.approx(plan.global_batch * trunk.seq / step_s, rel=1e-12)
    flops = blocks.model_flops(result.scenario.model, plan.global_batch)
    assert found["model_flops_per_gpu_per_s"] == pytest.approx(flops / RANKS[base] / step_s, rel=1e-12)
    assert found["ranks"] == RANKS[base]
    assert found["ranks_simulated"] == plan.pipeline  # tensor and data replicas fold


@every_base
def test_utilization_of_flops_is_the_rate_over_the_dense_peak(base):
    found = answer(base).to_dict()
    peak = dict.fromkeys(("gpt", "sasrec", "bert", "dlrm"), 312e12) | dict.fromkeys(("llama", "hstu", "single"), 989e12)
    if base == "cpu":  # nobody publishes a peak for it
        assert found["mfu"] is None and found["hfu"] is None
    else:
        assert found["mfu"] == pytest.approx(found["model_flops_per_gpu_per_s"] / peak[base], rel=1e-12)
        assert found["hfu"] == pytest.approx(found["hardware_flops_per_gpu_per_s"] / peak[base], rel=1e-12)
        assert 0 < found["mfu"] <= found["hfu"] < 1


@every_base
def test_a_rank_computes_no_longer_than_it_is_busy_and_is_busy_no_longer_than_the_step(base):
    found = answer(base).to_dict()["utilization"]
    assert 0 < found["compute"] <= found["busy"] <= 1


@pytest.mark.parametrize("mode, factor", [("none", 1.0), ("full", None), ("selective", None)])
def test_hardware_flops_add_what_the_plan_recomputes(mode, factor):
    """gpt: full recomputation runs every layer's forward again; selective the attention core: 4 b s^2 h a layer."""
    result = answer("gpt", f"plan.recompute={mode}")
    found, model, batch = result.to_dict(), result.scenario.model, result.scenario.plan.global_batch
    trunk = model.trunk
    tokens, s, h = batch * trunk.seq, trunk.seq, trunk.hidden
    again = {"none": 0, "selective": 4 * tokens * s * h, "full": 24 * tokens * h * h + 4 * tokens * s * h}[mode]
    expected = blocks.model_flops(model, batch) + trunk.num_layers * again
    assert found["hardware_flops_per_gpu_per_s"] * 8 * found["step_time_s"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("part", [
    "road.lower", "road.fold", "road.expand", "road.run", "road.measure_memory", "many_steps.breakdown_ns",
    "many_steps.utilization", "simulation.shortage",
])  # fmt: skip
def test_wall_time_includes_every_part_of_the_road(monkeypatch, part):
    """From the parsed scenario to the last metric."""
    module, part = import_module(f"simulator.{part.split('.')[0]}"), part.split(".")[1]
    real = getattr(module, part)

    def slow(*words, **named):
        time.sleep(0.2)
        return real(*words, **named)

    monkeypatch.setattr(module, part, slow)
    assert simulate(scenario("single")).wall_s >= 0.2


TOO_BIG = ("model.trunk.layers=8", "model.trunk.hidden=8192", "model.trunk.heads=64", "plan.microbatch=1")


@pytest.mark.parametrize("sets", [
    (*TOO_BIG, "plan.tensor=1"),
    (*TOO_BIG, "model.trunk.layers=16", "plan.tensor=2"),
    ("model.trunk.seq=16384", "plan.microbatch=4", "plan.tensor=1", "plan.global_batch=32"),
    ("model.trunk.layers=32", "model.trunk.seq=8192", "plan.tensor=2", "plan.microbatch=2"),
    ("model.trunk.layers=32", "model.trunk.seq=4096", "plan.microbatch=4", "plan.tensor=1", "plan.global_batch=32"),
])  # fmt: skip
def test_what_does_not_fit_says_by_how_much_and_a_remedy_that_fits(sets):
    result = answer("gpt", *sets)
    found = result.to_dict()
    peak, limit = found["memory_bytes"]["peak_max"], found["memory_bytes"]["limit"]
    assert found["feasible"] is False and peak > limit
    assert found["step_time_s"] > 0 and found["samples_per_s"] > 0
    assert f"{(peak - limit) / GIB:.2f} GiB short" in found["reason"]
    remedy = re.findall(r"--set (\S+)", found["reason"])
    assert remedy, found["reason"]
    changed = simulate(scenario("gpt", *sets, *remedy)).to_dict()
    assert changed["feasible"] is True and changed["reason"] is None
    assert changed["memory_bytes"]["peak_max"] <= limit


ON_DEVICE = "model.tables.0.rows=2000000000"


@pytest.mark.parametrize("sets, remedy", [
    ((ON_DEVICE,), ["model.tables.0.placement=host"]),
    (("model.tables.0.rows=100000000", "plan.embedding_sharding=data_parallel"), ["plan.embedding_sharding=auto"]),
    (("model.tables.0.rows=100000000", "plan.embedding_sharding=table_wise", "model.tables.0.dim=512"),
     ["plan.embedding_sharding=auto"]),
    (("model.tables.0.rows=30000000000", "model.tables.0.placement=host", "model.tables.0.cache_fraction=0.1"),
     ["cluster.nodes=4", "plan.data=32", "plan.global_batch=256"]),
])  # fmt: skip
def test_tables_that_do_not_fit_are_sharded_moved_to_the_host_or_spread_over_more_nodes(sets, remedy):
    result = answer("hstu", *sets)
    assert re.findall(r"--set (\S+)", result.reason) == remedy
    assert answer("hstu", *sets, *remedy).feasible


@pytest.mark.parametrize("zero", [0, 1, 2])
def test_states_that_do_not_fit_on_one_gpu_are_sharded_over_all(zero):
    """13B in plain data parallelism: 18 bytes a parameter, of which ZeRO 1 leaves 7.5, ZeRO 2 4 and ZeRO 3 an eighth.
    In one bucket the gradients of ZeRO 2 are whole for a while."""
    sets = ("plan.tensor=1", "model.trunk.hidden=5120", "model.trunk.heads=40", "model.trunk.layers=40",
            "plan.recompute=full", "software.attention=flash", f"plan.zero={zero}")  # fmt: skip
    reason = answer("gpt", *sets, *(("plan.bucket_mib=100000",) if zero == 2 else ())).reason
    remedy = re.findall(r"--set (\S+)", reason)
    assert remedy == (["plan.zero=2"] if zero < 2 else ["plan.zero=3", "plan.bucket_mib=null"])
    assert answer("gpt", *sets, *remedy).feasible


def test_where_nothing_fits_that_is_said():
    sets = ("model.trunk.hidden=65536", "model.trunk.heads=2", "model.trunk.layers=8", "plan.tensor=2")
    reason = answer("gpt", *sets).reason
    assert "nothing that was tried fits" in reason and "--set" not in reason


def test_what_fits_has_no_reason():
    found = answer("gpt").to_dict()
    assert found["feasible"] is True and found["reason"] is None
    assert found["memory_bytes"]["peak_max"] <= found["memory_bytes"]["limit"]


def test_the_timeline_becomes_a_frame_of_representatives_or_of_all_ranks():
    result = answer("llama")
    columns = ["op", "kind", "rank", "stream", "microbatch", "stage", "ready_ns", "start_ns", "end_ns"]
    frame = result.timeline.to_frame()
    assert [column for column in frame.columns if column in columns] == columns
    assert len(frame) == result.to_dict()["ops"]
    assert set(frame["multiplicity"]) == {8} and sorted(set(frame["rank"])) == [0, 8]
    every = result.timeline.to_frame(expand=True)
    assert len(every) == 8 * len(frame) and sorted(set(every["rank"])) == list(range(16))
    assert every["end_ns"].max() == frame["end_ns"].max() == result.timeline.step_ns


@pytest.mark.parametrize("key", ["hidden", "seq"])
def test_a_model_beyond_the_integers_is_refused_in_a_sentence(key):
    with pytest.raises(ScenarioError, match="do not fit 63 bits"):
        answer("gpt", f"model.trunk.{key}={2**53}", "plan.sequence_parallel=false")
