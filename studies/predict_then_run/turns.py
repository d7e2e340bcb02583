"""Runs of several plans that take turns, so that all of them, and what is measured between, see the same machine.

Every plan's processes live from the first turn to the last; between turns they sleep where the next batch comes from.
Two named pipes a plan: its ranks say `ready` when they stand before a turn, and read from `turn` to begin it.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from simulator import execute

TURN_STEPS = 9
"""A second or two: machines change slower than that, or faster than a step."""

POLL_S = 0.2


class Run:
    """One plan's run. how: further arguments of `execute`. After its last turn, `result` is the execution."""

    def __init__(self, scenario: Any, folder: Path, turn_steps: int, source: Any, **how: Any):
        self.name, self.ranks, self.result, self.error = scenario.name, scenario.layout.ranks, None, None
        folder.mkdir(parents=True)
        for word in ("ready", "turn"):
            os.mkfifo(folder / word)
        # both ends, so that neither opening nor the other side's death ever blocks or kills this process
        self._ready, self._turn = (os.open(folder / word, os.O_RDWR) for word in ("ready", "turn"))
        waits = partial(in_turn, source, str(folder), turn_steps)
        self._thread = threading.Thread(target=self._execute, args=(scenario,), kwargs=how | {"source": waits},
                                        name=self.name, daemon=True)  # fmt: skip
        self._thread.start()

    def _execute(self, scenario: Any, **how: Any) -> None:
        try:
            self.result = execute(scenario, **how)
        except BaseException as error:
            self.error = error

    def wait(self) -> None:
        """Returns when all ranks stand before their next turn, or the run is over. Raises what the run raised."""
        there = 0
        while there < self.ranks and self._thread.is_alive():
            if select.select([self._ready], [], [], POLL_S)[0]:
                there += len(os.read(self._ready, self.ranks - there))
        if self.error is not None:
            raise self.error

    def take_turn(self) -> None:
        """Lets the ranks run until they stand before the next turn."""
        os.write(self._turn, b"t" * self.ranks)
        self.wait()

    def close(self) -> None:
        os.close(self._ready)
        os.close(self._turn)


def in_turn(source: Any, folder: str, turn_steps: int, scenario: Any, step: int, data_rank: int) -> Any:
    """The batch of `source`; before the first step of a turn, only once the turn has come."""
    if step % turn_steps == 0:
        with open(f"{folder}/ready", "wb", buffering=0) as ready:
            ready.write(b"r")
        with open(f"{folder}/turn", "rb", buffering=0) as turn:
            turn.read(1)
    return source(scenario, step, data_rank)


def run_in_turns(
    scenarios: Sequence[Any], folder: Path, source: Any, between: Callable[[], None], *, steps: int, warmup: int,
    **how: Any,
) -> list[Any]:  # fmt: skip
    """The executions of all scenarios, `warmup` and then `steps` measured steps of each. between: called before each
    turn and after the last one, while no rank runs. how: further arguments of `execute`."""
    runs: list[Run] = []
    try:
        for number, scenario in enumerate(scenarios):
            runs.append(Run(scenario, folder / str(number), TURN_STEPS, source, steps=steps, warmup=warmup, **how))
        for run in runs:
            run.wait()
        for _ in range(-(-(warmup + steps) // TURN_STEPS)):
            for run in runs:
                between()
                run.take_turn()
        between()
        return [run.result for run in runs]
    finally:
        for run in runs:
            run.close()
