"""The kinds of time: what an op does, in the words of the breakdown.

One table, read by the graph (each op has a kind), the metrics (labels), the traces (colours) and the reports.
"""

from __future__ import annotations

COMPUTE, RECOMPUTE, COMPRESSION, OPTIMIZER = "compute", "recompute", "compression", "optimizer"
TENSOR, CONTEXT, EMBEDDING = "tensor_comm", "context_comm", "embedding_comm"
PIPELINE, DATA = "pipeline_comm", "data_comm"
HOST = "other"

KINDS: tuple[str, ...] = (
    COMPUTE, RECOMPUTE, COMPRESSION, OPTIMIZER, TENSOR, CONTEXT, EMBEDDING, PIPELINE, DATA, HOST,
)  # fmt: skip
"""Code of a kind = its place here. Order is the order of the labels: whoever comes first names a shared nanosecond."""

CODE = {kind: code for code, kind in enumerate(KINDS)}
COMPUTE_KINDS = (COMPUTE, RECOMPUTE, COMPRESSION, OPTIMIZER)
COMM_KINDS = (TENSOR, CONTEXT, EMBEDDING, PIPELINE, DATA)

BREAKDOWN: tuple[str, ...] = (
    COMPUTE, RECOMPUTE, TENSOR, CONTEXT, PIPELINE, DATA, EMBEDDING, COMPRESSION, OPTIMIZER,
    "straggler_wait", "bubble", HOST,
)  # fmt: skip
"""The labels of the breakdown, in the order they are printed."""
