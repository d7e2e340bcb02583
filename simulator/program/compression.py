"""Compression: a rewrite of the reductions that a compressor touches.

Reads `reduce` launches and the compute launches they wait for; each becomes encode -> reduce of fewer bytes -> decode.
Encoding shares the compute stream with the backward pass and sits right behind the segment whose bucket it encodes;
everything that must wait for a collective (later phases, decoding) comes after the last backward segment, so that the
backward pass never waits.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.policies.compressor import Compressor
from simulator.program.actions import Action
from simulator.program.program import Launch


def compress_reductions(
    launches: list[Launch],
    compressor_of: Callable[[Action], Compressor | None],
    shapes: Callable[[str], tuple[tuple[int, ...], ...]],
    reduce_dtype: str,
) -> list[Launch]:
    """The launches with every bucket's `reduce` compressed.

    compressor_of: of a bucket's reduction; None: it stays as it is. shapes: parameter shapes in a bucket, on this rank.
    """
    rewritten: list[Launch] = []
    later: list[Launch] = []
    decodes: list[Launch] = []
    for launch in launches:
        action = launch.action
        dense = action.verb == "reduce" and action.bucket != "tied"
        compressor = compressor_of(action) if dense else None
        if compressor is None:
            rewritten.append(launch)
            continue
        of = {"bucket": action.bucket, "method": compressor.name}
        waits = action.after
        for number, phase in enumerate(compressor.phases(shapes(action.bucket), reduce_dtype)):
            lane = rewritten if number == 0 else later
            encode = Action("encode", **of, phase=number, after=waits if number else ())
            reduce = action._replace(
                method=compressor.name, phase=number, size_bytes=phase.wire_bytes, after=(encode.name,)
            )
            lane += [Launch("compute", encode), Launch("data", reduce)]
            waits = (reduce.name,)
        decodes.append(Launch("compute", Action("decode", **of, after=waits)))
    return rewritten + later + decodes
