"""Pricer: the one door to costs. Kernels, collectives and transfers in, prices out, each with its source.

    pricer = Pricer(load_profile(profile_path("a100_sxm4_80gb")), cluster)
    pricer.kernel(kernel).duration_ns
    pricer.collective("all_reduce", 25 * MIB, cluster.span(range(8))).source

`sampled(seed, sample)` is the same pricer in another possible world: all prices of one op class are off by one factor,
drawn from the spread that class's fit showed on points held out; all prices of a machine that was measured by one
more, its own speed's from one minute to the next. Published profiles know no spread of repeats
(repeat_error is 0): their sources print one number for each shape.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from math import inf, log2

from simulator import kinds
from simulator.cluster import Cluster, GroupSpan, NodeType
from simulator.cluster.inline import KIND
from simulator.costs.algorithm_rules import switches_of
from simulator.costs.collectives import CollectiveCosts, CollectiveTime
from simulator.costs.datasheet import DATASHEET_ERROR, datasheet_profile
from simulator.costs.kernels import STATED, KernelCosts, KernelTime
from simulator.costs.node_curves import SEND
from simulator.costs.pieces import MeasuredPieces
from simulator.costs.price import Price
from simulator.costs.profile import MACHINE, Profile
from simulator.costs.sampling import fit_factor
from simulator.costs.traffic import Traffic
from simulator.model.work import Kernel
from simulator.units import FULL_RATE, format_bytes, ns_to_seconds, seconds_to_ns

UNFITTED_ERROR = 0.15
"""Standard deviation of the log of the error of a price whose rule has no held-out points (assumed)."""

GUESSED = ("extrapolated", "datasheet")

SWITCH_LATENCY_S = 1e-6
"""What a profile's start-up holds of the hop between two devices of a node: NVSwitch's, as in the boxes that were
measured. A hop over links that a scenario spells out may take longer; a datasheet's prices know it already."""


