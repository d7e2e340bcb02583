"""A table of times that anybody can write: one row a repeat, columns by name in any order.

    op,dtype,shape,ranks,bytes,time_us
    gemm,bf16,4096x4096x1024,,,58.1                         m x n x k
    attention_forward,bf16,8x16x16x2048x2048x64x1,,,210     batch, heads, kv_heads, seq_q, seq_kv, head_dim, causal
    layernorm,bf16,8388608,,33554432,21.4                   elements; bytes: what the kernel reads and writes
    all_reduce,,,8,1048576,41.0                             ranks of one node; bytes of the whole tensor

A further column `nodes` says over how many of them the ranks of a row are dealt evenly; empty: they share one. Every
other kernel is told by its elements and bytes. Rows that say the same are repeats of one point. Lines that begin with #
are comments.
"""

from __future__ import annotations

import csv

from calibration.imports.entries import COLLECTIVE_OPS, KERNEL_OPS, Entries, refusal
from simulator.costs import measured
from simulator.units import DTYPE_BYTES

COLUMNS = ("op", "dtype", "shape", "ranks", "bytes", "time_us")
NODES = "nodes"
NS_PER_US = 1000.0


def read(path: str, text: str) -> Entries:
    """The rows of a table. Raises ScenarioError with the line of a row that cannot be read."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip() and line[0] != "#"]
    if not lines:
        raise refusal(path, None, f"is empty; its first line is {','.join(COLUMNS)}")
    header = [name.strip() for name in lines[0][1].split(",")]
    unknown = [name for name in header if name not in (*COLUMNS, NODES)]
    if unknown or not {"op", "time_us"} <= set(header):
        raise refusal(path, lines[0][0], f"the first line names the columns {', '.join(COLUMNS)}, not {lines[0][1]!r}")
    entries = Entries()
    for number, line in lines[1:]:
        (words,) = csv.reader([line])
        if len(words) != len(header):
            raise refusal(path, number, f"{len(words)} columns where the header has {len(header)}")
        _add(entries, path, number, dict(zip(header, (word.strip() for word in words), strict=True)))
    if not entries:
        raise refusal(path, None, "has no rows below its header")
    return entries


def _add(entries: Entries, path: str, number: int, row: dict[str, str]) -> None:
    op, ns = row["op"], NS_PER_US * _positive(path, number, row, "time_us", float)
    if op in COLLECTIVE_OPS:
        ranks, size = (_positive(path, number, row, name, int) for name in ("ranks", "bytes"))
        if ranks < 2:
            raise refusal(path, number, "a group has two ranks or more")
        nodes = _positive(path, number, row, NODES, int) if row.get(NODES) else 1
        if ranks % nodes:
            raise refusal(path, number, f"{ranks} ranks do not lie evenly on {nodes} nodes")
        entries.add_collective(op, ranks, size, ns, nodes)
    elif op in KERNEL_OPS:
        dtype = row.get("dtype", "")
        if dtype not in DTYPE_BYTES:
            raise refusal(path, number, f"{dtype!r} is not a dtype; use one of {', '.join(DTYPE_BYTES)}")
        entries.add_kernel(op, dtype, _shape(path, number, row), ns)
    else:
        raise refusal(path, number, f"{op!r} is not an op; use one of {', '.join((*KERNEL_OPS, *COLLECTIVE_OPS))}")


def _shape(path: str, number: int, row: dict[str, str]) -> tuple[int, ...]:
    axes = measured.axes(row["op"])
    words = row.get("shape", "").split("x")
    if axes == measured.MEMORY_AXES:
        words.append(str(_positive(path, number, row, "bytes", int)))
    sizes = [int(word) if word.isdigit() else -1 for word in words]
    may_be_zero = [axis == "causal" for axis in axes]
    if len(sizes) != len(axes) or any(size < (not zero) for size, zero in zip(sizes, may_be_zero, strict=True)):
        form = "elements" if axes == measured.MEMORY_AXES else " x ".join(axes)
        raise refusal(path, number, f"{row.get('shape', '')!r} is not the shape of {row['op']}; it is {form}")
    return tuple(sizes)


def _positive(path: str, number: int, row: dict[str, str], name: str, kind):
    word = row.get(name, "")
    try:
        value = kind(word)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise refusal(path, number, f"{name} is {word!r}, not a positive number")
    return value
