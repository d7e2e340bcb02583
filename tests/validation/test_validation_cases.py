"""Every published row becomes the scenario that was measured: degrees, tokens and microbatches add up."""

import json
from math import prod

import pytest

from simulator.errors import NotSupportedYet, ScenarioError
from simulator.model.blocks import num_parameters
from simulator.registry import profile_names, profile_path, topology
from simulator.scenario.loader import scenario_from
from simulator.validation import SOURCES, load_cases
from simulator.validation.cases import STEP, read_rows
from simulator.validation.sources import describe, fit_rows

HSTU = {"block": "hstu", "layers": 8, "hidden": 1024, "heads": 4}
"""What preset hstu_nv_ranking is; every other case spells its trunk out."""
CASES = [case for source in SOURCES for case in load_cases(source)]
ROWS = {
    "sc21_table1": 8, "sc21_table2": 3, "korthikanti_table5": 6, "korthikanti_table4": 4, "vtrain_multi": 93,
    "dgxc_h100": 36, "zero_bubble": 24, "sc21_zero3": 3, "mosaic_a100": 139, "mosaic_h100": 58, "torchtitan_h100": 5,
    "torchtitan_a100": 6, "recsys_dlrm": 20, "vtrain_single": 72,
    "bert_large_dp": 10, "megascale": 8, "hstu_h100": 1, "hstu_kernels": 12, "megatron_core_h100": 4,
    "llama3": 3,
}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_every_published_row_is_there_once(source):
    cases = load_cases(source)
    assert len(cases) == ROWS[source]
    assert len({(case.name, case.stand_in) for case in cases}) == len(cases)
    assert all(case.source == source and case.measured_s > 0 for case in cases)
    citation, readings = describe(source)
    assert "arXiv" in citation or "github" in citation
    assert readings


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.source}: {case.name} {case.stand_in}")
def test_degrees_fill_the_cluster_and_microbatches_are_whole(case):
    plan, trunk = case.scenario["plan"], case.scenario["model"].get("trunk", HSTU)
    degrees = prod(plan.get(degree, 1) for degree in ("tensor", "pipeline", "data", "context"))
    keywords = dict(case.scenario["cluster"])
    assert topology(keywords.pop("preset"), **keywords).gpus == degrees
    microbatches, rest = divmod(plan["global_batch"], plan["microbatch"] * plan["data"])
    assert rest == 0 and microbatches >= 1
    if trunk["block"] == "none":
        return
    if case.quantity == STEP:
        if "partition" in plan:
            assert sum(plan["partition"]) == trunk["layers"]
            assert len(plan["partition"]) == plan["pipeline"] * plan["virtual_stages"]
        else:
            assert trunk["layers"] % (plan.get("pipeline", 1) * plan.get("virtual_stages", 1)) == 0
        if plan.get("virtual_stages", 1) > 1:
            assert microbatches % plan["pipeline"] == 0, "Megatron's interleaving needs it"
    assert trunk["hidden"] % trunk["heads"] == 0


@pytest.mark.parametrize("source", SOURCES)
def test_rows_load_as_scenarios_or_name_what_is_not_built(source):
    """What is refused is refused for a key of the published plan, and only where the table says so."""
    for case in load_cases(source):
        try:
            scenario = scenario_from(case.scenario)
        except NotSupportedYet as refusal:
            assert refusal.key in ("plan.recompute", "software.compile"), refusal
            assert not case.stand_in, "a stand-in exists because it can be predicted"
            continue
        plan = case.scenario["plan"]
        assert scenario.microbatches * plan["microbatch"] * plan["data"] == plan["global_batch"]
        assert scenario.cluster.gpus == scenario.layout.ranks


def test_derived_step_times_are_the_papers_flops_over_its_rate():
    """96 B s l h^2 (1 + s/6h + V/16lh): arXiv 2104.04473, equation 3, with full recomputation. Rates have 3 digits."""
    for row in read_rows("sc21_table1.csv"):
        batch, seq, vocab = int(row["global_batch"]), int(row["seq"]), int(row["vocab"])
        layers, hidden = int(row["layers"]), int(row["hidden"])
        flops = 96 * batch * seq * layers * hidden**2 * (1 + seq / (6 * hidden) + vocab / (16 * layers * hidden))
        rate = float(row["tflops_per_gpu"]) * 1e12 * int(row["gpus"])
        assert flops / rate == pytest.approx(float(row["iter_time_derived_s"]), rel=0.01)


