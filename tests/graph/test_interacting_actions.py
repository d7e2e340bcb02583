"""Which compute actions a collective may overlap: hand-made launch lists, read like a program."""

from __future__ import annotations

from simulator.graph.whole_actions import interacting_actions
from simulator.program.actions import Action
from simulator.program.program import Launch


def launches(text):
    """One launch a line: "<stream> <action>"."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return [Launch(line.split(" ", 1)[0], Action.from_text(line.split(" ", 1)[1])) for line in lines]


def marked(text, slows=("data",)):
    return sorted(interacting_actions(launches(text), lambda stream: stream in slows))


def test_a_reduction_overlaps_what_is_launched_after_it_until_the_optimizer_waits():
    text = """
        compute 0F0
        compute 0B0.0
        data reduce b0 1KiB none after 0B0.0
        compute 0B0.1
        compute optimizer after reduce b0
    """
    assert marked(text) == ["0B0.1"]


def test_what_does_not_slow_compute_marks_nothing():
    text = """
        compute 0F0
        send_forward send 0F0 >p1 1KiB after 0F0
        compute 0F1
    """
    assert marked(text) == []


def test_a_collective_that_nobody_waits_for_may_run_to_the_end():
    text = """
        compute 0F0
        data reduce b0 1KiB none after 0F0
        compute 0B0
        compute optimizer
    """
    assert marked(text) == ["0B0", "optimizer"]


def test_a_gather_at_the_start_of_the_step_overlaps_from_the_first_action():
    text = """
        data all_gather b1 1KiB none
        data all_gather b0 1KiB none
        compute 0F0.0 after all_gather b1
        compute 0F0.1 after all_gather b0
        compute 0B0
    """
    assert marked(text) == ["0F0.0"]


def test_later_collectives_of_a_stream_prove_earlier_ones_over():
    text = """
        compute 0B0.0
        data reduce b0 1KiB none after 0B0.0
        compute 0B0.1
        data reduce b1 1KiB none after 0B0.1
        compute 0B0.2
        compute optimizer after reduce b1
    """
    assert marked(text) == ["0B0.1", "0B0.2"]


def test_an_earlier_collective_proves_nothing_about_a_later_one():
    text = """
        compute 0B0.0
        data reduce b0 1KiB none after 0B0.0
        data reduce b1 1KiB none after 0B0.0
        compute 0B0.1
        compute optimizer after reduce b0
        compute table_optimizer after reduce b1
    """
    assert marked(text) == ["0B0.1", "optimizer"]


def test_a_collective_behind_another_stream_starts_after_what_that_follows():
    """reduce tied waits for reduce b0, which follows 0B0: nothing before 0B0 can overlap it."""
    text = """
        compute 0F0
        compute 0B0
        data reduce b0 1KiB none after 0B0
        tied reduce tied 1KiB none after reduce b0
        compute optimizer after reduce b0, reduce tied
    """
    assert marked(text, slows=("tied",)) == []
    assert marked(text, slows=("data", "tied")) == []


def test_a_proof_passes_through_other_streams():
    """0F1 waits for the vectors, which wait for the lookup, which waits for the ids: all exchanges are over."""
    text = """
        embedding exchange ids 0F0 1KiB
        compute lookup 0F0 after exchange ids 0F0
        embedding exchange vectors 0F0 1KiB after lookup 0F0
        compute 0F0 after exchange vectors 0F0
        compute 0B0
    """
    assert marked(text, slows=("embedding",)) == []


def test_an_exchange_with_nothing_to_wait_for_marks_the_actions_before_its_use():
    text = """
        compute 0F0
        embedding exchange ids 0F1 1KiB
        compute 0B0
        compute lookup 0F1 after exchange ids 0F1
    """
    assert marked(text, slows=("embedding",)) == ["0B0", "0F0"]


def test_a_stream_of_collectives_runs_in_order():
    """b1 has nothing to wait for itself, but b0 is ahead of it on its stream and follows 0F0."""
    text = """
        compute 0F0
        data reduce b0 1KiB none after 0F0
        data reduce b1 1KiB none
        compute 0B0
        compute optimizer after reduce b1
    """
    assert marked(text) == ["0B0"]
