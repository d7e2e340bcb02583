"""Small scenarios that the tests of the road start from, and `answer`, which simulates each variant once a process."""

from __future__ import annotations

from copy import deepcopy
from functools import cache

from simulator import scenario_from, simulate
from simulator.simulation import Result

GPT = {
    "schema_version": 1,
    "name": "gpt",
    "model": {"trunk": {"block": "gpt", "layers": 4, "hidden": 1024, "heads": 16, "vocab": 32000, "seq": 512}},
    "cluster": {"preset": "dgx_a100", "nodes": 1},
    "plan": {"tensor": 2, "microbatch": 1, "global_batch": 16},
}
LLAMA = {
    "schema_version": 1,
    "name": "llama",
    "model": {
        "trunk": {"block": "llama", "layers": 4, "hidden": 1024, "heads": 16, "kv_heads": 4, "vocab": 32000, "seq": 512}
    },
    "cluster": {"preset": "dgx_h100", "nodes": 2},
    "plan": {"tensor": 4, "pipeline": 2, "data": 2, "sequence_parallel": True, "microbatch": 1, "global_batch": 8},
}
HSTU = {
    "schema_version": 1,
    "name": "hstu",
    "model": {
        "trunk": {"block": "hstu", "layers": 2, "hidden": 512, "heads": 4, "seq": 1024},
        "tables": [
            {"name": "item", "rows": 10**7, "dim": 128, "ids": {"kind": "zipf", "alpha": 1.05}},
            {"name": "user", "rows": 10**6, "dim": 128, "lookups_per_sample": 1},
        ],
        "head": {"kind": "binary"},
        "dense": {"top": [256, 1]},
    },
    "cluster": {"preset": "dgx_h100", "nodes": 1},
    "plan": {"microbatch": 8, "global_batch": 64},
}
SASREC = {
    "schema_version": 1,
    "name": "sasrec",
    "model": {
        "trunk": {"block": "sasrec", "layers": 2, "hidden": 64, "heads": 2, "seq": 200},
        "tables": [{"name": "item", "rows": 27000, "dim": 64, "ids": {"kind": "zipf"}}],
        "head": {"kind": "binary", "table": "item"},
    },
    "cluster": {"preset": "dgx_a100", "gpus_per_node": 4},
    "plan": {"microbatch": 128, "global_batch": 512},
}
BERT = {
    "schema_version": 1,
    "name": "bert",
    "model": {
        "trunk": {"block": "bert", "layers": 2, "hidden": 256, "heads": 4, "seq": 200},
        "tables": [{"name": "item", "rows": 50000, "dim": 256}],
        "head": {"kind": "full_softmax", "table": "item"},
    },
    "cluster": {"preset": "dgx_a100", "nodes": 2},
    "plan": {"microbatch": 16, "global_batch": 256},
}
CPU = {
    "schema_version": 1,
    "name": "cpu",
    "model": {"trunk": {"block": "gpt", "layers": 2, "hidden": 128, "heads": 4, "vocab": 1000, "seq": 64}},
    "dtype": "fp32",
    "cluster": {"preset": "cpu_host", "gpus_per_node": 2},
    "plan": {"data": 2, "microbatch": 2, "global_batch": 8},
}
SINGLE = {
    "schema_version": 1,
    "name": "single",
    "model": {"trunk": {"block": "llama", "layers": 2, "hidden": 512, "heads": 8, "vocab": 8000, "seq": 256}},
    "cluster": {"preset": "single_gpu"},
    "plan": {"microbatch": 2, "global_batch": 4},
}
DLRM = {
    "schema_version": 1,
    "name": "dlrm",
    "model": {
        "trunk": {"block": "none"},
        "tables": [
            {"name": f"c{place}", "rows": 10 ** (3 + place % 4), "dim": 64, "lookups_per_sample": 1 + place,
             "pooling": "sum", "ids": {"kind": "zipf", "alpha": 1.05}}
            for place in range(8)
        ],
        "dense": {"bottom": [256, 64], "top": [512, 256, 1], "interaction": "dot"},
    },
    "software": {"stack": "torch"},
    "cluster": {"preset": "dgx_a100", "gpus_per_node": 4},
    "plan": {"microbatch": 512, "global_batch": 2048, "embedding_sharding": "table_wise"},
}  # fmt: skip
BASES = {base["name"]: base for base in (GPT, LLAMA, HSTU, SASREC, BERT, CPU, SINGLE, DLRM)}


def scenario(base: str, *sets: str):
    """The scenario of a base with `--set` lines."""
    return scenario_from(deepcopy(BASES[base]), set=sets)


@cache
def answer(base: str, *sets: str) -> Result:
    """Its simulation."""
    return simulate(scenario(base, *sets))


def step_ns(base: str, *sets: str) -> int:
    """Its step."""
    return answer(base, *sets).timeline.step_ns
