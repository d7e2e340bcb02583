"""Plans of embedding tables that the executor's tests run (`plans.py`), by number of ranks: every kind of sharding,
with one vector for each id and pooled, inside one node and over two or more."""

from __future__ import annotations

KINDS = ("data_parallel", "row_wise", "table_wise", "column_wise", "table_row_wise", "grid")
CUT = {"embedding_columns": 4}
MIXED = {"item": "grid", "tags": "table_row_wise", "shops": "column_wise"}
OPTIMIZERS = tuple(f"model.tables.{place}.optimizer={name}" for place, name in enumerate(("adam", "adagrad", "adam")))


def _pooled(kinds, **keys):
    return [("hstu_pooled", {**keys, "embedding_sharding": kind, **CUT}) for kind in kinds]


TABLE_PLANS = {
    2: [
        *_pooled(KINDS, data=2),
        *_pooled(("table_row_wise", "grid"), data=2, nodes=2),
        *_pooled(("column_wise",), data=2, sets=OPTIMIZERS),
        ("hstu_sampled", {"data": 2, "embedding_sharding": "column_wise", **CUT,
                          "sets": ("model.tables.0.optimizer=adam",)}),
        ("hstu", {"tensor": 2, "embedding_sharding": {"item": "column_wise"}, **CUT}),
        ("hstu", {"context": 2, "embedding_sharding": {"item": "column_wise"}, **CUT}),
        ("hstu", {"tensor": 2, "sequence_parallel": True, "embedding_sharding": {"item": "column_wise"}, **CUT}),
        ("hstu_pooled", {"pipeline": 2}),
        ("hstu_pooled", {"pipeline": 2, "schedule": "zb_h1", "microbatch": 1}),
        *_pooled(("column_wise",), data=2, zero=3, microbatch=1),
        *_pooled((MIXED,), data=2, zero=1, recompute="full", bucket_mib=0.002),
        *(("hstu_pooled", {"data": 2, "microbatch": 4, "embedding_fused_optimizer": True, **CUT,
                           "embedding_sharding": kinds, "sets": sets})
          for kinds, sets in (("row_wise", OPTIMIZERS), ("column_wise", ()), ({"tags": "data_parallel"}, OPTIMIZERS))),
        ("hstu_sampled", {"data": 2, "microbatch": 4, "embedding_fused_optimizer": True}),
        ("hstu_sampled", {"data": 2, "embedding_dedup": True}),
        *(("hstu", {"data": 2, "embedding_dedup": True, "embedding_sharding": kind, **CUT})
          for kind in ("row_wise", "table_wise", {"item": "column_wise", "action": "data_parallel"})),
        ("hstu_pooled", {"data": 2, "embedding_dedup": True, "microbatch": 4, "embedding_fused_optimizer": True}),
        ("hstu", {"tensor": 2, "embedding_dedup": True}),
    ],
    4: [
        *_pooled(("data_parallel", "row_wise", "table_wise", "auto"), data=4),
        *_pooled(("column_wise", "table_row_wise", "grid", MIXED), data=4, nodes=2),
        *_pooled(("grid", "table_row_wise"), data=4, nodes=4),
        *_pooled((MIXED,), data=4, nodes=2, microbatch=1, sets=OPTIMIZERS),
        ("hstu_sampled", {"data": 4, "nodes": 2, "embedding_sharding": "table_row_wise"}),
        ("hstu", {"tensor": 2, "data": 2, "nodes": 2, "embedding_sharding": {"item": "grid"}, **CUT}),
        ("hstu_pooled", {"pipeline": 2, "data": 2, "nodes": 2, "embedding_sharding": "column_wise", **CUT}),
        ("hstu_sampled", {"data": 4, "nodes": 2, "embedding_sharding": "grid", "embedding_dedup": True, **CUT,
                          "sets": ("model.tables.0.optimizer=adam",)}),
    ],
    8: [
        *_pooled(("data_parallel", "row_wise", "table_wise", "column_wise"), data=8, microbatch=1),
        *_pooled(("table_row_wise", "grid", MIXED), data=8, nodes=2, microbatch=1),
        *_pooled(("grid",), data=8, nodes=4, microbatch=1),
    ],
}  # fmt: skip
