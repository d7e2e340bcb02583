"""Scenarios of one layer, declared here, whose units are measured by every calibration.

What single kernels leave out of a unit (reshapes, dispatch, autograd) is known from them for units of other sizes too.
No study tests these plans.
"""

from __future__ import annotations

from simulator.scenario.loader import scenario_from

ITEMS = 2000
Sizes = tuple[tuple[int, int, int], ...]
SIZES: dict[str, Sizes] = {
    "cpu": ((64, 16, 32), (128, 16, 64), (256, 32, 64)),
    "cuda": ((256, 32, 512), (1024, 16, 1024), (4096, 4, 2048)),
}
"""(width, samples, positions) of a microbatch, by device."""

OPTIMIZERS = ("sgd", "adagrad", "lamb")
"""Of weights, beside Adam: an update runs its own kernels, so that none of them is another's times a factor."""

COMPRESSIONS = ({"method": "bf16"}, {"method": "topk"}, {"method": "powersgd"}, {"method": "int8"})
SPARSE_TABLES = ({}, {"optimizer": "rowwise_adagrad"}, {"optimizer": "sgd"}, {"optimizer": "adagrad"},
                 {"ids": {"kind": "uniform"}})  # fmt: skip
"""What sets the table of a sparse head apart from one with Adam and Zipf ids."""

SPARSE_HEAD = {"kind": "sampled_softmax", "table": "item", "negatives": 32}
DENSE_HEAD = {"kind": "full_softmax", "table": "item", "tied": True}


def scenarios(dtype: str, ranks: int, sizes: Sizes = SIZES["cpu"]) -> list:
    """Scenarios of `ranks` replicas on this machine, most telling first."""
    found = [_scenario("sasrec", *size, dtype, ranks) for size in sizes]
    found += [_scenario(block, *size, dtype, ranks) for size in sizes[::2] for block in ("hstu", "llama")]
    found += [_scenario("sasrec", *sizes[1], dtype, ranks, head=SPARSE_HEAD, table=table) for table in SPARSE_TABLES]
    found += [_scenario("sasrec", *size, dtype, ranks, optimizer=one) for one in OPTIMIZERS for size in sizes[::2]]
    if ranks > 1:
        found.append(_scenario("sasrec", *sizes[1], dtype, ranks, tensor=ranks))
        found += [_scenario("sasrec", *sizes[1], dtype, ranks, compression=one) for one in COMPRESSIONS]
    return found


def _scenario(
    block: str, hidden: int, samples: int, seq: int, dtype: str, ranks: int, *, head: dict | None = None,
    tensor: int = 1, compression: dict | None = None, table: dict | None = None, optimizer: str = "adam",
):  # fmt: skip
    ffn = {"hstu": {"ffn": 0}, "sasrec": {"ffn": hidden}}.get(block, {"ffn": 2 * hidden})
    plan = {"microbatch": samples, "global_batch": samples * (ranks // tensor), "tensor": tensor}
    trunk = {"block": block, "layers": 1, "hidden": hidden, "heads": 4, "vocab": 0, "seq": seq, "causal": True} | ffn
    stated = {"name": "item", "rows": ITEMS, "dim": hidden, "pooling": "none", "optimizer": "adam", "dtype": "fp32",
              "ids": {"kind": "zipf", "alpha": 1.05}} | (table or {})  # fmt: skip
    return scenario_from({
        "schema_version": 1,
        "name": f"one-layer-{block}-{hidden}",
        "model": {"trunk": trunk, "tables": [stated], "head": head or DENSE_HEAD},
        "dtype": dtype,
        "optimizer": optimizer,
        "cluster": {"preset": "cpu_host", "gpus_per_node": ranks},
        "plan": plan | ({"compression": compression} if compression else {}),
    })  # fmt: skip
