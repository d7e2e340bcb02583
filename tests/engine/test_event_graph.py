"""What a builder and an event graph hold about links."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.graph.checks import check_graph
from simulator.graph.event_graph import GraphBuilder


def test_a_graph_without_links_has_columns_all_the_same():
    graph = GraphBuilder()
    graph.op(0, "data", 7)
    built = graph.build()
    no_links = replace(built, latency_ns=np.zeros(0), flow_bytes_per_s=np.zeros(0), demand_first=np.zeros(0))
    for each in (built, no_links, GraphBuilder().build()):
        check_graph(each)
        assert len(each.latency_ns) == len(each.flow_bytes_per_s) == len(each)
        assert each.demand_first.tolist() == [0] * (len(each) + 1)
        assert each.is_fixed


def test_a_builder_lists_each_ops_loads_in_rows():
    graph = GraphBuilder()
    out, back = graph.link("node0/port0/out", 100), graph.link("node0/port0/in", 80)
    graph.op(0, "compute", 9)
    graph.op(0, "send", 9, latency_ns=2, flow_bytes_per_s=40, demands=((out, 40), (back, 10)))
    graph.op(0, "recv", 9, flow_bytes_per_s=30, demands=((back, 60),))
    built = graph.build()
    check_graph(built)
    assert built.link_names == ("node0/port0/out", "node0/port0/in")
    assert built.link_capacity.tolist() == [100, 80]
    assert built.demand_first.tolist() == [0, 0, 2, 3]
    assert built.demand_link.tolist() == [out, back, back]
    assert built.demand_bytes_per_s.tolist() == [40, 10, 60]
    assert built.latency_ns.tolist() == [0, 2, 0]
    assert built.flow_bytes_per_s.tolist() == [0, 40, 30]


def test_an_op_that_uses_a_link_may_be_slowed():
    graph = GraphBuilder()
    wire = graph.link("wire", 100)
    graph.op(0, "data", 9, flow_bytes_per_s=10)
    assert graph.build().is_fixed
    graph.op(0, "data", 9, flow_bytes_per_s=10, demands=((wire, 10),))
    assert not graph.build().is_fixed


def test_a_link_has_a_name_of_its_own():
    graph = GraphBuilder()
    graph.link("wire", 100)
    with pytest.raises(ValueError, match="'wire' already"):
        graph.link("wire", 100)
