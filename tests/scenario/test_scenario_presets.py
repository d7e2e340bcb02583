"""Presets: the figures of their sources, and starters that load."""

import re

import pytest

from simulator.errors import ScenarioError
from simulator.scenario.loader import scenario_from
from simulator.scenario.presets import PRESETS, preset_model
from simulator.scenario.source import parse_yaml
from simulator.scenario.starters import STARTS, starter


def _model(preset):
    return scenario_from({
        "schema_version": 1, "name": "x", "model": {"preset": preset}, "cluster": {"preset": "single_gpu"},
        "plan": {"microbatch": 1, "global_batch": 1},
    }).model  # fmt: skip


def test_every_preset_of_the_contract_is_known_by_name():
    assert set(PRESETS) == {
        "gpt3_175b", "llama3_8b", "llama3_70b", "llama3_405b", "hstu_nv_ranking", "hstu_ml20m_large", "dlrm_v2_mlperf",
        "dlrm_dot_criteo", "dlrmv3_mlperf", "sasrec_ml20m", "bert4rec", "tallrec_llama7b_lora",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("preset", "block", "layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "seq", "tied"),
    [
        ("gpt3_175b", "gpt", 96, 12288, 96, 96, 128, 49152, 51200, 2048, True),
        ("llama3_8b", "llama", 32, 4096, 32, 8, 128, 14336, 128256, 8192, False),
        ("llama3_70b", "llama", 80, 8192, 64, 8, 128, 28672, 128256, 8192, False),
        ("llama3_405b", "llama", 126, 16384, 128, 8, 128, 53248, 128256, 8192, False),
        ("hstu_nv_ranking", "hstu", 8, 1024, 4, 4, 256, 0, 0, 4099, False),
        ("hstu_ml20m_large", "hstu", 16, 256, 8, 8, 32, 0, 0, 200, False),
        ("dlrmv3_mlperf", "hstu", 5, 512, 4, 4, 128, 0, 0, 16384, False),
        ("sasrec_ml20m", "sasrec", 4, 256, 4, 4, 64, 256, 0, 200, False),
        ("tallrec_llama7b_lora", "llama", 32, 4096, 32, 32, 128, 11008, 32000, 512, False),
        ("bert4rec", "bert", 2, 64, 2, 2, 32, 256, 26748, 200, True),
    ],
)  # fmt: skip
def test_a_preset_has_its_sources_figures(
    preset, block, layers, hidden, heads, kv_heads, head_dim, ffn, vocab, seq, tied
):
    trunk = _model(preset).trunk
    assert (trunk.block, trunk.num_layers, trunk.hidden, trunk.heads) == (block, layers, hidden, heads)
    assert (trunk.kv_heads, trunk.head_dim, trunk.ffn) == (kv_heads, head_dim, ffn)
    assert (trunk.vocab, trunk.seq, trunk.tied_embeddings) == (vocab, seq, tied)
    assert trunk.causal == (block != "bert")


def test_dlrms_have_their_sources_tables():
    """MLPerf's DLRMv2: 204.2M rows, 214 lookups; Criteo at frequency limit 3: 84.9 GiB in fp32, as NVIDIA states it."""
    mlperf, criteo = _model("dlrm_v2_mlperf"), _model("dlrm_dot_criteo")
    assert (len(mlperf.tables), sum(table.rows for table in mlperf.tables)) == (26, 204_184_588)
    assert sum(table.lookups_per_sample for table in mlperf.tables) == 214
    assert (len(criteo.tables), {table.lookups_per_sample for table in criteo.tables}) == (26, {1})
    assert round(sum(table.rows * table.dim * 4 for table in criteo.tables) / 2**30, 1) == 84.9
    assert mlperf.dense.interaction == "dcn_v2" and criteo.dense.interaction == "dot"


def test_hstu_reads_two_host_tables_of_50_million_rows():
    model = _model("hstu_nv_ranking")
    assert [(table.name, table.rows, table.dim, table.placement, table.cache_fraction) for table in model.tables] == [
        ("item", 50_000_000, 128, "host", 0.1), ("user", 50_000_000, 128, "host", 0.1),
    ]  # fmt: skip
    assert [table.lookups_per_sample for table in model.tables] == [None, 1]
    assert model.head.kind == "binary" and model.dense.top == (512, 8)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_cites_its_source_and_is_new_at_each_call(preset):
    text = PRESETS[preset].__doc__
    assert "arXiv" in text or "github" in text.lower() or "NVIDIA/" in text
    preset_model(preset)["trunk"]["layers"] = 1
    assert preset_model(preset)["trunk"].get("layers") != 1


def test_a_misspelt_preset_is_told_the_nearest():
    with pytest.raises(ScenarioError, match="'gpt3_175' is not a preset; did you mean gpt3_175b"):
        preset_model("gpt3_175")
    with pytest.raises(ScenarioError, match="'zzz' is not a preset; use one of gpt3_175b, llama3_8b"):
        preset_model("zzz")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_starter_loads_as_it_stands_and_its_comments_are_its_defaults(preset):
    text = starter(preset)
    scenario = scenario_from(parse_yaml(text, "starter").data)
    assert scenario.model == _model(preset)
    uncommented = re.sub(r"^( *)# (\w+: )", r"\1\2", text, flags=re.MULTILINE)
    written = parse_yaml(uncommented, "starter").data
    assert (
        written["optimizer"] == STARTS[preset].optimizer
        and "bucket_mib" in written["plan"]
        and "gpus_per_node" in written["cluster"]
    )
    assert scenario_from(parse_yaml(uncommented, "starter").data) == scenario
    assert STARTS[preset].reason in text


def test_one_key_of_the_dense_part_is_changed_and_the_rest_of_the_preset_stays():
    preset = _model("dlrm_dot_criteo").dense
    changed = scenario_from({
        "schema_version": 1, "name": "x", "cluster": {"preset": "single_gpu"},
        "model": {"preset": "dlrm_dot_criteo", "dense": {"interaction": "cat"}},
        "plan": {"microbatch": 1, "global_batch": 1},
    }).model.dense  # fmt: skip
    assert (preset.interaction, changed.interaction) == ("dot", "cat")
    assert (changed.features, changed.bottom, changed.top) == (preset.features, preset.bottom, preset.top)
