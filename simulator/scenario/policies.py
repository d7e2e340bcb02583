"""The named choices of a scenario, read from the schema; whether each is built, asked of the table that refuses."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

from simulator.errors import NotSupportedYet
from simulator.plans import SHARDINGS, Aggregation, Balancer, Compression, Plan, Sync
from simulator.scenario.not_yet import check_supported
from simulator.scenario.presets import preset_model
from simulator.scenario.schema import Lengths, ScenarioFile

CHOICES = {
    "dtype": ScenarioFile.model_fields["dtype"],
    "optimizer": ScenarioFile.model_fields["optimizer"],
    "network": ScenarioFile.model_fields["network"],
    "plan.schedule": Plan.model_fields["schedule"],
    "plan.recompute": Plan.model_fields["recompute"],
    "plan.zero": Plan.model_fields["zero"],
    "plan.aggregation.algorithm": Aggregation.model_fields["algorithm"],
    "plan.aggregation.order": Aggregation.model_fields["order"],
    "plan.aggregation.sparse": Aggregation.model_fields["sparse"],
    "plan.embedding_sharding": ("auto", *SHARDINGS),
    "plan.sync.mode": Sync.model_fields["mode"],
    "plan.compression.method": Compression.model_fields["method"],
    "plan.balancer.kind": Balancer.model_fields["kind"],
    "data.lengths.kind": Lengths.model_fields["kind"],
}
"""Key -> its schema field, or its choices."""

NEEDED = {"zipf": {"alpha": 1.2, "max": 100}, "dataset": {"name": "ml-100k"}, "file": {"path": "lengths.txt"}}
"""What some kinds may not be without."""


def policies() -> Iterator[tuple[str, tuple[tuple[str, bool], ...]]]:
    """(key, ((choice, whether this version builds it), ...)) for every key with named choices."""
    for key, field in CHOICES.items():
        choices = field if isinstance(field, tuple) else typing.get_args(field.annotation)
        yield key, tuple((str(choice), _is_built(key, choice)) for choice in choices)


def _is_built(key: str, choice: Any) -> bool:
    data: dict[str, Any] = {
        "schema_version": 1,
        "name": "probe",
        "model": preset_model("sasrec_ml20m"),
        "cluster": {"preset": "dgx_h100"},
        "plan": {"data": 8, "microbatch": 1, "global_batch": 8},
    }
    *way, last = key.split(".")
    holder = data
    for part in way:
        holder = holder.setdefault(part, {})
    holder[last] = choice
    holder |= NEEDED.get(choice, {})
    try:
        check_supported(ScenarioFile.model_validate(data))
    except NotSupportedYet:
        return False
    return True
