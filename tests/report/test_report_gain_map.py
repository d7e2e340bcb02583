"""The map of gains: every known cell says its gain, in a colour that grows with the ratio either way."""

from simulator.report.gain_map import FULL, gain_map

GAINS = {("small", "slow"): 1.0, ("small", "fast"): -0.5, ("large", "fast"): 65.42}


def test_twice_as_fast_is_as_blue_as_half_as_fast_is_red_and_what_is_unknown_stays_empty():
    heat = gain_map(("small", "large"), ("slow", "fast"), GAINS).data[0]
    assert [list(line) for line in heat.z] == [[1.0, -1.0], [None, FULL]]
    assert (heat.zmin, heat.zmax) == (-FULL, FULL)


def test_every_known_cell_is_written_and_readable_on_its_colour():
    notes = gain_map(("small", "large"), ("slow", "fast"), GAINS).layout.annotations
    assert {(note.y, note.x): note.text for note in notes} == {
        ("small", "slow"): "+100 %", ("small", "fast"): "-50 %", ("large", "fast"): "+6,542 %"
    }  # fmt: skip
    assert {note.text: note.font.color for note in notes}["+6,542 %"] == "#FFFFFF"
