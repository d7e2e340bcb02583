"""The plans that the study compares: four single modes and every hybrid, each with the same freedom to be tuned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator import scenario_from
from simulator.errors import RehearseError

GPUS = 64
GLOBAL_BATCH = 512
MICROBATCHES = (16, 8, 4, 2, 1)
DEGREES = (1, 2, 4, 8, 16, 32, 64)

MODELS: dict[str, dict[str, Any]] = {
    # A decoder over semantic ids (vocab 32768, next-item prediction as in OneRec, arXiv 2506.13695) with the widths of
    # GPT-2 small, Llama 3.2 1B and Llama 2 7B, and a 50M x 128 item table (NVIDIA/recsys-examples, HSTU benchmark).
    "0.1B": {"layers": 12, "hidden": 768, "heads": 12, "ffn": 2048},
    "1B": {"layers": 16, "hidden": 2048, "heads": 32, "kv_heads": 8, "ffn": 8192},
    "7B": {"layers": 32, "hidden": 4096, "heads": 32, "ffn": 11008},
}
NETWORKS: dict[str, dict[str, Any]] = {
    "NVLink + 400 Gb/s a GPU": {"preset": "dgx_h100", "nodes": 8},
    "NVLink + 25 Gb/s a node": {"preset": "dgx_h100", "nodes": 8, "nic_gbit_per_s": 25, "nics_per_node": 1},
}


def scenario(model: str, network: str, plan: dict[str, Any], gpus: int = GPUS):
    """One plan of one model on `gpus` of the cluster's GPUs. Raises RehearseError where it is not legal."""
    cluster = dict(NETWORKS[network], nodes=-(-gpus // 8), gpus_per_node=min(gpus, 8))
    if cluster["gpus_per_node"] < 8:
        cluster["nics_per_node"] = min(cluster.get("nics_per_node", 8), gpus)
    return built(model, MODELS[model], cluster, plan, GLOBAL_BATCH)


def built(model: str, widths: dict[str, Any], cluster: dict[str, Any], plan: dict[str, Any], global_batch: int):
    """The scenario of a decoder of these widths with the item table. Raises RehearseError where it is not legal."""
    trunk = {"block": "llama", "seq": 1024, "vocab": 32768, "tied_embeddings": False, **widths}
    item = {"name": "item", "rows": 50_000_000, "dim": 128, "ids": {"kind": "zipf", "alpha": 1.05}}
    return scenario_from(
        {
            "schema_version": 1,
            "name": f"{model}, {describe(plan)}",
            "model": {"trunk": trunk, "tables": [item], "head": {"kind": "lm"}},
            "cluster": cluster,
            "plan": {"global_batch": global_batch, "embedding_sharding": "row_wise", **plan},
        }
    )


def describe(plan: dict[str, Any]) -> str:
    """A plan in a few words."""
    words = [f"{key} {plan[key]}" for key in ("tensor", "pipeline", "data") if plan.get(key, 1) > 1]
    words += [f"zero {plan['zero']}"] if plan.get("zero") else []
    words += ["recompute"] if plan.get("recompute") == "full" else []
    return ", ".join([*words, f"microbatch {plan['microbatch']}"])


def single_modes(model: str) -> dict[str, dict[str, Any]]:
    """Each mode alone, at its largest legal degree up to GPUS (a power of two: nodes are not used in part)."""
    heads, layers = MODELS[model]["heads"], MODELS[model]["layers"]
    kv_heads = MODELS[model].get("kv_heads", heads)
    tensor = max(degree for degree in DEGREES if heads % degree == 0 and kv_heads % degree == 0)
    pipeline = max(degree for degree in DEGREES if layers % degree == 0)
    return {
        "data only, zero 0": {"data": GPUS},
        "data only, zero 1": {"data": GPUS, "zero": 1},
        "tensor only": {"tensor": tensor, "data": 1, "sequence_parallel": True},
        "pipeline only": {"pipeline": pipeline, "data": 1},
    }


def hybrids(model: str) -> Iterator[dict[str, Any]]:
    """Every product of at least two degrees that fills the cluster; tensor stays inside a node."""
    for tensor in (1, 2, 4, 8):
        for pipeline in (1, 2, 4, 8, 16):
            data = GPUS // (tensor * pipeline)
            if data >= 1 and sum(degree > 1 for degree in (tensor, pipeline, data)) >= 2:
                zero = {"zero": 1} if data > 1 else {}
                yield {"tensor": tensor, "pipeline": pipeline, "data": data, "sequence_parallel": tensor > 1, **zero}


def tunings(model: str, network: str, plan: dict[str, Any]) -> Iterator[Any]:
    """Legal scenarios of a plan: each microbatch size, without and with full recomputation."""
    gpus = plan.get("tensor", 1) * plan.get("pipeline", 1) * plan.get("data", 1)
    for recompute in ("none", "full"):
        for microbatch in MICROBATCHES:
            try:
                yield scenario(model, network, {**plan, "microbatch": microbatch, "recompute": recompute}, gpus)
            except RehearseError:
                continue
