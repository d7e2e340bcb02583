"""Every key that is accepted moves the answer the right way, or has nothing to act on and leaves it.

A row: base scenario, key, settings of the first, settings of the second, what is looked at, how the first compares with
the second, settings of both (`knobs.Knob`). Rows stand in files by section of the scenario.
"""

from __future__ import annotations

import re

import balancer_knobs
import compression_knobs
import pytest
from adapter_knobs import ADAPTERS
from cluster_knobs import ROWS
from dlrm_knobs import DLRM
from gradient_knobs import GRADIENTS
from knobs import SIGNS, Knob, launches, memory, sent, sets, step, step_mean, time_of, timeline
from length_knobs import LENGTH_ROWS
from model_knobs import MODEL
from plan_knobs import PLAN
from road_scenarios import answer
from setting_knobs import SETTINGS
from sharded_compression_knobs import SHARDED_COMPRESSION
from table_knobs import TABLE_ROWS
from value_knobs import VALUE_ROWS

from simulator.scenario.keys import keys_at, sections_at
from simulator.scenario.not_yet import NOT_YET

LOOKS = {"step": step, "step_mean": step_mean, "timeline": timeline, "sent": sent("reduce"),
         "buffers": memory("buffers"), "compression": time_of("compression")}  # fmt: skip
CLUSTERS = [
    Knob(base, key, first, second, LOOKS[look], sign, both)
    for base, key, first, second, look, sign, both in (*ROWS, *compression_knobs.ROWS, *balancer_knobs.ROWS)
]
ASKED = {"launches": launches, "memory": memory, "sent": sent, "time_of": time_of}


def look_of(words: str):
    """The look of a table's row: `step`, or `sent exchange ids`."""
    name, _, argument = words.partition(" ")
    return ASKED[name](argument) if argument else LOOKS[name]


ASKED_ROWS = [
    Knob(base, key, one, other, look_of(look), sign, both)
    for base, key, one, other, look, sign, both in (*TABLE_ROWS, *LENGTH_ROWS, *SHARDED_COMPRESSION, *VALUE_ROWS)
]

KNOBS = [*PLAN, *GRADIENTS, *MODEL, *ADAPTERS, *DLRM, *SETTINGS, *CLUSTERS, *ASKED_ROWS]


@pytest.mark.parametrize("knob", KNOBS, ids=str)
def test_the_knob_moves_the_answer_the_right_way(knob):
    first = knob.look(answer(knob.base, *sets(knob.key, knob.first, knob.both)))
    second = knob.look(answer(knob.base, *sets(knob.key, knob.second, knob.both)))
    assert SIGNS[knob.sign](first, second), f"{first} {knob.sign} {second}"


LEFT_OUT = {
    "schema_version", "model.preset", "model.huggingface",  # what they stand for is tested with the scenario
    "model.tables.name", "model.tables.ids.kind",  # a name; a kind that comes with its whole `ids` above
    *(f"plan.sync.{key}" for key in ("staleness", "period")),  # of modes that are refused
    "data.lengths.name",  # tests/scenario/test_stated_lengths.py
}  # fmt: skip
"""Keys that only a refused kind takes, or that are tested elsewhere."""


def leaves(path: tuple[str, ...] = ()) -> list[str]:
    """Every key of the scenario file that holds a plain value, dotted, without list indices."""
    found = []
    for key in keys_at(path):
        here = (*path, key)
        found += leaves(here) if sections_at(here) else [".".join(here)]
    return found


def test_every_key_that_is_accepted_has_a_knob_here():
    tested = {re.sub(r"\.\d+", "", knob.key) for knob in KNOBS}
    refused = {key.replace(".*", "") for key, _, _ in NOT_YET}
    missing = [
        key for key in leaves()
        if key not in tested | LEFT_OUT and not any(key == one or key.startswith(f"{one}.") for one in refused)
    ]  # fmt: skip
    assert missing == []
