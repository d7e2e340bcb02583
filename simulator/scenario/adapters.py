"""What an adapter can stand beside: matrices that the blocks have, and a first stage that has something to train."""

from __future__ import annotations

from simulator.errors import ScenarioError
from simulator.model import blocks
from simulator.model.spec import ModelSpec
from simulator.plans import Plan


def check_adapter(model: ModelSpec, plan: Plan) -> None:
    """Raises ScenarioError for targets that the block has not, and for a stage with nothing to train at the bottom."""
    if model.adapter is None:
        return
    block, key = model.trunk.block, "model.adapter.targets"
    if block not in blocks.STYLES:
        raise ScenarioError(
            f"an adapter stands beside the matrices of layers, and block {block} has none; leave adapter out, or use "
            f"{', '.join(blocks.STYLES)}",
            key="model.adapter",
        )
    stated, known = model.adapter.targets, blocks.adapter_targets(model.trunk)
    wrong = [target for target in stated if target not in known]
    if not stated or wrong:
        said = f"{wrong[0]} is no matrix of block {block}" if wrong else "nothing has an adapter"
        raise ScenarioError(f"{said}; name some of {', '.join(known)}", key=key)
    twice = [target for target in stated if stated.count(target) > 1]
    if twice:
        raise ScenarioError(f"{twice[0]} is named {stated.count(twice[0])} times; once is enough", key=key)
    if isinstance(plan.partition, tuple) and plan.partition[0] == 0 and not blocks.sparse_tables(model):
        raise ScenarioError(
            f"{list(plan.partition)} leaves the first stage the frozen embedding and nothing to train, so that no "
            "gradient is sent to it; give it a layer, or use --set plan.partition=balanced",
            key="plan.partition",
        )
