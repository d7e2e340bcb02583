"""Two hundred set-ups: recommenders and language models of 3 million to 1 billion parameters, on 20 networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from simulator import scenario_from

CANDIDATES = ("bf16", "int8", "onebit", "topk", "randomk", "powersgd")
"""Each at its defaults: 1 % density, rank 4, error feedback (none for the cast); reductions are fp32."""

ITEM = {"name": "item", "rows": 1_000_000, "dim": 128, "ids": {"kind": "zipf", "alpha": 1.05}}
MODELS: dict[str, dict[str, Any]] = {
    "SASRec, 3M": {"trunk": {"block": "sasrec", "layers": 2, "hidden": 512, "heads": 4, "seq": 200}, "tables": [ITEM],
                   "head": {"kind": "binary", "table": "item"}},
    # the trunk of NVIDIA/recsys-examples' HSTU ranking benchmark, at a quarter of its length
    "HSTU, 42M": {"trunk": {"block": "hstu", "layers": 8, "hidden": 1024, "heads": 4, "head_dim": 256, "seq": 1024},
                  "tables": [ITEM], "head": {"kind": "binary"}},
    "GPT, 0.1B": {"trunk": {"block": "gpt", "layers": 12, "hidden": 768, "heads": 12, "vocab": 50257, "seq": 512}},
    "BERT, 0.3B": {"trunk": {"block": "bert", "layers": 24, "hidden": 1024, "heads": 16, "vocab": 30522, "seq": 128}},
    "Llama, 1B": {"trunk": {"block": "llama", "layers": 16, "hidden": 2048, "heads": 32, "kv_heads": 8, "ffn": 8192,
                              "vocab": 32768, "tied_embeddings": True, "seq": 1024}},
}  # fmt: skip
BATCHES = (1, 4)
"""Samples a GPU, times the model's own below: few make the gradient large beside the computation."""
SAMPLES = {"SASRec, 3M": 64, "HSTU, 42M": 4, "GPT, 0.1B": 4, "BERT, 0.3B": 8, "Llama, 1B": 1}

FAST: tuple[tuple[str, int, float | None], ...] = (
    ("dgx_a100", 1, None), ("dgx_h100", 1, None),
    *product(("dgx_a100",), (2, 4, 8), (1600.0,)), *product(("dgx_h100",), (2, 4, 8), (3200.0,)),
)  # fmt: skip
SLOW: tuple[tuple[str, int, float | None], ...] = tuple(
    ("dgx_a100", nodes, gbit) for nodes in (2, 8) for gbit in (400.0, 100.0, 25.0, 10.0, 1.0, 0.1)
)
"""(preset, nodes, Gb/s of a node's NICs together). Fast: NVLink alone, or 200 and 400 Gb/s a GPU."""


@dataclass(frozen=True)
class SetUp:
    """One model on one network."""

    model: str
    batch: int
    preset: str
    nodes: int
    gbit_per_s: float | None

    @property
    def fast(self) -> bool:
        return (self.preset, self.nodes, self.gbit_per_s) in FAST

    @property
    def network(self) -> str:
        links = "NVLink" if self.nodes == 1 else f"{self.gbit_per_s:g} Gb/s a node"
        return f"{8 * self.nodes} {self.preset.removeprefix('dgx_').upper()}, {links}"

    def scenario(self, method: str):
        """With one method for all buckets, or adaptive."""
        samples = self.batch * SAMPLES[self.model]
        cluster = {"preset": self.preset, "nodes": self.nodes}
        keys = {"candidates": list(CANDIDATES)} if method == "adaptive" else {}
        return scenario_from({
            "schema_version": 1,
            "name": f"{self.model}, {self.network}, {samples} samples a GPU, {method}",
            "model": MODELS[self.model],
            "cluster": cluster | ({"nic_gbit_per_s": self.gbit_per_s} if self.gbit_per_s else {}),
            "plan": {"microbatch": samples, "global_batch": samples * 8 * self.nodes,
                     "compression": {"method": method, **keys}},
        })  # fmt: skip


def set_ups() -> Iterator[SetUp]:
    """All of them, models first."""
    for model, batch, network in product(MODELS, BATCHES, (*FAST, *SLOW)):
        yield SetUp(model, batch, *network)
