"""GPT-3."""

from __future__ import annotations

from typing import Any


def gpt3_175b() -> dict[str, Any]:
    """GPT-3 175B: 96 layers of width 12288, 96 heads, 2048 positions.

    Brown et al. 2020, arXiv 2005.14165, table 2.1 (layers, width, heads, head size 128, MLP 4 x width, 2048 tokens).
    Its 50,257 byte pairs are padded to 51,200 as in Narayanan et al. 2021, arXiv 2104.04473, section 5.1, so that the
    projection is tied to the embedding and divides over 8 tensor ranks.
    """
    return {
        "trunk": {
            "block": "gpt",
            "layers": 96,
            "hidden": 12288,
            "heads": 96,
            "vocab": 51200,
            "tied_embeddings": True,
            "seq": 2048,
            "causal": True,
        },
        "head": {"kind": "lm"},
    }
