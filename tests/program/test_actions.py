"""An action is one line of text, and the line is the action."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.program.actions import BUCKET_VERBS, COMPUTE_VERBS, STAGE_VERBS, STEP_VERBS, Action

LINES = [
    "1F3",
    "1B3.2 after all_gather b0",
    "recv 1F3 <p0 4MiB",
    "send 0F3 >p1 4097B after 0F3",
    "reduce b7 25MiB topk after encode b7",
    "encode b7.1 powersgd after reduce b7",
    "reduce tied 100MiB none after 0B7",
    "reduce_scatter b12 3GiB none after 2B0.1",
    "reduce_scatter b7 B3 25MiB none after 0B3.1",
    "all_gather b7 F0 12MiB none",
    "exchange vectors 0F3 1KiB after lookup 0F3",
    "lookup 0B3",
    "optimizer after reduce b7, reduce b8",
]


@pytest.mark.parametrize("line", LINES)
def test_a_line_reads_back_as_itself(line):
    assert Action.from_text(line).text == line


def test_a_name_is_the_line_without_sizes_peers_and_waits():
    assert Action.from_text("send 0F3 >p1 4MiB after 0F3").name == "send 0F3"
    assert Action.from_text("reduce b7.1 25MiB powersgd after encode b7.1").name == "reduce b7.1"
    assert Action.from_text("1B3.2").name == "1B3.2"
    assert Action.from_text("reduce_scatter b7 B3 25MiB none after 0B3.1").name == "reduce_scatter b7 B3"


@pytest.mark.parametrize("line", ["", "F3", "1X3", "1F", "recv 1F3 <q0", "reduce b 25MiB", "reduce b7 25 MiB", "dance"])
def test_anything_else_is_refused_with_examples(line):
    with pytest.raises(ValueError, match="not an action such as"):
        Action.from_text(line)


def make(*values, **named):
    """hypothesis would invent the fields of a named tuple that are left out."""
    return Action(*values, **named)


def actions():
    small = st.integers(0, 300)
    size = st.none() | st.integers(1, 2**45)
    waits = st.lists(st.builds("{}F{}".format, small, small), max_size=2).map(tuple)

    def make(verb, **fields):
        return Action(verb, **fields)  # named fields only: the others keep their defaults

    compute = st.builds(
        make, st.sampled_from(COMPUTE_VERBS), stage=small, microbatch=small, segment=st.none() | small, after=waits
    )
    staged = st.builds(
        make, st.sampled_from(STAGE_VERBS), stage=small, microbatch=small, of=st.sampled_from("FB"), size_bytes=size,
        peer=st.none() | small, after=waits,
    )  # fmt: skip
    bucket = st.builds(
        make, st.sampled_from(BUCKET_VERBS), bucket=st.builds("b{}".format, small) | st.just("tied"), phase=small,
        size_bytes=size, method=st.sampled_from([None, "none", "topk", "powersgd"]), after=waits,
    )  # fmt: skip
    of_one = st.builds(
        make, st.sampled_from(BUCKET_VERBS), bucket=st.builds("b{}".format, small), of=st.sampled_from("FB"),
        microbatch=small, size_bytes=size, method=st.sampled_from([None, "none"]), after=waits,
    )  # fmt: skip
    return compute | staged | bucket | of_one | st.builds(make, st.sampled_from(STEP_VERBS), after=waits)


@given(actions())
def test_every_action_round_trips(action):
    assert Action.from_text(action.text) == action
