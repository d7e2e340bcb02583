"""What only a CUDA device has (`points.FACT`): launches, eager and in a graph, and copies over its host link.

Not yet run on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from calibration.measure.inputs import Call, Maker
from calibration.points import GRAPH_KERNELS


def _launch_eager(maker: Maker) -> Call:
    """One kernel of one element: its device is idle before the host has launched the next."""
    number = maker.random(1)
    return lambda: number.add_(1.0)


def _launch_graph(maker: Maker) -> Call:
    """The same kernel `GRAPH_KERNELS` times, in a graph."""
    number = maker.random(1)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(GRAPH_KERNELS):
            number.add_(1.0)
    return graph.replay


def _copy(*, pinned: bool, to_device: bool) -> Callable[[Maker], Call]:
    def build(maker: Maker) -> Call:
        (count,) = maker.point.shape
        on_host = torch.empty(count // 4, pin_memory=pinned).fill_(1.0)
        on_device = torch.empty(count // 4, device=maker.device)
        source, target = (on_host, on_device) if to_device else (on_device, on_host)
        return lambda: target.copy_(source, non_blocking=pinned)

    return build


BUILDERS: dict[str, Callable[[Maker], Call]] = {
    "launch_eager": _launch_eager,
    "launch_graph": _launch_graph,
    **{f"copy_{way}_{kind}": _copy(pinned=kind == "pinned", to_device=way == "in")
       for way in ("in", "out") for kind in ("pinned", "pageable")},
}  # fmt: skip
