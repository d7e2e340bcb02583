"""Keys of the embedding tables: rows for `test_knobs.py`.

A row: base, key, setting of the first, of the second, what is looked at (a function of `knobs.py` and what it is
asked for), how the first compares with the second, settings of both.
"""

from __future__ import annotations

BAGS = "model.tables.1.lookups_per_sample=20"
POOLED = BAGS + "; model.tables.1.pooling=sum"
TWO = "cluster.nodes=2; plan.global_batch=128"

TABLE_ROWS = [
    ("hstu", "plan.embedding_sharding", "auto", "table_wise", "step", "<", ""),
    ("hstu", "plan.embedding_sharding", "auto", "table_wise", "step", "<", f"{TWO}; {POOLED}"),
    ("hstu", "plan.embedding_sharding", "{item: table_wise}", "auto", "sent exchange vectors", ">", ""),
    ("hstu", "plan.embedding_sharding", "column_wise", "table_wise", "sent exchange vectors", "<", ""),
    ("hstu", "plan.embedding_sharding", "column_wise", "row_wise", "sent exchange ids", ">", ""),
    ("hstu", "plan.embedding_sharding", "column_wise", "table_wise", "memory embeddings", "<", ""),
    ("hstu", "plan.embedding_sharding", "column_wise", "table_wise", "step", "<", ""),
    ("hstu", "plan.embedding_sharding", "table_row_wise", "row_wise", "timeline", "=", ""),  # one node
    ("hstu", "plan.embedding_sharding", "table_row_wise", "row_wise", "memory embeddings", ">", TWO),
    ("hstu", "plan.embedding_sharding", "table_row_wise", "table_wise", "sent exchange vectors", "<", TWO),
    ("hstu", "plan.embedding_sharding", "grid", "table_row_wise", "sent exchange vectors", "<", TWO),
    ("hstu", "plan.embedding_sharding", "grid", "table_row_wise", "memory embeddings", "<", TWO),
    ("hstu", "plan.embedding_sharding", "table_row_wise", "row_wise", "launches reduce node vectors", ">",
     f"{TWO}; {POOLED}"),
    ("hstu", "plan.embedding_columns", "64", "32", "timeline", "=", ""),  # rows are dealt, not columns
    ("hstu", "plan.embedding_columns", "64", "16", "sent exchange vectors", ">",
     "plan.embedding_sharding=column_wise"),
    ("hstu", "plan.embedding_columns", "64", "16", "memory embeddings", ">", "plan.embedding_sharding=column_wise"),
    ("hstu", "model.tables.1.pooling", "sum", "none", "sent exchange vectors", "<", BAGS),
    ("hstu", "model.tables.1.pooling", "sum", "none", "launches reduce vectors", ">", BAGS),
    ("hstu", "model.tables.1.pooling", "sum", "none", "sent exchange ids", "=", BAGS),
    ("hstu", "model.tables.1.pooling", "sum", "none", "launches exchange vectors", "=",
     f"{BAGS}; plan.embedding_sharding=table_wise"),
    ("hstu", "model.tables.1.pooling", "mean", "sum", "timeline", "=", BAGS),
    ("hstu", "plan.tensor", "2", "1", "launches gather vectors", ">", POOLED),
    ("hstu", "model.head", "{kind: sampled_softmax, table: item, negatives: 7}", "{kind: binary}", "sent send", ">",
     "plan.pipeline=2"),
    ("hstu", "plan.tensor", "2", "1", "sent exchange ids", "=", POOLED),  # as many ids and ranks
    ("hstu", "plan.sequence_parallel", "true", "false", "launches scatter gradients", ">", f"plan.tensor=2; {POOLED}"),
    ("hstu", "plan.sequence_parallel", "true", "false", "launches gather vectors", "=", f"plan.tensor=2; {POOLED}"),
    ("hstu", "plan.sequence_parallel", "true", "false", "sent gather vectors", "<", f"plan.tensor=2; {POOLED}"),
    ("hstu", "plan.context", "2", "1", "launches gather context vectors", ">", POOLED),
    ("hstu", "plan.context", "2", "1", "launches scatter context gradients", ">", POOLED),
    ("hstu", "model.tables.1.lookups_per_sample", "40", "20", "sent reduce vectors", "=", POOLED),
    ("hstu", "model.tables.1.lookups_per_sample", "40", "20", "sent exchange ids", ">", POOLED),
    ("hstu", "model.tables.1.lookups_per_sample", "400", "20", "step", ">", POOLED),
    ("hstu", "plan.embedding_fused_optimizer", "true", "false", "launches table_optimizer", "<", ""),
    ("hstu", "plan.embedding_fused_optimizer", "true", "false", "memory embeddings", "<", ""),
    ("hstu", "plan.embedding_fused_optimizer", "true", "false", "step", "<", ""),
    ("hstu", "plan.embedding_fused_optimizer", "true", "false", "sent exchange gradients", "=", ""),
    ("hstu", "plan.embedding_fused_optimizer", "true", "false", "timeline", "=",
     "plan.embedding_sharding=data_parallel"),  # TorchRec's dense kernel
    ("gpt", "plan.embedding_fused_optimizer", "true", "false", "timeline", "=", ""),  # no tables
    ("hstu", "plan.embedding_dedup", "true", "false", "sent exchange ids", "<", ""),
    ("hstu", "plan.embedding_dedup", "true", "false", "sent exchange vectors", "<", ""),
    ("hstu", "plan.embedding_dedup", "true", "false", "time_of embedding_comm", "<", ""),
    ("hstu", "plan.embedding_dedup", "true", "false", "launches deduplicate", ">", ""),
    ("hstu", "plan.embedding_dedup", "true", "false", "sent reduce vectors", "=", POOLED),
    ("hstu", "plan.embedding_dedup", "true", "false", "timeline", "=", "plan.embedding_sharding=data_parallel"),
    ("hstu", "plan.embedding_dedup", "true", "false", "timeline", "=", "cluster.gpus_per_node=1"),
    ("hstu", "model.tables.0.ids", "{kind: zipf, alpha: 1.5}", "{kind: uniform}", "sent exchange ids", "<",
     "plan.embedding_dedup=true"),
    *(("hstu", "model.tables.0.placement", "host", "device", look, sign, f"{TWO}; plan.embedding_sharding={kind}")
      for kind in ("data_parallel", "row_wise", "table_wise", "column_wise", "table_row_wise", "grid")
      for look, sign in (("memory embeddings", "<"), ("step", ">"))),
    *(("hstu", "model.tables.0.cache_fraction", "0.5", "0.05", look, sign,
       f"{TWO}; model.tables.0.placement=host; plan.embedding_sharding={kind}")
      for kind in ("table_wise", "column_wise", "table_row_wise", "grid")
      for look, sign in (("memory embeddings", ">"), ("step", "<"))),
]  # fmt: skip
