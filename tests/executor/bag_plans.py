"""Plans of tables that pool beside tensor and context ranks, which share a data rank's bags out (`plans.py`), by number
of ranks: more bags than ranks, and fewer."""

from __future__ import annotations

from host_plans import COPIED, ON_HOST, WHOLE_ROWS
from table_plans import CUT, MIXED, OPTIMIZERS

PACKED = ("data.lengths={kind: zipf, alpha: 1.1, max: 8}", "data.lengths.layout=packed")


def bags(kinds="row_wise", *sets, **keys):
    return ("hstu_pooled", {**keys, "embedding_sharding": kinds, **CUT, "sets": sets})


BAG_PLANS = {
    2: [
        bags(tensor=2),
        bags("table_wise", *OPTIMIZERS, tensor=2, microbatch=1),
        bags(MIXED, *OPTIMIZERS, tensor=2, sequence_parallel=True, nodes=2, microbatch=1),
        bags("column_wise", tensor=2, sequence_parallel=True, embedding_dedup=True),
        bags(WHOLE_ROWS, *OPTIMIZERS, context=2),
        bags("column_wise", context=2, context_kind="all_to_all", microbatch=1),
        bags("row_wise", *PACKED, context=2),
        bags(COPIED, *ON_HOST, tensor=2, microbatch=8, embedding_fused_optimizer=True),
    ],
    4: [
        bags("row_wise", tensor=2, context=2),
        bags(MIXED, *OPTIMIZERS, tensor=2, context=2, sequence_parallel=True, nodes=2, microbatch=4),
        bags(COPIED, *OPTIMIZERS, tensor=4, microbatch=1),
        bags("auto", tensor=2, data=2, sequence_parallel=True, zero=3),
        bags("grid", tensor=2, pipeline=2, schedule="zb_h1", microbatch=1),
    ],
    8: [
        bags(MIXED, *OPTIMIZERS, tensor=2, context=2, data=2, nodes=2, sequence_parallel=True, microbatch=1),
        bags(WHOLE_ROWS, tensor=2, context=2, pipeline=2, recompute="full"),
    ],
}
