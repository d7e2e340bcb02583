"""Kernels of the compressors' codecs, as `simulator/policies` writes them: op -> a callable that runs one."""

from __future__ import annotations

from collections.abc import Callable

import torch

from calibration.measure.inputs import Call, Maker

TOPK_DENSITY = 0.01


def _topk(maker: Maker) -> Call:
    values, kept = maker.random(maker.elements).abs(), max(1, round(TOPK_DENSITY * maker.elements))
    return lambda: torch.topk(values, kept, sorted=False)


def _scatter_add(maker: Maker) -> Call:
    target = maker.random(max(64, round(maker.elements / TOPK_DENSITY)))
    values, places = maker.random(maker.elements), maker.ids(maker.elements, target.numel())
    return lambda: target.index_add_(0, places, values)


def _orthogonalize(maker: Maker) -> Call:
    columns = 4
    matrix = maker.random(max(columns, maker.elements // columns), columns)
    return lambda: torch.linalg.qr(matrix)


def _quantize(maker: Maker) -> Call:
    values, scale = maker.random(maker.elements), maker.random(maker.elements)
    return lambda: (values / scale).add_(torch.rand_like(values)).floor_().clamp_(-127, 127).to(torch.int8)


def _dequantize(maker: Maker) -> Call:
    codes, sums = maker.random(maker.elements).mul_(127).to(torch.int8), maker.random(maker.elements)
    return lambda: sums.add_(codes.to(torch.float32) * 0.01)


def _pack_signs(maker: Maker) -> Call:
    values = maker.random(maker.elements // 8, 8)
    weights = 2 ** torch.arange(8, dtype=torch.uint8, device=maker.device)
    return lambda: ((values >= 0).to(torch.uint8) * weights).sum(dim=1, dtype=torch.uint8)


def _unpack_signs(maker: Maker) -> Call:
    bits = torch.randint(256, (maker.elements // 8, 1), device=maker.device).to(torch.uint8)
    sums, scale = maker.random(maker.elements), torch.tensor(0.1, device=maker.device)
    weights = 2 ** torch.arange(8, dtype=torch.uint8, device=maker.device)
    return lambda: sums.add_(torch.where((bits & weights).ne(0).view(-1), scale, -scale))


def _threshold(maker: Maker) -> Call:
    values = maker.random(maker.elements).abs()
    return lambda: (values >= 1 - TOPK_DENSITY).nonzero()  # uniform: as many pass as top-k keeps


def _random_places(maker: Maker) -> Call:
    count, entries = maker.elements, round(maker.elements / TOPK_DENSITY)
    return lambda: torch.randint(entries, (count,), device=maker.device)


BUILDERS: dict[str, Callable[[Maker], Call]] = {
    "topk": _topk,
    "scatter_add": _scatter_add,
    "orthogonalize": _orthogonalize,
    "quantize": _quantize,
    "dequantize": _dequantize,
    "pack_signs": _pack_signs,
    "unpack_signs": _unpack_signs,
    "threshold": _threshold,
    "random_places": _random_places,
}
