"""Steps laid out as ops, put in turn, and contracted: the same times whichever way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import kinds
from simulator.costs.price import Price
from simulator.engine.simpy_engine import run
from simulator.graph.event_graph import FULL_RATE, GraphBuilder
from simulator.graph.surroundings import NO_DEMAND
from simulator.graph.templates import Op, Template, contract, in_turn, lay_out, source_shares
from simulator.model.work import Collective, Kernel, Wait
from simulator.road import run_alone

HALF = FULL_RATE // 2


class Prices:
    """A kernel takes shape[0] ns, a collective its bytes in ns; tensor collectives halve the speed of compute."""

    def __init__(self, launch_ns=0, compute_rate=HALF):
        self.launch_ns = self.awaited_launch_ns = launch_ns
        self.compute_rate = compute_rate

    def kernel(self, kernel):
        return Price(kernel.shape[0], "measured", kernel.op)

    def piece(self, kernels, name):
        return tuple(map(self.kernel, kernels))

    def collective(self, op, size_bytes, span, algorithm="auto"):
        return Price(size_bytes, "extrapolated", op)

    def rates(self, kind, size_bytes=None):
        return self.compute_rate, FULL_RATE


class Span:
    def __init__(self, size):
        self.size = size


class Around:
    """A group of so many ranks whose links nobody shares."""

    def __init__(self, size):
        self.size = size

    def span(self, group):
        return Span(self.size)

    def collective(self, group, price):
        return NO_DEMAND

    def is_held_back(self, demand):
        return False


two, alone = Around(2), Around(1)


def kernel(ns, kind=kinds.COMPUTE):
    return Kernel("gemm", (ns,), "bf16", kind=kind)


def reduce(ns, handle=None):
    return Collective("all_reduce", "tensor", ns, handle=handle)


def graph_of(template):
    builder = GraphBuilder()
    for op in template.ops:
        builder.op(0, op.stream, op.price.duration_ns, after=op.after, kind=op.kind, name=op.name, parts=op.parts,
                   compute_rate=op.compute_rate, own_rate=op.own_rate)  # fmt: skip
    return builder.build()


def ends(template):
    return run(graph_of(template)).end_ns.tolist()


def test_kernels_follow_one_another():
    assert ends(lay_out((kernel(5), kernel(7)), Prices(), two)) == [5, 12]


def test_a_collective_without_a_handle_blocks_what_follows():
    template = lay_out((kernel(5), reduce(10), kernel(7)), Prices(), two)
    assert [op.stream for op in template.ops] == ["compute", "tensor", "compute"]
    assert ends(template) == [5, 15, 22]


def test_a_collective_under_a_handle_runs_beside_what_follows_until_its_wait():
    template = lay_out((kernel(5), reduce(10, "x"), kernel(4), Wait("x"), kernel(1)), Prices(), two)
    # 4 ns at half speed from 5 to 13; the collective from 5 to 15; the last kernel waits for it
    assert ends(template) == [5, 15, 13, 16]


def test_a_collective_waits_for_the_kernel_before_it_and_for_the_collective_before_it():
    template = lay_out((reduce(10, "x"), kernel(4), reduce(3, "y"), Wait("x"), Wait("y"), kernel(1)), Prices(), two)
    assert ends(template) == [10, 8, 13, 14]


def test_a_group_of_one_has_no_collectives():
    template = lay_out((kernel(5), reduce(10), reduce(3, "x"), kernel(7), Wait("x")), Prices(), alone)
    assert [op.name for op in template.ops] == ["gemm", "gemm"] and ends(template) == [5, 12]


def test_a_handle_that_nobody_waits_for_is_an_error():
    with pytest.raises(ValueError, match="nobody waits for x"):
        lay_out((reduce(10, "x"), kernel(1)), Prices(), two)


def test_a_collective_at_the_end_is_an_exit_beside_the_last_kernel():
    template = lay_out((kernel(5), reduce(10, "x"), kernel(1), Wait("x")), Prices(), two)
    assert template.entries == (0,) and template.exits == (1, 2)


def test_the_host_bounds_a_piece_of_small_kernels():
    template = lay_out((kernel(5), kernel(5)), Prices(launch_ns=8), two)
    assert template.is_host_bound and [op.stream for op in template.ops] == ["compute", "compute", "host"]
    assert ends(template) == [5, 10, 16]
    assert not lay_out((kernel(5), kernel(50)), Prices(launch_ns=8), two).is_host_bound
    device, host = template.split_host()
    assert ends(device) == [5, 10] and [op.price.duration_ns for op in host] == [16]


def test_what_follows_waits_for_all_exits():
    first = lay_out((kernel(5), reduce(10, "x"), kernel(1), Wait("x")), Prices(), two)
    second = lay_out((kernel(2), kernel(3)), Prices(), two)
    both = in_turn([first, second])
    assert both.ops[3].after == (1, 2) and ends(both) == [5, 15, 7, 17, 20]
    assert in_turn([Template(()), second]) == second == in_turn([second, Template(())])


def test_the_host_of_a_piece_holds_back_the_next_piece():
    piece = lay_out((kernel(5),), Prices(launch_ns=8), two)
    assert ends(in_turn([piece, piece])) == [5, 8, 13, 16]


def steps(draw):
    """A random piece: kernels, blocking collectives, and collectives under handles that are waited for."""
    found, open_handles = [], []
    for number in range(draw(st.integers(1, 6))):
        what = draw(st.sampled_from(["kernel", "kernel", "blocking", "handle", "wait"]))
        ns = draw(st.integers(0, 50))
        if what == "kernel":
            found.append(kernel(ns, draw(st.sampled_from([kinds.COMPUTE, kinds.RECOMPUTE]))))
        elif what == "blocking":
            found.append(reduce(ns))
        elif what == "handle":
            found.append(reduce(ns, f"h{number}"))
            open_handles.append(f"h{number}")
        elif open_handles:
            found.append(Wait(open_handles.pop(0)))
    return (*found, *map(Wait, open_handles))


pieces = st.composite(steps)()


@given(st.lists(pieces, min_size=1, max_size=3), st.sampled_from([0, 3, 30]), st.integers(1, FULL_RATE))
def test_contracting_keeps_the_time_and_says_what_it_is_made_of(all_steps, launch_ns, rate):
    laid = [lay_out(one, Prices(launch_ns, rate), two) for one in all_steps]
    whole, small = in_turn(laid), contract(laid, "F", run_alone, two)
    assert max(ends(small), default=0) == max(ends(whole), default=0)
    assert len(small.ops) <= len(whole.ops)
    for op in small.ops:
        assert not op.parts or sum(ns for _, ns in op.parts) == op.price.duration_ns


@given(pieces, pieces)
def test_pieces_in_turn_take_as_long_as_each_alone(first, second):
    laid = [lay_out(one, Prices(), two) for one in (first, second)]
    assert max(ends(in_turn(laid)), default=0) == sum(max(ends(one), default=0) for one in laid)


def test_parts_tell_kernels_from_exposed_collectives():
    piece = lay_out((kernel(5), reduce(10, "x"), kernel(4), Wait("x"), kernel(6, kinds.RECOMPUTE)), Prices(), two)
    small = contract([piece], "B", run_alone, two)
    assert len(small.ops) == 1 and small.ops[0].name == "B"
    # 5 alone, 8 slowed, 2 of the collective exposed, 6 recomputed
    assert dict(small.ops[0].parts) == {kinds.COMPUTE: 13, kinds.TENSOR: 2, kinds.RECOMPUTE: 6}
    assert small.ops[0].group == "tensor" and small.ops[0].kind == kinds.COMPUTE


def test_a_contracted_op_is_of_the_kind_of_most_of_its_kernels():
    piece = lay_out((kernel(5), kernel(9, kinds.OPTIMIZER)), Prices(), two)
    assert contract([piece], "optimizer", run_alone, two).ops[0].kind == kinds.OPTIMIZER


def test_provenance_counts_each_op_but_not_the_host():
    piece = lay_out((kernel(5), reduce(10), kernel(4)), Prices(launch_ns=100), two)
    shares = source_shares(piece)
    assert shares.sum() == 19 and sorted(shares[shares > 0].tolist()) == [9, 10]


def test_a_template_of_one_op_is_its_own_contraction():
    piece = lay_out((kernel(5),), Prices(), two)
    assert (
        contract([piece], "F", run_alone, two)
        == piece
        == Template((Op("compute", kinds.COMPUTE, piece.ops[0].price, "gemm"),))
    )
