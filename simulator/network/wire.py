"""Rounds of messages as columns: what was given, checked, each distinct round once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulator.errors import ScenarioError
from simulator.network.collective_rounds import Round, counted
from simulator.network.flows import path_latencies
from simulator.network.max_min import checked_capacities, distinct_routes, refuse_where


@dataclass(frozen=True, slots=True)
class Wire:
    """Rounds as columns over the messages of the distinct ones, in which those of one sender follow one another.

    kinds: which distinct round each round is. first: (distinct rounds + 1) where the messages of each begin. paths: as
    in `distinct_routes`, of which `route` gives the column.
    """

    num_ranks: int
    kinds: list[int]
    first: list[int]
    source: np.ndarray
    target: np.ndarray
    num_bytes: np.ndarray
    latency_s: np.ndarray
    route: np.ndarray
    paths: np.ndarray
    capacity: np.ndarray


def checked_wire(rounds: Sequence[Round], capacities: Sequence[float], latencies: Sequence[float] | None) -> Wire:
    capacity = checked_capacities(capacities)
    distinct = [one for _, one in counted(rounds)]
    number_of = {id(one): number for number, one in enumerate(distinct)}
    messages = [_checked_message(message) for one in distinct for message in one]
    kind = np.repeat(np.arange(len(distinct)), [len(one) for one in distinct])
    source = np.array([message[0] for message in messages], dtype=np.intp)
    order = np.lexsort((source, kind))
    messages = [messages[number] for number in order]
    num_bytes = np.array([message[2] for message in messages], dtype=float)
    refuse_where(~(np.isfinite(num_bytes) & (num_bytes >= 0)), num_bytes, "a message has {v} bytes", "0 or more")
    ends = np.array([message[:2] for message in messages], dtype=np.intp).reshape(-1, 2)
    refuse_where((ends < 0).any(axis=1), ends.min(axis=1, initial=0), "a message is of rank {v:.0f}", "ranks from 0")
    sent_paths = [message[3] for message in messages]
    paths, route, _, _ = distinct_routes(sent_paths, len(capacity))
    return Wire(
        num_ranks=int(ends.max(initial=-1)) + 1,
        kinds=[number_of[id(one)] for one in rounds],
        first=np.searchsorted(kind, np.arange(len(distinct) + 1)).tolist(),
        source=ends[:, 0].copy(),
        target=ends[:, 1].copy(),
        num_bytes=num_bytes,
        latency_s=path_latencies(sent_paths, len(capacity), latencies),
        route=route,
        paths=paths,
        capacity=capacity,
    )


def _checked_message(message: Sequence) -> tuple[int, int, float, tuple[int, ...]]:
    try:
        source, target, num_bytes, path = message
        return int(source), int(target), float(num_bytes), tuple(path)
    except (TypeError, ValueError):
        raise ScenarioError(f"a message is {message!r}; give (source, target, bytes, path)") from None
