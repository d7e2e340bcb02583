"""What a profile holds, entry by entry: tables of kernels, curves of collectives, pieces, overlaps, errors of fits."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log, sqrt

import numpy as np

from simulator.model.work import Kernel

INTRA_NODE, INTER_NODE = "intra_node", "inter_node"
RING_CURVE, SWITCH_CURVE = "ring", "in_switch"


@dataclass(frozen=True, slots=True)
class DeviceSheet:
    """The datasheet of the device the profile was made on. intra_link_bytes_per_s: one GPU to its node, one way."""

    name: str
    memory_bytes: int
    memory_bandwidth_bytes_per_s: float
    l2_bytes: int
    peak_flops_per_s: dict[str, float]
    host_link_bytes_per_s: float
    intra_link_bytes_per_s: float


@dataclass(frozen=True, slots=True)
class SourceGroup:
    """Where a group of entries comes from. kind: one of SOURCE_KINDS. command: what anyone can run to get it again."""

    kind: str
    citation: str
    date: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class Constant:
    """A named number. fitted_on: the declared rows that set it (never rows it is judged on); empty where none did."""

    value: float
    unit: str
    kind: str
    citation: str
    fitted_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KernelTable:
    """n measured points of one op and dtype. columns: axis -> float64[n]; median_s float64[n].

    spread_s: standard deviation of repeats, count: repeats, quantiles_s[n, q]: whole samples; None where unpublished.
    """

    op: str
    dtype: str
    source: SourceGroup
    columns: dict[str, np.ndarray]
    median_s: np.ndarray
    spread_s: np.ndarray | None = None
    count: np.ndarray | None = None
    quantiles_s: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class CollectiveCurve:
    """Time of one collective against message size (as `model.work.Collective` counts it), one group size and tier.

    op: a collective, or `send` for one message of a pair. quantiles_s[n, q]: whole samples, None where unpublished.
    algorithm: how large messages went, RING_CURVE or SWITCH_CURVE (the node's switch added them up). count[n]: repeats.
    nodes: that the group lay on, as many members on each; tier is INTER_NODE where there are several.
    """

    op: str
    group_size: int
    tier: str
    source: SourceGroup
    size_bytes: np.ndarray
    median_s: np.ndarray
    quantiles_s: np.ndarray | None = None
    algorithm: str = RING_CURVE
    count: np.ndarray | None = None
    nodes: int = 1

    @property
    def key(self) -> tuple[str, str, int]:
        """(op, where, group size): curves of one key are one curve."""
        return self.op, self.tier if self.nodes == 1 else f"{self.tier}.{self.nodes}", self.group_size


@dataclass(frozen=True, slots=True)
class MeasuredPiece:
    """Kernels that were measured together, as the training code runs them (`costs/pieces.py`).

    name: what they are, such as `sasrec.attention.F`. source_key: `together` or `alone`. quantiles_s: the whole sample.
    """

    name: str
    source_key: str
    kernels: tuple[Kernel, ...]
    median_s: float
    count: int
    quantiles_s: tuple[float, ...]

    @property
    def repeat_error(self) -> float:
        """Sigma of the lognormal with the sample's median and mean (see `measured.repeat_errors`)."""
        mean_over_median = sum(self.quantiles_s) / len(self.quantiles_s) / self.median_s
        return sqrt(2.0 * log(mean_over_median)) if mean_over_median > 1.0 else 0.0


@dataclass(frozen=True, slots=True)
class Curve:
    """A published relation: value[n] at points given by columns (one or two axes)."""

    unit: str
    source: SourceGroup
    columns: dict[str, np.ndarray]
    value: np.ndarray


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much slower a compute op is while this communication runs (`compute` >= 1), and the communication (`own`).

    size_bytes: messages at which both were measured, rising; compute_at, own_at: what they were there. Empty where one
    number stands for all.
    """

    compute: float
    own: float
    source: SourceGroup
    size_bytes: tuple[float, ...] = ()
    compute_at: tuple[float, ...] = ()
    own_at: tuple[float, ...] = ()

    def at(self, size_bytes: int) -> tuple[float, float]:
        """(compute, own) beside a message of this size: between two sizes by the log, beyond them as at the last."""
        if not self.size_bytes:
            return self.compute, self.own
        place, sizes = log(max(size_bytes, 1)), np.log(self.size_bytes)
        return float(np.interp(place, sizes, self.compute_at)), float(np.interp(place, sizes, self.own_at))

    @property
    def worst(self) -> tuple[float, float]:
        """(compute, own), the greatest at any size."""
        return max((self.compute, *self.compute_at)), max((self.own, *self.own_at))


@dataclass(frozen=True, slots=True)
class FitError:
    """Standard deviation of log(true / predicted) on held-out points: `error` inside the table, `outside_error` beyond.

    figures: the held-out errors as printed (mean absolute percent and the like), by name.
    """

    error: float
    outside_error: float
    points: int
    figures: dict[str, float] = field(default_factory=dict)
