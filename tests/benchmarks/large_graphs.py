"""Graphs of a million ops, built by numpy in a second or two."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulator.graph.event_graph import EventGraph, Stream
from simulator.units import FULL_RATE

PORT_BYTES_PER_S = 50_000_000_000
KERNEL_RATE, COLLECTIVE_RATE = FULL_RATE * 9 // 10, FULL_RATE * 8 // 10


def fixed_graph(num_ops: int, num_ranks: int = 16) -> EventGraph:
    """On every rank a chain of kernels and one of collectives, each collective after its kernel; random durations."""
    num_lanes = 2 * num_ranks
    ops = np.arange(num_ops)
    lane = ops % num_lanes
    chained = ops[: max(num_ops - num_lanes, 0)]
    kernels = ops[(lane % 2 == 0) & (ops + 1 < num_ops)]
    streams = tuple(Stream(place // 2, ("compute", "data")[place % 2]) for place in range(num_lanes))
    return _graph(
        streams,
        lane,
        np.concatenate([chained, kernels]),
        np.concatenate([chained + num_lanes, kernels + 1]),
        _random().integers(100, 10_000, num_ops),
    )


def fluid_graph(num_ops: int, num_ranks: int = 64) -> EventGraph:
    """Kernels and collectives of every rank in turns, launched 1,000 ns apart and a little longer than that.

    Each starts beside the last one of the other stream, outlives it, and sees the next one start: it starts slowed, is
    let go and is slowed again, two changes of its rate. One host op in `num_ranks` launches a round.
    """
    per_round = 2 * num_ranks + 2
    rounds = num_ops // (2 * num_ranks)
    ops = np.arange(rounds * per_round)
    place = ops % per_round
    is_host = (place == 0) | (place == num_ranks + 1)
    is_collective = place > num_ranks + 1
    lane = np.where(is_host, 2 * num_ranks, place - 1 - is_collective)
    host, device = ops[is_host], ops[~is_host]
    chained = device[device + per_round < len(ops)]
    launches = (host[:, None] + np.arange(1, num_ranks + 1)).ravel()
    streams = (
        *(Stream(rank, "compute") for rank in range(num_ranks)),
        *(Stream(rank, "data") for rank in range(num_ranks)),
        Stream(0, "host"),
    )
    return _graph(
        streams,
        lane,
        np.concatenate([chained, host[:-1], np.repeat(host, num_ranks)]),
        np.concatenate([chained + per_round, host[1:], launches]),
        np.where(is_host, 1000, _random().integers(1040, 1060, len(ops))),
        np.where(is_collective, KERNEL_RATE, FULL_RATE),
        np.where(is_collective, COLLECTIVE_RATE, FULL_RATE),
    )


def shared_graph(num_ops: int, num_ranks: int = 1024) -> EventGraph:
    """As `fixed_graph`, where every collective, after a latency, fills its rank's port both ways; two ranks share one.

    Each rank's collectives are a communicator of its own, so a port is two communicators' that come and go.
    """
    graph = fixed_graph(num_ops, num_ranks)
    lane = graph.stream.astype(np.int64)
    collectives = np.flatnonzero(lane % 2 == 1)
    out = lane[collectives] // 4 * 2
    num_ports = -(-num_ranks // 2)
    return replace(
        graph,
        latency_ns=np.where(lane % 2 == 1, 50, 0).astype(np.int64),
        flow_bytes_per_s=np.where(lane % 2 == 1, PORT_BYTES_PER_S, 0).astype(np.int64),
        demand_first=2 * np.concatenate([[0], np.cumsum(lane % 2)]).astype(np.int64),
        demand_link=np.stack([out, out + 1], axis=1).ravel().astype(np.int32),
        demand_bytes_per_s=np.full(2 * len(collectives), PORT_BYTES_PER_S, dtype=np.int64),
        link_capacity=np.full(2 * num_ports, PORT_BYTES_PER_S, dtype=np.int64),
        link_names=tuple(f"port{place // 2}/{('out', 'in')[place % 2]}" for place in range(2 * num_ports)),
    )


def _random() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(1))


def _graph(streams, lane, sources, targets, duration_ns, compute_rate=None, own_rate=None) -> EventGraph:
    count = len(lane)
    order = np.lexsort((targets, sources))
    ranks = tuple(sorted({stream.rank for stream in streams}))
    full = np.full(count, FULL_RATE, dtype=np.int64)
    return EventGraph(
        duration_ns=duration_ns.astype(np.int64),
        stream=lane.astype(np.int32),
        kind=np.zeros(count, dtype=np.uint8),
        source=np.zeros(count, dtype=np.uint8),
        action=np.full(count, -1, dtype=np.int32),
        first_successor=np.searchsorted(sources[order], np.arange(count + 1)).astype(np.int64),
        successor=targets[order].astype(np.int32),
        meeting=np.full(count, -1, dtype=np.int32),
        compute_rate=full if compute_rate is None else compute_rate.astype(np.int64),
        own_rate=full if own_rate is None else own_rate.astype(np.int64),
        part_first=np.zeros(count + 1, dtype=np.int64),
        part_kind=np.zeros(0, dtype=np.uint8),
        part_ns=np.zeros(0, dtype=np.int64),
        streams=streams,
        ranks=ranks,
        multiplicity=(1,) * len(ranks),
    )
