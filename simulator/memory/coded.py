"""What a compressor has beside a bucket's gradient from its encoding to its decoding: its messages, and a copy."""

from __future__ import annotations

from typing import NamedTuple

from simulator.policies.compression import compressor_of
from simulator.policies.compressor import Phase, elements
from simulator.program.parameters import codec_shapes
from simulator.program.program import RankProgram
from simulator.units import DTYPE_BYTES


class Coded(NamedTuple):
    """Bytes. messages: payloads, sent and received, of all collectives, from encoding to decoding: where decoding waits
    for the end of the backward pass, those of all buckets are there by then. copy: of the gradient, to work on, where
    it is not the accumulated one itself; stays: until decoding, else until it is encoded."""

    messages: int
    copy: int
    stays: bool


def coded_buckets(own: RankProgram, scenario) -> dict[str, Coded]:
    """{name: what it takes} of the buckets that are compressed on a rank."""
    plan, precision = scenario.plan, scenario.precision
    size = DTYPE_BYTES[precision.reduce]
    found = {}
    for launch in own.launches:
        action = launch.action
        if action.verb != "encode" or action.phase or action.bucket in found:
            continue
        compressor = compressor_of(plan, action.method)
        shapes = codec_shapes(scenario, own.bucket(action.bucket), compressor)
        messages = sum(_message(phase, plan.replicas) for phase in compressor.phases(shapes, precision.reduce))
        copied = plan.gathers_blocks or plan.scatters_each or precision.gradients != precision.reduce
        found[action.bucket] = Coded(messages, elements(shapes) * size if copied else 0, not compressor.to_owners)
    return found


def _message(phase: Phase, ranks: int) -> int:
    """What is sent, unless it is the gradient itself, and what comes, unless it takes the place of what was sent."""
    sent = phase.wire_bytes if phase.encode else 0
    comes = {"all_reduce": 0, "all_gather": ranks * phase.wire_bytes, "all_to_all": phase.wire_bytes,
             "reduce_scatter": phase.wire_bytes // ranks}  # fmt: skip
    return sent + comes[phase.op]