def test_table_2_times_follow_from_its_rates():
    for row in read_rows("sc21_table2.csv"):
        layers, hidden, seq, vocab = int(row["layers"]), int(row["hidden"]), 2048, 51200
        flops = 96 * int(row["global_batch"]) * seq * layers * hidden**2
        flops *= 1 + seq / (6 * hidden) + vocab / (16 * layers * hidden)
        rate = float(row["tflops_per_gpu"]) * 1e12 * int(row["gpus"])
        assert flops / rate == pytest.approx(float(row["iter_time_derived_s"]), rel=0.01)


def test_dgxc_tokens_are_batch_times_sequence():
    for row in read_rows("dgxc_h100.csv"):
        tokens = int(row["global_batch"]) * int(row["seq"])
        assert tokens / float(row["step_s"]) == pytest.approx(float(row["tokens_per_s"]), rel=1e-3)
        degrees = [int(row[key]) for key in ("tp", "pp", "cp", "dp")]
        assert degrees[0] * degrees[1] * degrees[2] * degrees[3] == int(row["gpus"])


def test_korthikanti_mfu_follows_from_its_time():
    """MFU = 72 B s l h^2 (1 + s/6h + V/12lh) / (time, GPUs, 312e12): arXiv 2205.05198, equation 7, present work."""
    for row in read_rows("korthikanti_table5.csv"):
        batch, seq, vocab = int(row["global_batch"]), int(row["seq"]), 51200
        layers, hidden, gpus = int(row["layers"]), int(row["hidden"]), int(row["gpus"])
        flops = 72 * batch * seq * layers * hidden**2 * (1 + seq / (6 * hidden) + vocab / (12 * layers * hidden))
        mfu = 100 * flops / (float(row["iter_present_s"]) * gpus * 312e12)
        assert mfu == pytest.approx(float(row["mfu_pct"]), rel=0.02)


def test_settings_of_each_source():
    """One row of each, by hand."""
    first = {source: load_cases(source)[0].scenario for source in SOURCES}
    assert first["sc21_table1"]["plan"]["overlap"]["grad_reduce"] is True, "the 1.7B run used torch DDP"
    assert load_cases("sc21_table1")[2].scenario["plan"]["overlap"]["grad_reduce"] is False, "39B: local DDP"
    assert load_cases("sc21_table1")[4].scenario["plan"]["virtual_stages"] == 3
    assert load_cases("sc21_table2")[0].scenario["plan"]["schedule"] == "1f1b"
    assert "precision" not in first["vtrain_multi"], "fp16 gradients, as dtype fp16 gives"
    stacks = {source: case["software"]["stack"] for source, case in first.items() if "software" in case}
    assert stacks == {
        "sc21_table1": "megatron_2021", "sc21_table2": "megatron_2021", "vtrain_multi": "megatron_2021",
        "vtrain_single": "megatron_2021",
        "korthikanti_table4": "megatron_2022", "korthikanti_table5": "megatron_2022", "dgxc_h100": "current",
        "zero_bubble": "megatron_2023", "sc21_zero3": "megatron_2021", "mosaic_a100": "llm_foundry",
        "mosaic_h100": "llm_foundry", "torchtitan_h100": "torchtitan", "torchtitan_a100": "torchtitan",
        "bert_large_dp": "torch",
        "megascale": "megatron_2022", "megatron_core_h100": "current", "llama3": "current",
        "recsys_dlrm": "deeplearning_examples",
    }  # fmt: skip
    assert first["vtrain_multi"]["cluster"] == {
        "preset": "dgx_a100", "nodes": 8, "nic_gbit_per_s": 800, "nics_per_node": 4,
    }  # fmt: skip
    assert first["korthikanti_table5"]["plan"]["recompute"] == "full"
    assert load_cases("korthikanti_table5")[1].scenario["plan"]["sequence_parallel"] is True
    assert first["dgxc_h100"]["plan"]["overlap"]["tensor"] is True
    assert load_cases("dgxc_h100")[1].stand_in == "without tensor overlap"
    for source in ("sc21_zero3", "mosaic_a100", "mosaic_h100", "torchtitan_h100"):
        plan = first[source]["plan"]
        assert plan["zero"] == 3 and plan["data"] == plan["global_batch"] // plan["microbatch"] // _accumulated(plan)
    pure = load_cases("mosaic_a100")[-1].scenario
    assert pure["precision"]["parameters"] == "bf16" and pure["cluster"]["preset"] == "dgx_a100_40gb"
    assert first["mosaic_h100"]["precision"]["parameters"] == "fp32" and first["mosaic_h100"]["cluster"]["nodes"] == 64
    plans = [case.scenario["plan"] for case in load_cases("zero_bubble")]
    assert plans[0]["partition"] == [2, 3, 3, 3, 3, 3, 3, 2]
    assert plans[1]["partition"] == [0, *[1] * 22, 0] and plans[1]["virtual_stages"] == 3


