"""Scenarios that a curious user could write: keys of the contract drawn without asking whether they go together."""

from __future__ import annotations

from random import Random

PRESETS = (
    "gpt3_175b", "llama3_8b", "llama3_70b", "hstu_nv_ranking", "hstu_ml20m_large", "dlrm_v2_mlperf",
    "dlrm_dot_criteo", "dlrmv3_mlperf", "sasrec_ml20m", "bert4rec", "tallrec_llama7b_lora",
)  # fmt: skip
CLUSTERS = (
    "dgx_a100", "dgx_h100", "p4d", "p5", "dgx_h200", "dgx_b200", "dgx2_v100", "fat_tree", "rail_optimized",
)  # fmt: skip
METHODS = (
    "fp16", "bf16", "int8", "onebit", "topk", "topk_sampled", "randomk", "dgc", "powersgd", "adaptive",
)  # fmt: skip
HEADS = (
    {"kind": "lm"}, {"kind": "binary"}, {"kind": "full_softmax", "table": "t0"},
    {"kind": "sampled_softmax", "table": "t0", "negatives": 64},
)  # fmt: skip
PLAN = {
    "context_kind": ("ring", "all_to_all"),
    "sequence_parallel": (True, False),
    "schedule": ("gpipe", "1f1b", "interleaved_1f1b", "zb_h1", "zb_h2", "zb_v"),
    "recompute": ("none", "selective", "selective_op", "full"),
    "zero": (0, 1, 2, 3),
    "shard_group": (None, 2),
    "reshard_after_forward": (True, False),
    "bucket_mib": (0.5, 25),
    "aggregation": (
        {"algorithm": "ring"}, {"algorithm": "tree"}, {"algorithm": "hierarchical"}, {"algorithm": "in_switch"},
        {"order": "priority"}, {"sparse": "balanced"},
    ),
    "overlap": ({"grad_reduce": False}, {"param_gather": False}, {"tensor": True}, {"pipeline": False}),
    "partition": ("uniform", "balanced"),
    "embedding_sharding": (
        "auto", "data_parallel", "table_wise", "row_wise", "column_wise", "table_row_wise", "grid",
    ),
    "embedding_fused_optimizer": (True, False),
    "embedding_dedup": (True, False),
    "balancer": ({"kind": "static"}, {"kind": "adaptive"}, {"kind": "length"}),
}  # fmt: skip
REST = {
    "dtype": ("bf16", "fp16", "fp32", "tf32"),
    "optimizer": ("adam", "adamw", "sgd", "lamb", "adagrad"),
    "network": ("auto", "isolated", "fair_share"),
    "software": ({"attention": "flash"}, {"attention": "unfused"}, {"compile": True}),
    "precision": ({"parameters": "fp32"}, {"gradients": "bf16"}, {"reduce": "bf16"}),
    "data": (
        {"lengths": {"kind": "zipf", "alpha": 1.2, "max": 64}},
        {"lengths": {"kind": "zipf", "alpha": 1.2, "max": 64, "layout": "packed"}},
        {"lengths": {"kind": "dataset", "name": "ml-100k"}},
    ),
    "faults": ({"stragglers": [{"rank": 0, "factor": 1.5}]},),
    "steps": (1, 3),
    "seed": (0, 7),
}  # fmt: skip


def any_scenario(seed: int) -> dict:
    """One of them; the same for the same seed."""
    rng = Random(seed)
    model, recommends = _model(rng)
    tensor, pipeline, context, data = (rng.choice((1, 1, 1, 2, 4)) for _ in range(4))
    if recommends:
        tensor = pipeline = context = 1
    ranks = tensor * pipeline * context * data
    microbatch, microbatches = rng.choice((1, 2, 4)), rng.choice((1, 2, 4, 8))
    plan = {
        "tensor": tensor, "pipeline": pipeline, "context": context, "data": data, "microbatch": microbatch,
        "global_batch": microbatch * microbatches * data, **_some(rng, PLAN, 0.2),
    }  # fmt: skip
    if plan.get("schedule") in ("interleaved_1f1b", "zb_v"):
        plan["virtual_stages"] = 2
    if data * context > 1 and rng.random() < 0.3:
        plan["compression"] = {"method": rng.choice(METHODS)}
    return {
        "schema_version": 1, "name": f"any-{seed}", "model": model, "cluster": _cluster(rng, ranks), "plan": plan,
        **_some(rng, REST, 0.2),
    }  # fmt: skip


def _some(rng: Random, choices: dict, share: float) -> dict:
    return {key: rng.choice(values) for key, values in choices.items() if rng.random() < share}


def _model(rng: Random) -> tuple[dict, bool]:
    """(a model, whether it is a DLRM)."""
    if rng.random() < 0.4:
        preset = rng.choice(PRESETS)
        return {"preset": preset}, preset.startswith("dlrm_")
    if rng.random() < 0.2:
        pooling = rng.choice(("sum", "mean"))
        dense = {"bottom": [64, 32], "top": [64, 1], "interaction": rng.choice(("dot", "cat", "dcn_v2"))}
        tables = [{**_table(rng, number, 32), "pooling": pooling, "lookups_per_sample": 3} for number in range(3)]
        return {"trunk": {"block": "none"}, "dense": dense, "tables": tables}, True
    hidden = rng.choice((64, 256, 1024))
    trunk = {
        "block": rng.choice(("gpt", "llama", "hstu", "sasrec", "bert")), "layers": rng.choice((4, 8, 8, 7)),
        "hidden": hidden, "heads": 4, "vocab": rng.choice((0, 1000, 50000)), "seq": rng.choice((64, 128, 2048)),
    }  # fmt: skip
    tables = [_table(rng, number, hidden) for number in range(rng.randint(0, 3))]
    model = {"trunk": trunk, "tables": tables}
    if rng.random() < 0.5:
        model["head"] = rng.choice(HEADS)
    if rng.random() < 0.1:
        model["adapter"] = {"kind": "lora", "rank": 8, "targets": ["q", "v"]}
    return model, False


def _table(rng: Random, number: int, dim: int) -> dict:
    table = {"name": f"t{number}", "rows": rng.choice((1, 10, 1000, 10**7)), "dim": dim, "pooling": "none"}
    if rng.random() < 0.3:
        table |= {"pooling": rng.choice(("sum", "mean")), "lookups_per_sample": rng.choice((1, 20))}
    if rng.random() < 0.2:
        table |= {"placement": "host", "cache_fraction": rng.choice((0.01, 0.3))}
    if rng.random() < 0.2:
        table["ids"] = {"kind": "uniform"}
    return table | {"optimizer": rng.choice(("rowwise_adagrad", "sgd", "adam", "adagrad"))}


def _cluster(rng: Random, ranks: int) -> dict:
    if ranks % 2 == 0 and ranks <= 16 and rng.random() < 0.1:
        halves = [{"preset": preset, "nodes": 1, "gpus_per_node": ranks // 2} for preset in ("dgx_h100", "dgx_a100")]
        return {"groups": halves}
    per_node = min(8, ranks)
    found = {"preset": rng.choice(CLUSTERS), "nodes": ranks // per_node, "gpus_per_node": per_node}
    if rng.random() < 0.3:
        found["nic_gbit_per_s"] = rng.choice((1, 100, 3200))
    return found
