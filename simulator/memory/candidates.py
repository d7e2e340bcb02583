"""Which changes of a plan that does not fit are tried, and in which order.

Smallest first: one change, then two together, then the most of several levers together, then more nodes, then tensor
groups that leave their node. With each comes the most that changes of its kind can do, so that a lever that is of no
help is found out by one trial in place of a hundred.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

from simulator.memory import remedies
from simulator.memory.remedies import Change


def candidates(scenario) -> Iterator[tuple[Change, Change]]:
    """(change, the most of its kind) in the order of trial. Where the latter does not fit, neither does the former."""
    singles = [pair for lever in remedies.LEVERS for pair in _growing(lever, scenario)]
    yield from singles
    for (first, most), (second, most_too) in combinations(singles, 2):
        if _independent(first, second):
            yield first + second, most + most_too
    yield from _together(scenario)
    for change in remedies.more_nodes(scenario):
        yield change, change
    for factor in remedies.FACTORS:
        for change in remedies.wider(scenario, factor):
            yield change, change


def _growing(lever, scenario) -> list[tuple[Change, Change]]:
    found = list(lever(scenario))
    return [(change, found[-1] if lever in remedies.GROWING else change) for change in found]


def _together(scenario) -> Iterator[tuple[Change, Change]]:
    """The last, strongest change of each lever together with those of two others, three others, ..."""
    levers = [(lever, list(lever(scenario))) for lever in remedies.LEVERS]
    alternatives = [_strongest(lever, found) for lever, found in levers if found]
    choices = [choice for choice in product(*([(), *found] for found in alternatives)) if sum(map(bool, choice)) > 2]
    for choice in sorted(choices, key=lambda choice: sum(map(bool, choice))):
        most = [own or ((), *found)[-1] for own, found in zip(choice, alternatives, strict=True)]
        if levers[-1][0] is remedies.MORE_RANKS and levers[-1][1]:
            most[-1] = choice[-1]  # other degrees are no more of the same
        yield _merged(choice), _merged(most)


def _strongest(lever, found: list[Change]) -> list[Change]:
    """Which of a lever's changes are tried together with several others'."""
    if lever is remedies.STATES:  # of shards, the fewest and the most: a pipeline takes no more than optimizer states
        fewest = [change for change in found if change[0] not in ("plan.zero=2", "plan.zero=3")]
        return list(dict.fromkeys((_merged(fewest), _merged(found))))
    if lever is remedies.MORE_RANKS:
        split = ("plan.sequence_parallel=true",)
        return [change + split if change[0].startswith("plan.tensor=") else change for change in found]
    return found[-1:]


def _merged(changes) -> Change:
    """Lines of several changes; of two that set one key, the later."""
    lines = {line.split("=")[0]: line for change in changes for line in change}
    return tuple(lines.values())


def _independent(first: Change, second: Change) -> bool:
    return len(_merged((first, second))) == len(first + second)
