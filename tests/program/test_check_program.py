"""Each law of `check_program`, broken once in a text that a person can read."""

import pytest

from simulator.errors import BrokenLaw
from simulator.program.program import Program, check_program

LEGAL = """\
program tensor 2 context 1 data 1 pipeline 2
r0 stands for 0..1
r0 stage 0 units 0..1
r0.compute 0F0
r0.send_forward send 0F0 >p1 4KiB after 0F0
r0.recv_backward recv 0B0 <p1 4KiB
r0.compute 0B0 after recv 0B0
r0.compute optimizer
r2 stands for 2..3
r2 stage 1 units 2..3
r2.recv_forward recv 1F0 <p0 4KiB
r2.compute 1F0 after recv 1F0
r2.compute 1B0
r2.send_backward send 1B0 >p0 4KiB after 1B0
r2.compute optimizer
"""


def broken(old, new):
    assert old in LEGAL
    return Program.from_text(LEGAL.replace(old, new, 1))


def test_the_unbroken_program_is_legal():
    check_program(Program.from_text(LEGAL))


@pytest.mark.parametrize("old, new, law", [
    ("stands for 0..1", "stands for 0..0", "stands for 3 ranks, the layout has 4"),
    ("stands for 0..1", "stands for 0..2", "stands for 5 ranks, the layout has 4"),
    ("r0.compute optimizer", "r0.compute 0F0", "r0.compute launches 0F0 twice"),
    ("r0.compute 0B0 after recv 0B0", "r0.compute 0B0 after recv 0B1",
     "r0.compute 0B0 waits for recv 0B1, not launched before it"),
    ("r0.compute 0F0\n", "r0.compute 0F0 after 0B0\n", "0F0 waits for 0B0, not launched before it"),
    ("r0.send_forward send 0F0 >p1 4KiB after 0F0\n", "", "1F0 from pipeline rank 0 to 1 is awaited but never sent"),
    ("r2.recv_forward recv 1F0 <p0 4KiB\nr2.compute 1F0 after recv 1F0", "r2.compute 1F0",
     "1F0 from pipeline rank 0 to 1 is sent but never received"),
    ("send 1B0 >p0 4KiB", "send 1B0 >p0 2KiB", "0B0 from pipeline rank 1 to 0"),
    ("send 1B0 >p0 4KiB", "send 1B0 >p1 4KiB", "0B0 from pipeline rank 1 to"),
    ("recv 1F0 <p0 4KiB", "recv 1F1 <p0 4KiB", "1F0"),
])  # fmt: skip
def test_each_law_has_its_sentence(old, new, law):
    text = LEGAL.replace(old, new, 1)
    if "recv 1F1" in new:
        text = text.replace("after recv 1F0", "after recv 1F1")
    with pytest.raises(BrokenLaw) as caught:
        check_program(Program.from_text(text))
    assert law in str(caught.value)


def test_a_rank_that_nobody_stands_for_is_found_whatever_the_count():
    twice = broken("stands for 2..3", "stands for 1 2")  # four members, but rank 3 is missing
    with pytest.raises(BrokenLaw, match="stands for"):
        check_program(twice)
