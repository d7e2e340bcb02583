"""What the format can say and this version does not build is refused by name, never accepted and ignored."""

import pytest
from scenario_texts import HSTU

from simulator.errors import NotSupportedYet
from simulator.scenario.not_yet import NOT_YET

ASKS = {
    "model.tables.*.dtype": "model.tables.1.dtype=fp8",
    "dtype": "dtype=fp8",
    "precision.parameters": "precision.parameters=fp8",
    "precision.gradients": "precision.gradients=fp8",
    "precision.vectors": "precision.vectors=fp8",
    "precision.reduce": "precision.reduce=fp8",
    "plan.sync.mode": "plan.sync={mode: ssp, staleness: 2}",
    "plan.sync.servers": "plan.sync={mode: synchronous, servers: {count: 2}}",
    "faults.mtbf_hours": "faults.mtbf_hours=100",
    "faults.checkpoint": "faults.checkpoint={every_steps: 10, write_bytes_per_s: 1e9}",
    "faults.spares": "faults.spares=1",
    "serving": "serving.replicas=2",
    "prices": "prices=prices.csv",
}
"""One way to ask for each line of the table."""


def test_every_line_of_the_table_has_its_case_here():
    assert [key for key, _, _ in NOT_YET] == list(ASKS)


@pytest.mark.parametrize("key", ASKS)
def test_what_is_not_built_is_refused_by_key_with_what_to_use(refused, key):
    said = refused(HSTU, ASKS[key], kind=NotSupportedYet)
    assert "not supported yet; " in said
    assert said.endswith(next(instead for known, _, instead in NOT_YET if known == key))
    assert said.startswith(("--set", "s.yaml")) and key.replace("*", "1").split(".")[-1] in said
