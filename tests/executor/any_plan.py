"""Plans of 2 and 4 ranks over small models, drawn from the contract's keys without asking whether they go together."""

from __future__ import annotations

from math import prod
from random import Random

BLOCKS = ("gpt", "llama", "bert", "sasrec", "hstu", "hstu")
KINDS = ("auto", "data_parallel", "table_wise", "row_wise", "column_wise", "table_row_wise", "grid")
LENGTHS = tuple({"kind": "zipf", "alpha": 1.1, "max": 8, "layout": layout} for layout in ("packed", "padded", None))
METHODS = (
    {"method": "bf16"}, {"method": "fp16"}, {"method": "int8", "block": 64}, {"method": "onebit"},
    {"method": "topk", "density": 0.1}, {"method": "topk_sampled", "density": 0.2}, {"method": "powersgd", "rank": 2},
    {"method": "randomk", "density": 0.2}, {"method": "randomk", "density": 0.2, "shared_seed": False},
    {"method": "dgc", "density": 0.2}, {"method": "adaptive"},
)  # fmt: skip
PLAN = {
    "context_kind": ("ring", "all_to_all"),
    "sequence_parallel": (True,),
    "recompute": ("selective", "selective_op", "full"),
    "zero": (1, 2, 3),
    "reshard_after_forward": (True, False),
    "shard_group": (2,),
    "bucket_mib": (0.004, 25),
    "aggregation": ({"order": "priority"}, {"sparse": "balanced"}),
    "overlap": ({"grad_reduce": False}, {"param_gather": False}, {"tensor": True}, {"pipeline": False}),
    "partition": ("balanced",),
    "embedding_fused_optimizer": (True,),
    "embedding_dedup": (True,),
    "balancer": ({"kind": "static"}, {"kind": "length"}, {"kind": "static", "placement": "traffic"}),
}  # fmt: skip
REST = {
    "optimizer": ("adam", "adamw", "adagrad", "lamb"),
    "software": ({"attention": "flash"}, {"attention": "unfused"}),
    "dtype": ("bf16", "fp16"),
    "precision": ({"parameters": "fp32"}, {"gradients": "bf16"}, {"reduce": "bf16"}, {"vectors": "bf16"}),
    "seed": (7,),
    "faults": ({"stragglers": [{"rank": 0, "factor": 1.2}]},),
}  # fmt: skip
DEGREES = ("tensor", "pipeline", "context", "data")


