"""Times: what an engine answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Times:
    """ready_ns, start_ns, end_ns: int64[n], one entry per op of the graph.

    ready: everything the op waits for (program order included) has ended. start - ready is time spent waiting for other
    members of its meeting; end - start is the time it ran.
    """

    ready_ns: np.ndarray
    start_ns: np.ndarray
    end_ns: np.ndarray

    @property
    def step_ns(self) -> int:
        """When the last op ends; 0 for an empty graph."""
        return int(self.end_ns.max(initial=0))
