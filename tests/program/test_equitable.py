"""The coarsest equitable partition: checked against its definition on random structures."""

from collections import Counter
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from simulator.program.equitable import equitable_classes


def is_equitable(features, standings, classes):
    """Members of one class look alike and have, around each place, equally many members of every class, by slot."""
    around = {}
    for own_class, own in zip(classes, standings, strict=True):
        for slot, place in own:
            around.setdefault(place, Counter())[slot, own_class] += 1
    seen = {}
    for number, (feature, own) in enumerate(zip(features, standings, strict=True)):
        looks = feature, tuple(sorted((slot, sorted(around[place].items())) for slot, place in own))
        if seen.setdefault(classes[number], looks) != looks:
            return False
    return True


@st.composite
def structures(draw):
    count = draw(st.integers(1, 12))
    features = [draw(st.integers(0, 1)) for _ in range(count)]
    standings = [
        [(slot, f"p{draw(st.integers(0, 4))}") for slot in ("a", "b") if draw(st.booleans())] for _ in range(count)
    ]
    return features, standings


@given(structures())
def test_classes_are_equitable_and_no_two_of_them_can_be_merged(structure):
    features, standings = structure
    classes = equitable_classes(features, standings)
    assert is_equitable(features, standings, classes)
    numbers = sorted(set(classes))
    assert numbers == list(range(len(numbers)))
    for first, second in combinations(numbers, 2):
        merged = [first if one == second else one for one in classes]
        assert not is_equitable(features, standings, merged)


def test_one_straggler_splits_its_groups_and_nothing_else():
    """A 4 x 3 grid of rows and columns: the odd one, its row, its column, the rest."""
    members = [(row, column) for row in range(4) for column in range(3)]
    standings = [[("row", f"r{row}"), ("column", f"c{column}")] for row, column in members]
    alike = equitable_classes(["same"] * 12, standings)
    assert set(alike) == {0}
    split = equitable_classes(["slow" if member == (1, 1) else "same" for member in members], standings)
    assert sorted(Counter(split).values()) == [1, 2, 3, 6]


def test_a_mark_on_a_ring_tells_every_place_of_it_apart():
    """Refinement goes on until nothing splits: six rounds on a directed cycle of 7."""
    standings = [[("left", f"e{index}"), ("right", f"e{(index + 1) % 7}")] for index in range(7)]
    assert len(set(equitable_classes([0] * 7, standings))) == 1
    assert len(set(equitable_classes([1] + [0] * 6, standings))) == 7


def test_the_order_of_members_only_renames_classes():
    features, standings = [0, 0, 1, 0], [[("g", "x")], [("g", "y")], [("g", "x")], [("g", "y")]]
    there = equitable_classes(features, standings)
    back = equitable_classes(features[::-1], standings[::-1])[::-1]
    assert len(set(there)) == len(set(zip(there, back, strict=True))) == 3
