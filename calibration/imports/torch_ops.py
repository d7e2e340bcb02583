"""Operators of torch whose recorded inputs tell a kernel of the cost model: name -> (op, shape).

Positions of arguments follow the operators' schemas in torch 2.13 (a test reads them off torch). An operator that is
not here, or whose inputs were recorded in another form (nested lengths), tells no shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from simulator.units import DTYPE_BYTES

Dims = Sequence[Sequence[int]]
Told = tuple[str, tuple[int, ...]]

DTYPES = {"float": "fp32", "c10::BFloat16": "bf16", "c10::Half": "fp16"}
"""The profiler's word for an input's type -> ours. It does not say whether fp32 products ran as tf32."""


def kernel_of(name: str, dims: Dims, dtype: str, values: Sequence[str]) -> Told | None:
    """(op, the row of its table) of one call; None where it tells none. values: the arguments as the profiler prints
    them."""
    if name not in _READERS:
        return None
    try:
        found = _READERS[name](dims, DTYPE_BYTES[dtype], values)
    except (IndexError, TypeError, ValueError):
        return None
    return found if found and all(size > 0 for size in found[1][:-1]) else None


def is_known(name: str) -> bool:
    """Whether calls of this operator can be read."""
    return name in _READERS


def typed_by(name: str) -> int:
    """Which argument's type is the kernel's."""
    return 1 if name == "aten::addmm" else 0


def _product(first: int) -> Callable:
    def read(dims: Dims, size: int, values: Sequence[str]) -> Told:
        (m, k), (_, n) = dims[first : first + 2]
        return "gemm", (m, n, k)

    return read


def _batched(dims: Dims, size: int, values: Sequence[str]) -> Told:
    (batch, m, k), (_, _, n) = dims[:2]
    return "batched_gemm", (batch, m, n, k)


def _attention(way: str, query: int, causal: int, *, heads_first: bool) -> Callable:
    def read(dims: Dims, size: int, values: Sequence[str]) -> Told | None:
        if values[causal] not in ("True", "False"):
            return None
        asked, known = dims[query], dims[query + 1]
        batch, *middle, width = asked
        _, *other, _ = known
        (heads, seq_q), (kv_heads, seq_kv) = (middle, other) if heads_first else (middle[::-1], other[::-1])
        return f"attention_{way}", (batch, heads, kv_heads, seq_q, seq_kv, width, int(values[causal] == "True"))

    return read


def _passes(op: str, passes: int, *, equal: int = 1) -> Callable:
    """A memory-bound kernel that moves its first input's elements so many times. equal: inputs that are as large."""

    def read(dims: Dims, size: int, values: Sequence[str]) -> Told | None:
        elements = prod(dims[0])
        if not dims[0] or any(prod(one) != elements or not one for one in dims[1:equal]):
            return None
        return op, (elements, passes * elements * size)

    return read


_READERS: dict[str, Callable[[Dims, int, Sequence[str]], Told | None]] = {
    "aten::mm": _product(0),
    "aten::addmm": _product(1),
    "aten::bmm": _batched,
    "aten::_flash_attention_forward": _attention("forward", 0, 8, heads_first=False),
    "aten::_flash_attention_backward": _attention("backward", 1, 11, heads_first=False),
    "aten::_scaled_dot_product_flash_attention_for_cpu": _attention("forward", 0, 4, heads_first=True),
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward": _attention("backward", 1, 7, heads_first=True),
    "aten::native_layer_norm": _passes("layernorm", 2),
    "aten::native_layer_norm_backward": _passes("layernorm", 5),
    "aten::_softmax": _passes("softmax", 2),
    "aten::_softmax_backward_data": _passes("softmax", 3),
    "aten::gelu": _passes("elementwise", 2),
    "aten::relu": _passes("elementwise", 2),
    "aten::silu": _passes("elementwise", 2),
    "aten::add": _passes("elementwise", 3, equal=2),
    "aten::mul": _passes("elementwise", 3, equal=2),
}
