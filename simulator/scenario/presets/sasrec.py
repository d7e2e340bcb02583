"""SASRec: causal self-attention over item histories."""

from __future__ import annotations

from typing import Any

MAX_ITEM_ID = 131_262
"""MovieLens-20M's largest movie id; 26,744 of the ids occur."""


def ml20m_items(dim: int) -> dict[str, Any]:
    """The item table of MovieLens-20M: a row for each id, and one for padding."""
    return {"name": "item", "rows": MAX_ITEM_ID + 1, "dim": dim, "pooling": "none", "optimizer": "adam",
            "dtype": "fp32"}  # fmt: skip


def sasrec_ml20m() -> dict[str, Any]:
    """SASRec on MovieLens-20M: 4 blocks of width 256, 4 heads, 200 items a sample, sampled softmax with 128 negatives.

    facebookresearch/generative-recommenders, configs/ml-20m/sasrec-sampled-softmax-n128-final.gin (blocks, heads, MLP
    256, item_embedding_dim 256, num_negatives 128, max_sequence_length 200); the table has a row for every id up to the
    largest and one for padding, as its LocalEmbeddingModule. The block is Kang and McAuley's, arXiv 1808.09781.
    Not modelled: the 11 output positions that its trainer pads each sample with.
    """
    return {
        "trunk": {
            "block": "sasrec",
            "layers": 4,
            "hidden": 256,
            "heads": 4,
            "ffn": 256,
            "vocab": 0,
            "seq": 200,
            "causal": True,
        },
        "tables": [ml20m_items(dim=256)],
        "head": {"kind": "sampled_softmax", "table": "item", "negatives": 128},
    }