def _accumulated(plan) -> int:
    return plan["global_batch"] // (plan["microbatch"] * plan["data"])


def test_mosaics_parameters_and_steps_follow_from_its_columns():
    """NumParams of each MPT is our GPT's to the digit; microbatches and tokens of a step are the columns' products."""
    rows = [row for row in read_rows("mosaic_fsdp.csv") if row["GPU"] in ("a100_80gb", "a100_40gb", "h100_80gb")]
    cases = {case.name: case for source in ("mosaic_a100", "mosaic_h100") for case in load_cases(source)}
    assert len(rows) == len(cases) == 197
    for row in rows:
        case = next(one for name, one in cases.items() if name.startswith(
            f"{row['Model']} T{row['SeqLen (T)']} b{row['MicroBatchSize']}x{row['GradAccum']} on {row['# GPUs']} "
            f"{row['GPU']}"
        ))  # fmt: skip
        built = scenario_from(case.scenario)
        assert num_parameters(built.model) == int(row["NumParams"])
        assert built.microbatches == int(row["GradAccum"])
        tokens = int(row["GlobalBatchSize (T)"])
        assert tokens == built.plan.global_batch * built.model.trunk.seq
        rate = tokens / case.measured_s / built.layout.ranks
        assert rate == pytest.approx(int(row["Throughput (T/s/GPU)"]))


def test_torchtitans_model_is_llama_3_8b():
    model = scenario_from(load_cases("torchtitan_h100")[0].scenario).model
    assert num_parameters(model) == 8_030_261_248


def test_unknown_sources_name_the_valid_ones():
    with pytest.raises(ScenarioError, match="korthikanti_table5"):
        load_cases("korthikanti")


def test_every_row_that_set_a_constant_is_declared_and_counts_as_such():
    """What a profile says its constants were fitted on are the sources' FIT_ROWS, no more and no fewer, and those are
    few: less than a third of the rows of any source that is judged."""
    profiles = [json.loads(profile_path(name).read_text()) for name in profile_names()]
    fitted_on = {
        row for profile in profiles for constant in profile["constants"].values() for row in constant["fitted_on"]
        if row.partition(":")[0] in SOURCES
    }  # fmt: skip
    assert fitted_on == {f"{source}: {row}" for source in SOURCES for row in fit_rows(source)}
    for source in SOURCES:
        cases = [case for case in load_cases(source) if not case.stand_in]
        fitted = [case for case in cases if case.fitted]
        assert [case.name for case in fitted] == [case.name for case in cases if case.name in fit_rows(source)]
        assert len(fitted) == len(fit_rows(source))
        if source not in (
            "korthikanti_table4",
            "torchtitan_h100",
            "dgxc_h100",
            "sc21_table2",
            "hstu_kernels",
            "megatron_core_h100",
        ):
            assert len(fitted) <= len(cases) / 3, source
    assert fit_rows("vtrain_multi") == fit_rows("megascale") == fit_rows("bert_large_dp") == ()
    assert sum(case.fitted for case in CASES) < 0.11 * len(CASES)


def test_bert_rows_are_ratios_to_the_one_node_row():
    """138,294 sequences/s on 256 GPUs: 0.95 of 32 times the 4,553 of one node."""
    last = load_cases("bert_large_dp")[4]
    assert last.baseline_s / last.measured_s == pytest.approx(138294 / 4553)
    assert scenario_from(last.baseline).layout.ranks == 8 and scenario_from(last.scenario).layout.ranks == 256
    assert scenario_from(last.baseline).microbatches == 32 and scenario_from(last.scenario).microbatches == 1
