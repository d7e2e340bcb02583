"""The table of links: what carries as much shares a row."""

from dataclasses import replace

from simulator.graph.expand import LinkUse
from simulator.report.html import report_html
from simulator.units import GIB

RATE = 25_000_000_000


def test_links_that_carry_as_much_share_a_row_and_the_busiest_comes_first(made_result):
    busiest = LinkUse("gpu0>switch", RATE, 3 * GIB)
    others = [LinkUse(f"gpu{place}>switch", RATE, 2 * GIB) for place in range(1, 20)]
    page = report_html(replace(made_result, busiest_links=(busiest, *others)))
    assert page.count("&gt;switch") == 2
    assert page.index("gpu0&gt;switch<") < page.index("gpu1&gt;switch and 18 more<")