def any_plan(seed: int, ranks: int) -> dict:
    """A scenario file of so many ranks; the same for the same seed."""
    rng = Random(f"{ranks}.{seed}")
    model, looks_up = _dlrm(rng) if rng.random() < 0.15 else _stack(rng)
    degrees = dict.fromkeys(DEGREES, 1)
    for _ in range(ranks.bit_length() - 1):
        degrees["data" if model["trunk"]["block"] == "none" else rng.choice(DEGREES)] *= 2
    microbatch = rng.choice((1, 2, 2, 4))
    nodes = 2 if looks_up and rng.random() < 0.3 else 1
    plan = {
        **degrees, "microbatch": microbatch, "global_batch": microbatch * rng.choice((1, 2, 3, 4)) * degrees["data"],
        "schedule": rng.choice(("1f1b", "gpipe", "interleaved_1f1b", "zb_h1", "zb_h2", "zb_v")),
        "embedding_sharding": _sharding(rng, model.get("tables", ())), "embedding_columns": 4,
        **_some(rng, PLAN, 0.15),
    }  # fmt: skip
    if looks_up == "dlrm":
        plan |= {"schedule": "1f1b", "recompute": "none", "bottom_mlp": rng.choice(("replicated", "one_rank"))}
    several = {"interleaved_1f1b": (2, 2, 3), "zb_v": (2,)}
    plan["virtual_stages"] = rng.choice(several.get(plan["schedule"], (1,)))
    if rng.random() < 0.15:
        plan["partition"] = _layers(rng, model["trunk"].get("layers", 0), degrees["pipeline"] * plan["virtual_stages"])
    if plan.get("zero") == 3:
        plan.pop("bucket_mib", None)
    if degrees["data"] * degrees["context"] > 1 and rng.random() < 0.2:
        plan["compression"] = rng.choice(METHODS)
    return {
        "schema_version": 1, "name": f"plan-{ranks}-{seed}", "model": model, "dtype": "fp32", "optimizer": "sgd",
        "cluster": {"preset": "dgx_h100", "nodes": nodes, "gpus_per_node": ranks // nodes} if nodes > 1 else
        {"preset": "cpu_host", "gpus_per_node": ranks},
        "data": {"lengths": rng.choice(LENGTHS)} if looks_up != "dlrm" and rng.random() < 0.3 else {},
        "plan": plan, **_some(rng, REST, 0.15),
    }  # fmt: skip


def on_one_rank(stated: dict) -> dict:
    """The same model and samples on one rank, in one microbatch, without anything that a plan adds."""
    tables = [{**table, "placement": "device", "cache_fraction": None} for table in stated["model"].get("tables", ())]
    alone = {**stated, "model": {**stated["model"], "tables": tables}}
    batch = stated["plan"]["global_batch"]
    alone["plan"] = {"data": 1, "microbatch": batch, "global_batch": batch}
    alone["cluster"] = {"preset": "cpu_host", "gpus_per_node": 1}
    return alone


def _some(rng: Random, choices: dict, share: float) -> dict:
    return {key: rng.choice(values) for key, values in choices.items() if rng.random() < share}


def _layers(rng: Random, layers: int, stages: int) -> list[int] | str:
    """Some layers to each stage, none perhaps to the first and the last."""
    cuts = sorted(rng.randint(0, layers) for _ in range(stages - 1))
    return [last - first for first, last in zip([0, *cuts], [*cuts, layers], strict=True)] or "uniform"


def _sharding(rng: Random, tables) -> object:
    if tables and rng.random() < 0.4:
        return {table["name"]: rng.choice(KINDS[1:]) for table in tables}
    return rng.choice(KINDS)


def _stack(rng: Random) -> tuple[dict, str]:
    block = rng.choice(BLOCKS)
    trunk = {
        "block": block, "layers": rng.choice((1, 2, 4, 4, 6)), "hidden": 16, "heads": rng.choice((2, 4, 4)),
        "vocab": rng.choice((0, 37)) if block in ("hstu", "sasrec") else 37, "seq": rng.choice((8, 8, 8, 7, 16)),
    }  # fmt: skip
    if block == "llama":
        trunk |= {"ffn": 24, "kv_heads": 2}
    if block == "hstu" and rng.random() < 0.5:
        trunk["head_dim"] = 6
    if trunk["vocab"] and rng.random() < 0.2:
        trunk["tied_embeddings"] = False
    if rng.random() < 0.15:
        trunk["causal"] = rng.choice((True, False))
    count = rng.randint(0 if trunk["vocab"] else 1, 3)
    tables = [_table(rng, number) for number in range(count)]
    heads = [{"kind": "binary"}] + [{"kind": "lm"}] * (trunk["vocab"] > 0) * 2
    if tables and tables[0]["pooling"] == "none":
        heads += [{"kind": "full_softmax", "table": "t0", "tied": rng.choice((True, False))},
                  {"kind": "sampled_softmax", "table": "t0", "negatives": 3},
                  {"kind": "binary", "table": "t0"}]  # fmt: skip
    head = rng.choice(heads)
    model = {"trunk": trunk, "tables": tables, "head": head}
    if head == {"kind": "binary"}:
        model["dense"] = {"top": [12, 3]}
    if rng.random() < 0.12:
        model["adapter"] = {"kind": "lora", "rank": 2, "targets": rng.choice((["q", "v"], ["k", "o"], ["q"]))}
    return model, "tables" if tables else ""


def _dlrm(rng: Random) -> tuple[dict, str]:
    tables = [
        _table(rng, number)
        | {"dim": 8, "pooling": rng.choice(("sum", "mean")), "lookups_per_sample": rng.choice((1, 3))}
        for number in range(rng.randint(1, 4))
    ]  # fmt: skip
    dense = {"bottom": [12, 8], "top": [10, 1], "interaction": rng.choice(("dot", "cat", "dcn_v2"))}
    return {"trunk": {"block": "none"}, "tables": tables, "dense": dense, "head": {"kind": "binary"}}, "dlrm"


def _table(rng: Random, number: int) -> dict:
    table = {"name": f"t{number}", "rows": rng.choice((1, 7, 53, 300)), "dim": rng.choice((4, 8, 16)),
             "pooling": "none", "optimizer": rng.choice(("sgd", "adagrad", "adam"))}  # fmt: skip
    if rng.random() < 0.35:
        table |= {"pooling": rng.choice(("sum", "mean")), "lookups_per_sample": rng.choice((1, 5))}
    elif rng.random() < 0.3:
        table["lookups_per_sample"] = rng.choice((1, 3, 8, 11))
    if rng.random() < 0.2:
        table |= {"placement": "host", "cache_fraction": rng.choice((None, 0.3))}
    if rng.random() < 0.3:
        table["ids"] = {"kind": "zipf", "alpha": 1.1}
    if rng.random() < 0.15:
        table["dtype"] = rng.choice(("bf16", "fp16"))
    return table


def degree(stated: dict) -> int:
    """Ranks of a plan."""
    return prod(stated["plan"][key] for key in DEGREES)