class Pricer:
    """Prices of one kind of device on one cluster, from one profile (None: from the device's datasheet).

    node: the node type that holds the device; None: the only one of the cluster.
    under_load: as in a real step (the default), or as isolated kernels run. Prices are remembered: equal questions get
    the identical answer.
    """

    def __init__(
        self,
        profile: Profile | None,
        cluster: Cluster,
        node: NodeType | None = None,
        *,
        under_load: bool = True,
    ):
        node = node or cluster.node_type
        self._from_datasheet = profile is None
        self.profile = datasheet_profile(node.device, node.fabric) if profile is None else profile
        self.cluster = cluster
        self._kernels = KernelCosts(self.profile, node.device, under_load=under_load, alone=cluster.gpus == 1)
        self._pieces = MeasuredPieces(
            self.profile, lambda kernel: self._kernels.price(kernel).seconds, alone=cluster.gpus == 1
        )
        spelt_out = not self._from_datasheet and node.fabric.kind == KIND
        self._collectives = CollectiveCosts(self.profile, switches_of(cluster), SWITCH_LATENCY_S if spelt_out else inf)
        self._draw: tuple[int, int] | None = None
        self._pace, self._codec = straggler_pace(self.profile, cluster.nodes) if under_load else 1.0, 1.0
        self._assumed: set[str] = set()
        self._prices: dict[tuple, Price] = {}
        self._warnings: dict[str, str] = {}
        self._unmeasured: dict[tuple, None] = {}
        if self._from_datasheet:
            self._warnings["device"] = (
                f"{node.device.name} has no cost profile: priced from its datasheet, so times may be off by a quarter; "
                "run `rehearse calibrate` on it"
            )

    def kernel(self, kernel: Kernel) -> Price:
        """The price of one kernel, without the host's launch."""
        key = (kernel.op, kernel.shape, kernel.dtype, kernel.bytes_moved)
        encodes = kernel.kind == kinds.COMPRESSION
        if encodes and self._codec != 1.0:
            return self._prices.get((*key, "codec")) or self._remember((*key, "codec"), self._recoded(kernel), "")
        price = self._prices.get(key)
        if price is None:
            price = self._remember(key, self._paced(self._kernels.price(kernel)), _shape(kernel))
        if encodes and price.source == "datasheet":
            self._assumed.add(kernel.op)
        return price

    def piece(self, kernels: Sequence[Kernel], name: str = "") -> tuple[Price, ...]:
        """The prices of kernels that run one after another; they sum to what the piece of this name takes, where the
        profile knows it as a whole (`costs/pieces.py`)."""
        stretch = self._pieces.stretch(kernels, name) if self.profile.pieces else None
        if stretch is None:
            return tuple(self.kernel(kernel) for kernel in kernels)
        factor, source, op_class, repeat_error = stretch
        found = []
        for kernel in kernels:
            key = ("piece", kernel.op, kernel.shape, kernel.dtype, kernel.bytes_moved, factor, op_class)
            price = self._prices.get(key)
            if price is None:
                seconds = factor * self._paced(self._kernels.price(kernel)).seconds
                price = self._remember(key, KernelTime(seconds, source, op_class, repeat_error), _shape(kernel))
            found.append(price)
        return tuple(found)

    def collective(self, op: str, size_bytes: int, span: GroupSpan, algorithm: str = "auto") -> Price:
        """The price of one collective of a group, alone on its links. size_bytes as `model.work.Collective` counts."""
        key = (op, size_bytes, span, algorithm)
        return self._prices.get(key) or self._remember_message(
            key, self._collectives.collective(op, size_bytes, span, algorithm), size_bytes, span
        )

    def transfer(self, size_bytes: int, span: GroupSpan) -> Price:
        """The price of one message between the two ranks of a span."""
        key = ("transfer", size_bytes, span)
        return self._prices.get(key) or self._remember_message(
            key, self._collectives.transfer(size_bytes, span), size_bytes, span
        )

    def link_efficiency(self, tier: str) -> float:
        """What share of a link's datasheet rate large messages reach. tier: gpu (inside a node), port or leaf."""
        return self._collectives.tiers.link_efficiency(tier)

    def rates(self, kind: str, size_bytes: int | None = None) -> tuple[int, int]:
        """(rate of a compute op while this kind of communication runs beside it, its own rate then), of FULL_RATE.

        size_bytes: of the message; None: the lowest of any message.
        """
        found = self.profile.overlap.get(kind)
        if found is None:
            return FULL_RATE, FULL_RATE
        compute, own = found.worst if size_bytes is None else found.at(size_bytes)
        return round(FULL_RATE / compute), round(FULL_RATE / own)

    @cached_property
    def launch_ns(self) -> int:
        """What the host takes to launch one kernel or collective: small kernels are bound by it."""
        return seconds_to_ns(self.profile.constant("launch_s"))

    @cached_property
    def awaited_launch_ns(self) -> int:
        """What an operation takes the host that the device waits for, the software around it included."""
        return seconds_to_ns(self.profile.optional("awaited_launch_s", ns_to_seconds(self.launch_ns)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each op class that was priced outside what was measured, in the order they came up."""
        return tuple(self._warnings.values())

    @property
    def unmeasured(self) -> tuple[dict[str, object], ...]:
        """Every kernel and message that was priced without a measurement near it, as `rehearse calibrate --missing`
        reads it, in the order they came up."""
        return tuple(dict(row) for row in self._unmeasured)

    @property
    def assumes_codecs(self) -> bool:
        """Whether a kernel of a compressor was asked for that nobody has measured."""
        return bool(self._assumed)

    def recoded(self, factor: float) -> Pricer:
        """The same prices but for compressors' kernels, which take `factor` times as long."""
        other = copy(self)
        other._codec, other._prices = factor, {}
        return other

    def sampled(self, seed: int, sample: int) -> Pricer:
        """The same prices, each times its op class's factor of this sample. Tables are shared, not read again."""
        other = copy(self)
        other._draw, other._prices = (seed, sample), {}
        return other

    def slowed(self, pace: float) -> Pricer:
        """The same prices on a device whose kernels take `pace` times as long; messages and launches do not."""
        other = copy(self)
        other._pace, other._prices = self._pace * pace, {}
        return other

    def _paced(self, time: KernelTime) -> KernelTime:
        return time if self._pace == 1.0 else time._replace(seconds=time.seconds * self._pace)

    def _recoded(self, kernel: Kernel) -> KernelTime:
        time = self._paced(self._kernels.price(kernel))
        return time._replace(seconds=time.seconds * self._codec)

    def digest(self) -> str:
        """sha256 of the profile (or datasheet) that prices come from."""
        if self._from_datasheet:
            return hashlib.sha256(self.profile.checksum.encode()).hexdigest()
        return self.profile.digest()

    def _remember_message(self, key: tuple, found: CollectiveTime, size_bytes: int, span: GroupSpan) -> Price:
        price = self._remember(key, found.time, _message(size_bytes, span))
        share = found.latency_s / found.time.seconds if price.duration_ns else 0.0
        latency_ns = min(price.duration_ns, seconds_to_ns(ns_to_seconds(price.duration_ns) * share))
        pattern, member, node = found.volume
        moving_s = found.time.seconds - found.latency_s
        traffic = Traffic(latency_ns, moving_s, pattern, round(member * size_bytes), round(node * size_bytes))
        self._prices[key] = price = replace(price, traffic=traffic)
        return price

    def _remember(self, key: tuple, time: KernelTime, asked: str) -> Price:
        seconds, source, op_class, repeat_error = time
        if self._from_datasheet and op_class != STATED:
            source = "datasheet"
        error = self._fit_error(op_class, source)
        if self._draw is not None:
            seconds *= fit_factor(*self._draw, op_class, error) * self._machine_factor(op_class)
        if source in GUESSED:
            self._unmeasured.setdefault(_row(key))
            if not self._from_datasheet and op_class not in self._warnings:
                self._warnings[op_class] = _warning(self.profile, op_class, source, asked)
        price = Price(seconds_to_ns(seconds), source, op_class, error, repeat_error)
        self._prices[key] = price
        return price

    def _machine_factor(self, op_class: str) -> float:
        """How fast the machine is in this sample's world, for everything that was timed on it."""
        machine = self.profile.fits.get(MACHINE)
        return 1.0 if machine is None or op_class == STATED else fit_factor(*self._draw, MACHINE, machine.error)

    def _fit_error(self, op_class: str, source: str) -> float:
        if op_class == STATED:
            return 0.0
        if self._from_datasheet:
            return DATASHEET_ERROR
        fit = self.profile.fits.get(op_class)
        if fit is None:
            return UNFITTED_ERROR
        return fit.outside_error if source in GUESSED else fit.error


def straggler_pace(profile: Profile, nodes: int) -> float:
    """How much longer kernels take on the slowest of these nodes, for which all others wait somewhere in a step, than
    on a typical one: `straggler_per_doubling` for each doubling (the largest of n draws grows about like log n).
    """
    return 1.0 + profile.optional("straggler_per_doubling", 0.0) * log2(nodes)


def _row(key: tuple) -> tuple[tuple[str, object], ...]:
    """Keys and values of what a price's key asks for: {op, shape, dtype, bytes_moved} or {op, ranks, nodes, bytes}."""
    if key[0] == "piece":
        key = key[1:]
    if isinstance(key[1], tuple):
        op, shape, dtype, moved = key[:4]
        return (("op", op), ("shape", shape), ("dtype", dtype), ("bytes_moved", int(moved)))
    op, size_bytes, span, *_ = key
    op = SEND if op == "transfer" else op
    return (("op", op), ("ranks", span.size), ("nodes", span.nodes), ("bytes", int(size_bytes)))


def _shape(kernel: Kernel) -> str:
    return "x".join(map(str, kernel.shape)) if len(kernel.shape) > 1 else format_bytes(kernel.bytes_moved)


def _message(size_bytes: int, span: GroupSpan) -> str:
    return f"{format_bytes(int(size_bytes))} over {span.size} ranks on {span.nodes} nodes"


def _warning(profile: Profile, op_class: str, source: str, asked: str) -> str:
    reason = "lies outside what was measured" if source == "extrapolated" else "has no measurement"
    return f"{op_class} {reason} in profile {profile.name} (first: {asked}); its prices are {source}"
