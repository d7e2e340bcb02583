"""Codec costs: what a step takes if encoding and decoding cost half, or double, of what they are priced at.

Where no profile has measured a compressor's kernels they are priced by passes over memory, which real kernels meet or
miss by about that much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.units import ns_to_seconds

if TYPE_CHECKING:
    from simulator.road import Road

HALF, DOUBLE = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class CodecRange:
    """ns of a step with all kernels of kind compression at half and at double their price, at the medians of all else.

    Pieces that a profile measured as a whole keep their price.
    """

    half_ns: int
    double_ns: int

    def to_dict(self) -> dict:
        """`compression_cost` of the JSON."""
        return {
            "source": "datasheet",
            "step_time_s_at_half": ns_to_seconds(self.half_ns),
            "step_time_s_at_double": ns_to_seconds(self.double_ns),
        }

    def sentence(self, name: str) -> str:
        """For people."""
        half, double = (f"{ns_to_seconds(ns):.4g} s" for ns in (self.half_ns, self.double_ns))
        return (
            f"{name}: encoding and decoding are priced by passes over memory, since no profile has measured them; "
            f"at half that cost a step takes {half}, at double {double}"
        )


def codec_range(road: Road) -> CodecRange | None:
    """Of a scenario whose graph has been priced; None where nothing is compressed or all of it was measured."""
    if not any(pricer.assumes_codecs for pricer in road.prices.pricers):
        return None
    half, double = (road.timeline(road.expanded(road.prices.recoded(factor))).step_ns for factor in (HALF, DOUBLE))
    return CodecRange(half, double)
