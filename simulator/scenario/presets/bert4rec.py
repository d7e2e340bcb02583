"""BERT4Rec: bidirectional transformers over item histories."""

from __future__ import annotations

from typing import Any


def bert4rec() -> dict[str, Any]:
    """BERT4Rec on MovieLens-20M: 2 layers of width 64, 2 heads, 200 items a sample, softmax over every item.

    Sun et al. 2019, arXiv 1904.06690, section 4.3 (L = 2, h = 2, d = 64, N = 200), and the authors' configuration
    FeiSun/BERT4Rec bert_train/bert_config_ml-20m_64.json (vocab_size 26,748: 26,744 movies and 4 special tokens,
    intermediate_size 256). The projection shares the item embedding.
    """
    return {
        "trunk": {
            "block": "bert",
            "layers": 2,
            "hidden": 64,
            "heads": 2,
            "ffn": 256,
            "vocab": 26748,
            "tied_embeddings": True,
            "seq": 200,
            "causal": False,
        },
        "head": {"kind": "lm"},
    }
