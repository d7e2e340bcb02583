"""The coarsest equitable partition: which members of a structure can be told apart by where they stand in it.

Colour refinement (Weisfeiler and Leman 1968; McKay 1981). Members start with a colour each; a place (a group, a link)
is told by the colours of the members around it, and a member by its own colour and the places it stands in, until
nothing splits any more. Members of one class then have, around each of their places, equally many members of every
class: whatever is decided by such counts happens to all of them at the same time.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

Standing = tuple[Hashable, Hashable]
"""(slot, place): in which role a member stands in a place."""


def equitable_classes(features: Sequence[Hashable], standings: Sequence[Sequence[Standing]]) -> list[int]:
    """The class of each member, numbered by first appearance.

    features: what tells members apart from the start. standings: the places of each member, each with its slot; a
    member's slots are distinct. Time: rounds times standings.
    """
    colour = _numbered(features)
    num_colours = len(set(colour))
    slots: dict[Hashable, int] = {}
    stands = [[(slots.setdefault(slot, len(slots)), place) for slot, place in own] for own in standings]
    while True:
        around: dict[Hashable, list[tuple[int, int]]] = {}
        for own_colour, own in zip(colour, stands, strict=True):
            for slot, place in own:
                around.setdefault(place, []).append((slot, own_colour))
        kinds: dict[tuple, int] = {}
        kind_of = {place: kinds.setdefault(tuple(sorted(found)), len(kinds)) for place, found in around.items()}
        refined = _numbered(
            [
                (own_colour, tuple(sorted((slot, kind_of[place]) for slot, place in own)))
                for own_colour, own in zip(colour, stands, strict=True)
            ]
        )
        found = len(set(refined))
        if found == num_colours:
            return refined
        colour, num_colours = refined, found


def _numbered(values: Sequence[Hashable]) -> list[int]:
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(value, len(numbers)) for value in values]
