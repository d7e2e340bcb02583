"""Llama 3: The Llama 3 Herd of Models, arXiv 2407.21783, table 3; 8,192 positions in the initial pre-training.

The vocabulary of 128,256 rows and the untied projection are those of the released configurations (128,000 tokens of
table 3 and 256 reserved ones).
"""

from __future__ import annotations

from typing import Any

VOCAB = 128_000 + 256
SEQ = 8192


def llama3_8b() -> dict[str, Any]:
    """Llama 3 8B: 32 layers of width 4096, 32 heads over 8 key-value heads, MLP 14336 (arXiv 2407.21783, table 3)."""
    return _llama3(layers=32, hidden=4096, heads=32, ffn=14336)


def llama3_70b() -> dict[str, Any]:
    """Llama 3 70B: 80 layers of width 8192, 64 heads over 8 key-value heads, MLP 28672 (arXiv 2407.21783, table 3)."""
    return _llama3(layers=80, hidden=8192, heads=64, ffn=28672)


def llama3_405b() -> dict[str, Any]:
    """Llama 3 405B: 126 layers of width 16384, 128 heads over 8 key-value heads, MLP 53248 (arXiv 2407.21783)."""
    return _llama3(layers=126, hidden=16384, heads=128, ffn=53248)


def _llama3(layers: int, hidden: int, heads: int, ffn: int) -> dict[str, Any]:
    return {
        "trunk": {
            "block": "llama",
            "layers": layers,
            "hidden": hidden,
            "heads": heads,
            "kv_heads": 8,
            "ffn": ffn,
            "vocab": VOCAB,
            "tied_embeddings": False,
            "seq": SEQ,
            "causal": True,
        },
        "head": {"kind": "lm"},
    }
