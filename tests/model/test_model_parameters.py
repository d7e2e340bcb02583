"""Parameter counts against published ones and against sums written out by hand."""

import pytest
from model_zoo import (
    ALL,
    BERT_LARGE,
    GPT_1T,
    GPT_22B,
    GPT_175B,
    GPT_530B,
    HSTU,
    HSTU_TABLES,
    LLAMA3_8B,
    LLAMA3_70B,
    LLAMA3_405B,
    SASREC,
    SASREC_SOFTMAX,
)

from simulator.model import tables
from simulator.model.blocks import num_parameters, parameters, tied_parameter, units
from simulator.model.spec import ModelSpec
from simulator.units import MIB


@pytest.mark.parametrize(
    ("model", "published"),
    [
        # Hugging Face meta-llama: the sizes that the checkpoints' index files state
        (LLAMA3_8B, 8_030_261_248),
        (LLAMA3_70B, 70_553_706_496),
        (LLAMA3_405B, 405_853_388_800),
        # transformers BertForMaskedLM of bert-large-uncased: encoder without pooler, masked-language head, tied decoder
        (BERT_LARGE, 335_174_458),
    ],
)
def test_published_counts_are_met_exactly(model, published):
    assert num_parameters(model) == published


def test_llama3_8b_by_hand():
    # layer: q and o 4096^2 each, k and v 1024 x 4096 each, three matrices 14336 x 4096, two norms
    layer = 2 * 4096**2 + 2 * 1024 * 4096 + 3 * 14336 * 4096 + 2 * 4096
    # untied: token embedding and output projection; one final norm
    assert num_parameters(LLAMA3_8B) == 32 * layer + 2 * 128256 * 4096 + 4096


@pytest.mark.parametrize(
    ("model", "layers", "hidden", "billions"),
    [(GPT_22B, 48, 6144, 22), (GPT_175B, 96, 12288, 175), (GPT_530B, 105, 20480, 530), (GPT_1T, 128, 25600, 1008)],
)
def test_megatron_models_by_hand(model, layers, hidden, billions):
    # layer: qkv 3h^2 + 3h, proj h^2 + h, MLP 8h^2 + 5h, two LayerNorms 4h = 12 h^2 + 13 h
    # and the tied embedding Vh, positions sh, final LayerNorm 2h (arXiv 2104.04473, equation 2)
    by_hand = layers * (12 * hidden**2 + 13 * hidden) + (51200 + 2048) * hidden + 2 * hidden
    assert num_parameters(model) == by_hand
    assert num_parameters(model) / 1e9 == pytest.approx(billions, rel=0.005)


def test_sasrec_by_hand():
    # layer: qkv 3d^2 + 3d, output d^2 + d, two point-wise layers 2 (d^2 + d), two LayerNorms 4d = 6 d^2 + 10 d
    dense = 2 * (6 * 50**2 + 10 * 50) + 200 * 50 + 2 * 50  # positions, final LayerNorm
    assert num_parameters(SASREC) == dense
    assert tables.num_parameters(SASREC) == 3417 * 50


def test_an_item_table_tied_to_a_full_softmax_is_dense_and_counted_once():
    dense = 2 * (6 * 64**2 + 10 * 64) + 200 * 64 + 2 * 64
    assert num_parameters(SASREC_SOFTMAX) == dense + 26744 * 64
    assert tables.num_parameters(SASREC_SOFTMAX) == 0
    assert tied_parameter(SASREC_SOFTMAX).shape == (26744, 64)


def test_hstu_and_the_published_81_15_mib():
    # layer: norm 2 h, uvqk 4 (4 x 256) x 1024 + 4096, output norm 2 (4 x 256), projection 1024 x 1024 without bias
    layer = 2 * 1024 + 4096 * 1024 + 4096 + 2 * 1024 + 1024 * 1024
    # head of 8 tasks: 1024 -> 512 -> 8
    head = 1024 * 512 + 512 + 512 * 8 + 8
    assert num_parameters(HSTU) == 8 * layer + head
    # 80.125 MiB of layers and 1.009 of head: the published 81.15 MiB (PERF_ANALYSIS.md, bf16) less 0.02, the small
    # tables and embeddings that are replicated there
    assert 2 * 8 * layer / MIB == pytest.approx(80.125, abs=0.001)
    assert 2 * num_parameters(HSTU) / MIB == pytest.approx(81.15, abs=0.02)


def test_a_narrow_table_is_brought_to_the_trunk_by_a_linear_layer():
    assert num_parameters(HSTU_TABLES) == num_parameters(HSTU) + 128 * 1024 + 1024


@pytest.mark.parametrize("model", ALL)
@pytest.mark.parametrize("tensor", [2, 4, 8])
def test_shards_hold_what_the_whole_holds(model, tensor):
    for unit in units(model):
        for parameter in parameters(model, unit):
            local = parameter.local_count(tensor)
            if parameter.axis == "none":
                assert local == parameter.count
            else:
                padding = local * tensor / parameter.count - 1
                assert 0 <= padding < tensor / parameter.shape[1 if parameter.axis == "row" else 0]


def test_vocabulary_is_padded_to_the_tensor_degree():
    embedding = parameters(BERT_LARGE, units(BERT_LARGE)[0])[0]
    assert embedding.local_shape(4) == (7631, 1024)  # 30522 / 4 = 7630.5


def test_units_are_embedding_layers_head():
    names = [unit.name for unit in units(SASREC)]
    assert names == ["embedding", "layer0.attention", "layer0.mlp", "layer1.attention", "layer1.mlp", "head"]
    assert [unit.name for unit in units(HSTU)][:2] == ["embedding", "layer0.hstu"]


def test_an_untied_output_is_the_heads_own():
    trunk = {**GPT_22B.trunk.model_dump(exclude_unset=True), "tied_embeddings": False}
    untied = ModelSpec.model_validate({"trunk": trunk})
    assert num_parameters(untied) - num_parameters(GPT_22B) == 51200 * 6144
    assert tied_parameter(untied) is None and tied_parameter(GPT_22B).shape == (51200, 6144)
