"""Forgetting: results that are cheap to make are made again when backward asks for them (recompute: selective_op).

Autograd saves what an op's backward reads. Inside `unit()` whatever came from `again(make, *inputs)` is saved as its
recipe, and everything else as it is. So are a recipe's inputs: what itself came from `again` is not kept for another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.autograd.graph import saved_tensors_hooks

Recipe = Callable[[], torch.Tensor]


class Forgetting:
    """forgets: False makes `again` a plain call, as it is outside of `unit()`."""

    def __init__(self, forgets: bool = False):
        self.forgets = forgets
        self._made: list[tuple[torch.Tensor, Recipe]] | None = None

    def again(self, make: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> torch.Tensor:
        """make(*inputs). Its result must be a tensor of its own, not a view of an input."""
        out = make(*inputs)
        if self._made is not None:
            packed = tuple(self._pack(one.detach()) for one in inputs)
            self._made.append((out, lambda: make(*map(_unpack, packed))))
        return out

    @contextmanager
    def unit(self) -> Iterator[None]:
        """The forward pass of one unit of a layer."""
        if not self.forgets:
            yield
            return
        self._made = []
        try:
            with saved_tensors_hooks(self._pack, _unpack):
                yield
        finally:
            self._made = None

    def _pack(self, saved: torch.Tensor) -> torch.Tensor | tuple[Recipe, torch.Size, tuple[int, ...], int]:
        for out, recipe in self._made:
            if saved.untyped_storage()._cdata == out.untyped_storage()._cdata:
                return recipe, saved.shape, saved.stride(), saved.storage_offset()
        return saved


def _unpack(packed) -> torch.Tensor:
    if isinstance(packed, torch.Tensor):
        return packed
    recipe, shape, stride, offset = packed
    with torch.no_grad():
        return recipe().as_strided(shape, stride, offset)
