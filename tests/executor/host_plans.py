"""Plans whose tables are in host memory, some rows of them cached on the device (`plans.py`), by number of ranks: every
kind of sharding, with one vector for each id and pooled; a cache of some rows, of one, of none."""

from __future__ import annotations

from table_plans import CUT, OPTIMIZERS

ON_HOST = tuple(
    f"model.tables.{place}.{key}"
    for place, fraction in enumerate((0.3, 0.1, 0.0))
    for key in ("placement=host", f"cache_fraction={fraction}")
)
ITEM_ON_HOST = ON_HOST[:2]
WHOLE_ROWS = {"item": "row_wise", "tags": "table_wise", "shops": "data_parallel"}
MIXED_ROWS = {"user": "row_wise", "tags": "table_wise", "shops": "column_wise"}
BY_NODE = {"item": "column_wise", "tags": "table_row_wise", "shops": "grid"}
COPIED = {"item": "grid", "tags": "data_parallel", "shops": "row_wise"}


def hosted(kinds, *sets, **keys):
    return ("hstu_pooled", {**keys, "embedding_sharding": kinds, **CUT, "sets": (*ON_HOST, *sets)})


HOST_PLANS = {
    2: [
        hosted(WHOLE_ROWS, *OPTIMIZERS, data=2),
        hosted(BY_NODE, *OPTIMIZERS, data=2, nodes=2),
        hosted(COPIED, data=2, microbatch=4, embedding_fused_optimizer=True),
        hosted("auto", data=2, zero=1),
        hosted("row_wise", *OPTIMIZERS, pipeline=2),
        (
            "dlrm_dot",
            {"data": 2, "bottom_mlp": "one_rank", "zero": 1, "embedding_sharding": MIXED_ROWS, **CUT, "sets": ON_HOST},
        ),
        ("hstu_sampled", {"data": 2, "embedding_dedup": True, "sets": ITEM_ON_HOST}),
        ("sasrec_binary", {"tensor": 2, "sequence_parallel": True, "sets": ITEM_ON_HOST}),
        ("hstu", {"context": 2, "embedding_dedup": True, "sets": (*ITEM_ON_HOST, "model.tables.0.optimizer=adam")}),
    ],
    4: [
        hosted(WHOLE_ROWS, *OPTIMIZERS, data=4),
        hosted(BY_NODE, *OPTIMIZERS, data=4, nodes=2),
        hosted(COPIED, *OPTIMIZERS, data=2, pipeline=2),
    ],
    8: [
        hosted(WHOLE_ROWS, *OPTIMIZERS, data=8, microbatch=1),
        hosted(BY_NODE, *OPTIMIZERS, data=8, nodes=2, microbatch=1),
    ],
}
