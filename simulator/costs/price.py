"""A price: how long an op takes, where that number came from, and how far it may be off."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.costs.traffic import Traffic

SOURCES: tuple[str, ...] = ("measured", "interpolated", "extrapolated", "published", "datasheet")
"""Where a cost may come from. measured: this very shape, on the device itself. published: this very shape, measured by
others. interpolated: between such points. extrapolated: outside them. datasheet: peak rates only, nothing measured."""

PIECE = "piece"
"""Op classes of kernels that were measured together, as one piece, begin with this word."""

SOURCE_CODE = {source: code for code, source in enumerate(SOURCES)}


@dataclass(frozen=True, slots=True)
class Price:
    """duration_ns at the profile's median; `op_class` names the fit that it came from.

    fit_error: standard deviation of the log of (true / predicted) over the fit's held-out points, shared by all ops of
    the class within a sample. repeat_error: the same for repeats of one op, drawn anew for each op. traffic: what a
    collective or a message puts on links; None for kernels.
    """

    duration_ns: int
    source: str
    op_class: str
    fit_error: float = 0.0
    repeat_error: float = 0.0
    traffic: Traffic | None = None

    @property
    def is_of_piece(self) -> bool:
        """Whether it is a share of what several kernels took together."""
        return self.op_class.startswith(PIECE)
