"""Where samples differ in length, replicas that drew the same still fold, and nothing else changes.

The random plans of `test_folding_and_contraction.py`, with lengths that are often equal (alpha 3: four of five samples
are 1 long) or seldom.
"""

import json

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_folding_and_contraction import agreeing, scenarios, timeline

from simulator.errors import ScenarioError
from simulator.program.jagged import deal_out
from simulator.program.lowering import lower
from simulator.program.program import Program, check_program
from simulator.scenario.loader import scenario_from


@st.composite
def jagged(draw):
    base = draw(st.booleans().flatmap(lambda broken: scenarios(broken)))
    assume(base.layout.ranks <= 32)
    alpha, longest = draw(st.sampled_from([(3.0, 200), (1.2, 256), (1.5, 2)]))
    layout = draw(st.sampled_from(["packed", "padded"]))
    lengths = f"data.lengths={{kind: zipf, alpha: {alpha}, max: {longest}, layout: {layout}}}"
    balancer = "length" if draw(st.booleans()) else "none"
    sets = (lengths, f"seed={draw(st.integers(0, 3))}", f"plan.balancer.kind={balancer}")
    try:
        return scenario_from(json.loads(base.canonical_json()), set=sets)
    except ScenarioError:
        assume(False)


@settings(max_examples=settings.default.max_examples // 2)
@given(jagged())
def test_folding_and_contraction_change_nothing_for_jagged_samples(scenario):
    reference, folded, smallest = agreeing(scenario)
    assert len(smallest) <= len(folded) <= len(reference)


@settings(max_examples=settings.default.max_examples // 2)
@given(jagged())
def test_a_jagged_program_is_whole_and_reads_as_it_is_written(scenario):
    program = lower(scenario)
    check_program(program)
    assert Program.from_text(program.to_text()) == program
    dealt = deal_out(scenario, 0)
    assert sorted(n for own in dealt for one in own.samples for n in one.lengths) == sorted(scenario.lengths())
    for own in program.ranks:
        for rank in own.members:
            assert own.samples == dealt[scenario.layout.coordinates(rank)[1]].samples


def test_replicas_with_the_same_samples_fold_and_others_do_not():
    file = {
        "schema_version": 1, "name": "x", "cluster": {"preset": "dgx_h100", "nodes": 4},
        "model": {"trunk": {"block": "hstu", "layers": 2, "hidden": 256, "heads": 4, "seq": 128},
                  "tables": [{"name": "item", "rows": 1000, "dim": 256}], "head": {"kind": "binary"}},
        "plan": {"microbatch": 1, "global_batch": 32},
    }  # fmt: skip
    lengths = "data.lengths={kind: zipf, alpha: 1.2, max: 128}"
    differing = scenario_from(file, set=(lengths,))
    equal = scenario_from(file, set=(lengths, "data.lengths.max=1"))
    assert len(timeline(equal, folded=True, contracted=True).ranks) == 1
    found = timeline(differing, folded=True, contracted=True)
    assert len(set(differing.lengths())) <= len(found.ranks) < 32
    assert sum(found.multiplicity) == 32
