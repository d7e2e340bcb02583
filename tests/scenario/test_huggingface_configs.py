"""Hugging Face config.json files as trunks, with the keys and defaults of transformers' own classes."""

import json

import pytest
from scenario_texts import TINY

from simulator.errors import NotSupportedYet, ScenarioError

GPT2 = {
    "model_type": "gpt2",
    "n_layer": 12,
    "n_embd": 768,
    "n_head": 12,
    "n_positions": 1024,
    "vocab_size": 50257,
    "n_inner": None,
}
LLAMA = {"model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
         "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 8192,
         "tie_word_embeddings": False, "rope_theta": 500000.0}  # fmt: skip
MISTRAL = {
    **LLAMA,
    "model_type": "mistral",
    "vocab_size": 32000,
    "max_position_embeddings": 32768,
    "sliding_window": 4096,
}
QWEN2 = {**LLAMA, "model_type": "qwen2", "num_key_value_heads": 4, "sliding_window": 4096, "use_sliding_window": False,
         "tie_word_embeddings": True}  # fmt: skip
BERT = {"model_type": "bert", "num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12,
        "intermediate_size": 3072, "vocab_size": 30522, "max_position_embeddings": 512}  # fmt: skip

TEXT = TINY.replace(
    "trunk: {block: gpt, layers: 4, hidden: 64, heads: 4, vocab: 1000, seq: 32}", "huggingface: config.json"
)


@pytest.fixture
def trunk_of(tmp_path, load):
    def trunk(config, *sets):
        text = config if isinstance(config, str) else json.dumps(config)
        (tmp_path / "config.json").write_text(text)
        return load(TEXT, *sets).model.trunk

    return trunk


def test_gpt2_with_an_inner_width_of_null_has_four_times_its_width(trunk_of):
    trunk = trunk_of(GPT2)
    assert (trunk.block, trunk.num_layers, trunk.hidden, trunk.heads, trunk.ffn) == ("gpt", 12, 768, 12, 3072)
    assert (trunk.vocab, trunk.seq, trunk.tied_embeddings, trunk.causal) == (50257, 1024, True, True)
    assert trunk_of({**GPT2, "n_inner": 2048}).ffn == 2048


def test_llama_keeps_its_key_value_heads(trunk_of):
    trunk = trunk_of(LLAMA)
    assert (trunk.block, trunk.kv_heads, trunk.head_dim, trunk.ffn) == ("llama", 8, 128, 14336)
    assert (trunk.vocab, trunk.seq, trunk.tied_embeddings) == (128256, 8192, False)
    config = {**LLAMA, "num_key_value_heads": None, "head_dim": 256}
    assert (trunk_of(config).kv_heads, trunk_of(config).head_dim) == (32, 256)


def test_mistrals_samples_are_as_long_as_its_window(trunk_of):
    assert trunk_of(MISTRAL).seq == 4096
    assert trunk_of({**MISTRAL, "sliding_window": None}).seq == 32768


def test_qwen2_uses_its_window_only_when_told_to(trunk_of):
    assert trunk_of(QWEN2).seq == 8192 and trunk_of(QWEN2).tied_embeddings is True
    assert trunk_of({**QWEN2, "use_sliding_window": True}).seq == 4096


def test_bert_sees_both_ways(trunk_of):
    trunk = trunk_of(BERT)
    assert (trunk.block, trunk.causal, trunk.seq, trunk.ffn) == ("bert", False, 512, 3072)


def test_trunk_keys_beside_the_file_override_it(trunk_of):
    trunk = trunk_of(LLAMA, "model.trunk={seq: 1024, layers: 4}")
    assert (trunk.seq, trunk.num_layers, trunk.hidden) == (1024, 4, 4096)


@pytest.mark.parametrize(
    ("config", "kind", "words"),
    [
        ({**LLAMA, "model_type": "mixtral"}, NotSupportedYet, "model_type mixtral is not supported yet"),
        ({**LLAMA, "model_type": "qwen3"}, NotSupportedYet, "did you mean qwen2?"),
        ({**LLAMA, "num_local_experts": 8}, NotSupportedYet, "num_local_experts 8 is not supported yet"),
        ({**BERT, "is_decoder": True}, NotSupportedYet, "is_decoder True is not supported yet"),
        ({"hidden_size": 8}, ScenarioError, "model_type is required"),
        (
            {k: v for k, v in LLAMA.items() if k != "hidden_size"},
            ScenarioError,
            "hidden_size is required for model_type llama",
        ),
        ({**LLAMA, "hidden_size": "big"}, ScenarioError, "hidden_size is 'big', and it must be a whole number"),
        ("[1]", ScenarioError, "one JSON object"),
        ("{", ScenarioError, "this is not JSON"),
    ],
)
def test_a_config_that_cannot_be_used_says_why_and_which_file(trunk_of, config, kind, words):
    with pytest.raises(kind) as caught:
        trunk_of(config)
    assert words in str(caught.value) and "config.json" in caught.value.file


def test_a_missing_config_and_a_second_source_are_refused(refused):
    assert "there is no such file" in refused(TEXT)
    assert "preset gpt3_175b stands beside it; keep one" in refused(TEXT, "model.preset=gpt3_175b")
