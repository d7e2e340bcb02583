"""Compression: a rewrite of the reductions that a compressor touches.

Reads reductions and the compute launches they wait for; each becomes encode -> reduce of fewer bytes -> decode, and
under ZeRO the same with `reduce_scatter`. Encoding shares the compute stream with the backward pass and sits right
behind the segment whose bucket it encodes; everything that must wait for a collective (later phases, decoding) comes
where the caller says: behind the last backward segment, so that the backward pass never waits, or, where each
microbatch is reduced, where it waits anyway (`sharded.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from simulator.policies.compressor import Compressor
from simulator.program.actions import Action
from simulator.program.program import Launch

REDUCTIONS = ("reduce", "reduce_scatter")


class Reduction(NamedTuple):
    """What reduces a bucket. behind: right behind what completes its gradient. later: what awaits a collective."""

    behind: tuple[Launch, ...]
    later: tuple[Launch, ...] = ()

    @property
    def next(self) -> tuple[tuple[Launch, ...], Reduction | None]:
        """(what awaits the first collective of those, what is left behind it: it awaits the next one)."""
        waits = [place for place, launch in enumerate(self.later) if launch.stream == "compute"]
        if len(waits) < 2:
            return self.later, None
        return self.later[: waits[1]], Reduction((), self.later[waits[1] :])


class Compressing:
    """How a rank's buckets are compressed. compressor_of: of a reduction; None: it stays as it is. shapes: of what a
    compressor works on in a bucket, on this rank."""

    def __init__(
        self,
        compressor_of: Callable[[Action], Compressor | None],
        shapes: Callable[[str, Compressor], tuple[tuple[int, ...], ...]],
        reduce_dtype: str,
    ):
        self.compressor_of, self.shapes, self.reduce_dtype = compressor_of, shapes, reduce_dtype

    def of(self, launch: Launch) -> Reduction | None:
        """What becomes of one launch; None where nothing does."""
        action = launch.action
        dense = action.verb in REDUCTIONS and action.bucket != "tied"
        compressor = self.compressor_of(action) if dense else None
        if compressor is None:
            return None
        of = {"bucket": action.bucket, "method": compressor.name, "of": action.of, "microbatch": action.microbatch}
        behind: list[Launch] = []
        later: list[Launch] = []
        waits = action.after
        for number, phase in enumerate(compressor.phases(self.shapes(action.bucket, compressor), self.reduce_dtype)):
            lane = later if number else behind
            encode = Action("encode", **of, phase=number, after=waits if number else ())
            reduce = action._replace(
                method=compressor.name, phase=number, size_bytes=phase.wire_bytes, after=(encode.name,)
            )
            stream = launch.stream if phase.stream == "data" else phase.stream
            lane += [Launch("compute", encode), Launch(stream, reduce)]
            waits = (reduce.name,)
        later.append(Launch("compute", Action("decode", **of, after=waits)))
        return Reduction(tuple(behind), tuple(later))


def compress_reductions(launches: list[Launch], compressing: Compressing) -> list[Launch]:
    """The launches with every bucket's one reduction compressed; decoding comes last."""
    rewritten: list[Launch] = []
    later: list[Launch] = []
    decodes: list[Launch] = []
    for launch in launches:
        reduction = compressing.of(launch)
        if reduction is None:
            rewritten.append(launch)
            continue
        rewritten += reduction.behind
        later += reduction.later[:-1]
        decodes.append(reduction.later[-1])
    return rewritten + later + decodes
