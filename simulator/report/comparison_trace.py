"""Predicted and measured step in one trace: each rank's two processes stand one under the other, on one time axis.

The measured step is the run's median one. Both start at 0: the simulated step there, the measured one when its first
rank left the barrier.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simulator.report.trace import trace_events, write_events

SIMULATED, MEASURED = "simulated", "measured"


def write_comparison_trace(comparison: Any, path: str | Path) -> None:
    """Writes both timelines of a Comparison to `path`; gzip where it ends in .gz. Same comparison, same bytes."""
    about = {
        "format": "rehearse simulated timeline beside the measured one",
        "name": comparison.name,
        "program_digest": comparison.execution.program.digest(),
        "predicted_s": repr(comparison.predicted_s),
        "measured_s": repr(comparison.measured_s),
    }
    write_events(overlaid_events(comparison), path, about)


def overlaid_events(comparison: Any) -> Iterator[str]:
    """The events of both as JSON texts. Ids of the simulated one become odd, of the measured one even."""
    for side, (words, source) in enumerate(((SIMULATED, comparison.result), (MEASURED, comparison.execution))):
        for text in trace_events(source):
            event = json.loads(text)
            rank = event["pid"] - 1
            event["pid"] = 2 * rank + 1 + side
            for key in ("tid", "id"):
                if key in event:
                    event[key] = 2 * event[key] + side
            if event["name"] == "process_name":
                event["args"]["name"] = f"{event['args']['name']} | {words}"
            elif event["name"] == "process_sort_index":
                event["args"]["sort_index"] = 2 * rank + side
            yield json.dumps(event, separators=(",", ":"))
