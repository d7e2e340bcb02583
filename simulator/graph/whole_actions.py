"""Which compute actions may be placed as one op: those that no stream can disturb while they run.

An action is broken up, op by op, where a collective of another stream may run beside it and either slows its kernels or
shares a link with the collectives inside it; where others, whose time nobody here knows, load those links; and where
the members of its tensor and context groups do not keep the same pace, so that they meet at each collective anew.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

from simulator import kinds
from simulator.graph.messages import KIND_OF_STREAM
from simulator.graph.surroundings import Surroundings
from simulator.layout import Layout
from simulator.program.program import Launch, RankProgram
from simulator.program.standing import GROUP_OF_STREAM
from simulator.units import FULL_RATE


class WholeActions:
    """Of a folded program. around, pricers: by representative. present(kind, rank): representatives in a group.

    Ranks that meet inside an action always get the same answer: classes of one pipeline rank are asked together.
    """

    def __init__(
        self, ranks: Sequence[RankProgram], around: Mapping[int, Surroundings], pricers: Mapping[int, object],
        layout: Layout, present: Callable[[str, int], tuple[int, ...]],
    ):  # fmt: skip
        self._around, self._pricers, self._layout, self._present = around, pricers, layout, present
        self._disturbing: dict[int, frozenset[str]] = {}
        self._open_links: dict[int, bool] = {}
        self._found: dict[tuple, frozenset[str]] = {}
        for own in ranks:
            place = layout.coordinates(own.rank)[0]
            streams = frozenset(stream for stream in own.streams if self._disturbs(own.rank, stream))
            self._disturbing[place] = self._disturbing.get(place, frozenset()) | streams
            self._open_links[place] = self._open_links.get(place, False) or self._is_open(own.rank)

    def broken_up(self, own: RankProgram) -> frozenset[str]:
        """Names of the compute actions of a rank that are placed op by op."""
        place = self._layout.coordinates(own.rank)[0]
        everything = self._open_links[place] or not self._keeps_pace(own.rank)
        key = place, everything, len(own.launches)  # replicas of more microbatches launch more
        if key not in self._found:
            disturbing = self._disturbing[place]
            if everything:
                self._found[key] = frozenset(one.action.name for one in own.launches if one.stream == "compute")
            else:
                self._found[key] = interacting_actions(own.launches, disturbing.__contains__)
        return self._found[key]

    def _disturbs(self, rank: int, stream: str) -> bool:
        if stream == "compute":
            return False
        kind = KIND_OF_STREAM.get(stream, kinds.PIPELINE)
        if self._pricers[rank].rates(kind) != (FULL_RATE, FULL_RATE):
            return True
        around = self._around[rank]
        if not around.shared or not self._layout.inner_kinds:
            return False
        if stream in GROUP_OF_STREAM:
            used = around.links(GROUP_OF_STREAM[stream])
        else:
            used = around.transfer_links(sends=stream.startswith("send"))
        return not used.isdisjoint(around.inner_links)

    def _is_open(self, rank: int) -> bool:
        """Whether ranks outside the tensor group load the links of the collectives inside its actions."""
        around = self._around[rank]
        return around.shared and not around.inner_is_private

    def _keeps_pace(self, rank: int) -> bool:
        """Whether all that meet inside actions run the same kernels and messages in the same time, and hand over to
        each other's like on every stage: ranks that are handed their inputs apart end apart."""
        columns = (self._present("tensor_context", other) for other in self._layout.group("pipeline", rank))
        return all(len({(self._pricers[one], self._around[one].pace) for one in members}) == 1 for members in columns)


def interacting_actions(launches: Sequence[Launch], disturbs: Callable[[str], bool]) -> frozenset[str]:
    """Names of the compute actions during which a collective that disturbs them may run.

    A collective may run from the end of the last compute action it is known to follow until something that the compute
    stream waits for proves that it is over. disturbs(stream): whether the collectives of a stream do.
    """
    if not any(disturbs(stream) for stream in {launch.stream: None for launch in launches}):
        return frozenset()
    order = [launch.action.name for launch in launches if launch.stream == "compute"]
    place = {name: index for index, name in enumerate(order)}
    follows: dict[str, int] = {}  # action -> the last compute action (by place) known to end before it
    proves: dict[str, dict[str, int]] = {}  # action -> how many of each stream's collectives are over once it ends
    tail: dict[str, str] = {}
    counts: dict[str, int] = {}
    begins: dict[str, list[int]] = {}  # stream -> for each of its collectives, the first compute place it may overlap
    over: dict[str, list[tuple[int, int]]] = {}  # stream -> (compute place, collectives over when that place starts)
    for launch in launches:
        name, stream = launch.action.name, launch.stream
        before = [*launch.action.after, *([tail[stream]] if stream in tail else [])]
        known = max((place[other] if other in place else follows[other] for other in before), default=-1)
        proof: dict[str, int] = {}
        for other in before:
            for other_stream, count in proves[other].items():
                proof[other_stream] = max(proof.get(other_stream, 0), count)
        if stream == "compute":
            for other_stream, count in proof.items():
                over.setdefault(other_stream, []).append((place[name], count))
        elif disturbs(stream):
            counts[stream] = counts.get(stream, 0) + 1
            proof[stream] = counts[stream]
            begins.setdefault(stream, []).append(known + 1)
        follows[name], proves[name], tail[stream] = known, proof, name
    marked: dict[str, None] = {}
    for stream, starts in begins.items():
        proofs = over.get(stream, [])  # counts never fall: each compute action knows what the one before it knew
        for number, start in enumerate(starts, 1):
            first = bisect_left(proofs, number, key=itemgetter(1))
            end = proofs[first][0] if first < len(proofs) else len(order)
            marked.update(dict.fromkeys(order[start:end]))
    return frozenset(marked)
