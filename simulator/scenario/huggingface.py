"""A Hugging Face config.json as a trunk: the keys of each architecture, in transformers' own names.

Read as data, without transformers. Adding an architecture is a function and a line in ARCHITECTURES. Experts, which a
trunk cannot express, are refused; biases, dropout rates and rotary parameters, which change the cost by less than a
part in a thousand, are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from simulator.errors import NotSupportedYet, ScenarioError
from simulator.scenario.keys import nearest
from simulator.scenario.source import read_text

Config = dict[str, Any]


def trunk_from_config(path: str) -> dict[str, Any]:
    """The `trunk` section that a config.json describes. Raises ScenarioError, NotSupportedYet."""
    text, label = read_text(path)
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise ScenarioError("this is not JSON; give the config.json of a model", file=label, line=line) from None
    if not isinstance(config, dict):
        raise ScenarioError("this is not a model's config.json, which is one JSON object", file=label)
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        if not isinstance(kind, str):
            raise ScenarioError(f"model_type is required, and it is not there; one of {known}", file=label)
        close = nearest(kind, ARCHITECTURES)
        raise NotSupportedYet(
            f"model_type {kind} is not supported yet; {f'did you mean {close}? ' if close else ''}write the trunk out, "
            f"or use one of {known}",
            file=label,
        )
    try:
        return ARCHITECTURES[kind](_Reader(config, label))
    except KeyError as error:
        raise ScenarioError(
            f"{error.args[0]} is required for model_type {kind}, and it is not there; add it", file=label
        ) from None


class _Reader:
    """A config's keys, with the file's name for the messages."""

    def __init__(self, config: Config, label: str):
        self.config, self.label = config, label

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number; KeyError where it is missing or null and has no default."""
        value = self.config.get(key)
        if value is None:
            if default is None:
                raise KeyError(key)
            return default
        if type(value) is not int or value < 1:
            raise ScenarioError(f"{key} is {value!r}, and it must be a whole number above 0", file=self.label)
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.config.get(key, default)
        return default if value is None else bool(value)

    def refuse(self, key: str, why: str) -> NotSupportedYet:
        return NotSupportedYet(f"{key} {self.config.get(key)!r} is not supported yet; {why}", file=self.label)


def _gpt2(read: _Reader) -> dict[str, Any]:
    """transformers GPT2Config: n_inner null means 4 * n_embd, embeddings are tied unless said otherwise."""
    hidden = read.whole("n_embd")
    return {
        "block": "gpt",
        "layers": read.whole("n_layer"),
        "hidden": hidden,
        "heads": read.whole("n_head"),
        "ffn": read.whole("n_inner", 4 * hidden),
        "vocab": read.whole("vocab_size"),
        "tied_embeddings": read.flag("tie_word_embeddings", True),
        "seq": read.whole("n_positions"),
        "causal": True,
    }


def _llama(read: _Reader) -> dict[str, Any]:
    """transformers LlamaConfig: num_key_value_heads null means num_attention_heads, head_dim hidden / heads."""
    hidden, heads = read.whole("hidden_size"), read.whole("num_attention_heads")
    if read.config.get("num_local_experts") or read.config.get("num_experts"):
        raise read.refuse("num_local_experts", "use a dense model")
    trunk = {
        "block": "llama",
        "layers": read.whole("num_hidden_layers"),
        "hidden": hidden,
        "heads": heads,
        "kv_heads": read.whole("num_key_value_heads", heads),
        "ffn": read.whole("intermediate_size"),
        "vocab": read.whole("vocab_size"),
        "tied_embeddings": read.flag("tie_word_embeddings", False),
        "seq": read.whole("max_position_embeddings"),
        "causal": True,
    }
    if read.config.get("head_dim") is not None:
        trunk["head_dim"] = read.whole("head_dim")
    return trunk


def _mistral(read: _Reader) -> dict[str, Any]:
    """transformers MistralConfig: a llama whose attention may see a sliding window only."""
    trunk = _llama(read)
    window = read.config.get("sliding_window")
    if window is not None:  # samples of at most a window see all of it
        trunk["seq"] = min(trunk["seq"], read.whole("sliding_window"))
    return trunk


def _qwen2(read: _Reader) -> dict[str, Any]:
    """transformers Qwen2Config: a llama with biases on q, k and v; its sliding window must be switched on."""
    return _mistral(read) if read.flag("use_sliding_window", False) else _llama(read)


def _bert(read: _Reader) -> dict[str, Any]:
    """transformers BertConfig: bidirectional, the projection shares the embedding."""
    if read.flag("is_decoder", False):
        raise read.refuse("is_decoder", "use an encoder")
    return {
        "block": "bert",
        "layers": read.whole("num_hidden_layers"),
        "hidden": read.whole("hidden_size"),
        "heads": read.whole("num_attention_heads"),
        "ffn": read.whole("intermediate_size"),
        "vocab": read.whole("vocab_size"),
        "tied_embeddings": read.flag("tie_word_embeddings", True),
        "seq": read.whole("max_position_embeddings"),
        "causal": False,
    }


ARCHITECTURES: dict[str, Callable[[_Reader], dict[str, Any]]] = {
    "gpt2": _gpt2,
    "llama": _llama,
    "mistral": _mistral,
    "qwen2": _qwen2,
    "bert": _bert,
}
