"""Launches that a device waits for: the host is behind where the device has run empty."""

from __future__ import annotations

from test_templates import Prices, ends, kernel, two

from simulator.graph.templates import contract, in_turn, lay_out
from simulator.model.work import Host
from simulator.road import run_alone


def laid_out(*steps, launch_ns=8, launched=False):
    return lay_out(steps, Prices(launch_ns=launch_ns), two, launched=launched)


def test_what_follows_waits_for_the_host_and_the_host_for_nothing():
    # launches end at 16 and 24; the first kernel from 16 to 19, the second from 24
    assert ends(laid_out(Host(2), kernel(3), Host(1), kernel(5))) == [16, 19, 24, 29]
    # a long kernel hides the second launch
    assert ends(laid_out(Host(2), kernel(30), Host(1), kernel(5))) == [16, 46, 24, 51]


def test_the_next_piece_waits_for_launches_that_end_one():
    assert ends(in_turn([laid_out(kernel(5), Host(1)), laid_out(kernel(7))])) == [5, 8, 15]


def test_contracting_other_pieces_leaves_the_wait_where_it_is():
    pieces = [laid_out(Host(2), kernel(3)), laid_out(kernel(4), kernel(6)), laid_out(Host(1)), laid_out(kernel(2))]
    whole = contract(pieces, "F", run_alone, two)
    assert len(whole.ops) == 5 and max(ends(whole)) == max(ends(in_turn(pieces))) == 16 + 3 + 10 + 8 + 2


def test_a_graph_of_small_kernels_is_launched_at_once():
    assert laid_out(kernel(5), kernel(5), launched=True).is_host_bound
    assert not laid_out(kernel(5), kernel(5)).is_host_bound
