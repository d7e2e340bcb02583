"""Flows that move, each at a rate that changes when others come and go: what is left of them, and who ends next."""

from __future__ import annotations

import math

import numpy as np


class UnderWay:
    """Flows that move, as columns; those that ended are dropped a quarter at a time.

    route_of_flow: which entry of the rates that `take_rates` is given is a flow's. left_bytes is what was left at
    since_s, when the rate last changed; end_s is when the last byte leaves at this rate. What a flow has left is worked
    out only when its own rate changes, so that flows elsewhere change none of its bits.
    """

    def __init__(self, route_of_flow: np.ndarray):
        self._route_of_flow = route_of_flow
        self._flow = self._route = np.zeros(0, np.intp)
        self._moves = np.zeros(0, bool)
        self._left_bytes = self._rate = self._since_s = self._end_s = np.zeros(0)

    def next_end_s(self) -> float:
        """When the next flow ends; inf when none moves."""
        return float(self._end_s.min()) if len(self._end_s) else math.inf

    def routes(self) -> np.ndarray:
        """The route of each flow that moves."""
        return self._route[self._moves]

    def add(self, flows: np.ndarray, num_bytes: np.ndarray, now_s: float) -> None:
        """Flows begin, at rate 0 until `take_rates`."""
        self._drop_ended()
        still = np.zeros(len(flows))
        self._flow = np.append(self._flow, flows)
        self._route = np.append(self._route, self._route_of_flow[flows])
        self._moves = np.append(self._moves, still == 0)
        self._left_bytes, self._rate = np.append(self._left_bytes, num_bytes), np.append(self._rate, still)
        self._since_s, self._end_s = np.append(self._since_s, still + now_s), np.append(self._end_s, still + math.inf)

    def end(self, now_s: float) -> np.ndarray:
        """The flows that end now; they are under way no more."""
        gone = np.flatnonzero(self._end_s <= now_s)
        ended = self._flow[gone]
        self._moves[gone], self._end_s[gone] = False, math.inf
        if np.count_nonzero(self._moves) < 0.75 * len(self._moves):
            self._drop_ended()
        return ended

    def take_rates(self, rates: np.ndarray, now_s: float) -> None:
        """The rates of the routes are these from now on."""
        rate = rates.take(self._route)
        new = np.flatnonzero((rate != self._rate) & self._moves)
        sent_bytes = self._rate[new] * (now_s - self._since_s[new])
        left_bytes = np.maximum(self._left_bytes[new] - sent_bytes, 0.0)
        self._left_bytes[new], self._rate[new], self._since_s[new] = left_bytes, rate[new], now_s
        self._end_s[new] = now_s + left_bytes / rate[new]

    def _drop_ended(self) -> None:
        stay = np.flatnonzero(self._moves)
        self._flow, self._route, self._moves = self._flow[stay], self._route[stay], self._moves[stay]
        self._left_bytes, self._rate = self._left_bytes[stay], self._rate[stay]
        self._since_s, self._end_s = self._since_s[stay], self._end_s[stay]
