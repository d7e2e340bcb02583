"""What cannot work of a DLRM, and of its parts beside a trunk: refused with the numbers and a change that fits."""

from __future__ import annotations

from simulator.errors import ScenarioError
from simulator.model.spec import ModelSpec
from simulator.plans import Plan

DENSE_EXAMPLE = "dense: {bottom: [512, 256, 128], interaction: dot, top: [1024, 512, 256, 1]}"


def check_dlrm(model: ModelSpec, plan: Plan) -> None:
    """Raises ScenarioError for the first thing that cannot work."""
    _check_bottom(model, plan)
    if not model.is_dlrm:
        _check_beside_trunk(model)
        return
    _check_dense(model)
    _check_vectors(model)
    _check_plan(plan)


def _check_bottom(model: ModelSpec, plan: Plan) -> None:
    """A bottom MLP on one rank needs tables, whose exchange brings its vectors."""
    if plan.bottom_mlp == "replicated":
        return
    if model.is_dlrm and model.dense and model.dense.bottom and model.tables:
        return
    raise ScenarioError(
        "one_rank places the bottom MLP of a DLRM (block none) beside its tables, and the model has no "
        f"{'tables' if model.is_dlrm and model.dense and model.dense.bottom else 'bottom MLP'}; use "
        "--set plan.bottom_mlp=replicated",
        key="plan.bottom_mlp",
    )


def _check_beside_trunk(model: ModelSpec) -> None:
    """Only dense.top has something to act on."""
    dense, block = model.dense, model.trunk.block
    for key in ("bottom", "interaction"):
        if dense is not None and getattr(dense, key) not in ((), "none"):
            raise ScenarioError(
                f"a {key} belongs to a DLRM, and the model has a trunk of block {block}; leave it out (dense.top "
                "behind a trunk is the MLP of a binary head), or use block none",
                key=f"model.dense.{key}",
            )


def _check_dense(model: ModelSpec) -> None:
    dense, head = model.dense, model.head
    if dense is None or not dense.top:
        raise ScenarioError(
            f"block none is a DLRM and needs dense.top, its top MLP; add {DENSE_EXAMPLE}, or name a trunk's block",
            key="model.dense.top",
        )
    if head.kind != "binary" or head.table is not None:
        scored = f"{head.kind} over table {head.table}" if head.table else head.kind
        raise ScenarioError(
            f"a DLRM (block none) has no positions to score rows at; use head: {{kind: binary}}, not {scored}",
            key="model.head.kind",
        )
    if dense.interaction == "none" and model.tables:
        raise ScenarioError(
            f"none leaves the vectors of {len(model.tables)} tables out of a DLRM; use dot, cat or dcn_v2",
            key="model.dense.interaction",
        )
    if dense.interaction == "none" and not dense.bottom:
        raise ScenarioError(
            "neither tables nor a bottom MLP feed the top; give dense.bottom or tables", key="model.dense.bottom"
        )
    if dense.interaction != "none" and not model.tables:
        raise ScenarioError(
            f"{dense.interaction} joins the vectors of tables, and the model has none; use none, or give tables",
            key="model.dense.interaction",
        )


def _check_vectors(model: ModelSpec) -> None:
    """One vector a table; for dot all of one width."""
    for place, table in enumerate(model.tables):
        if table.pooling == "none":
            raise ScenarioError(
                f"none keeps a vector for each id of table {table.name}, and a DLRM (block none) joins one a table; "
                "use sum or mean, with lookups_per_sample",
                key=f"model.tables.{place}.pooling",
            )
    if model.dense.interaction != "dot":
        return
    width = model.tables[0].dim
    for place, table in enumerate(model.tables):
        if table.dim != width:
            raise ScenarioError(
                f"table {table.name} has vectors of {table.dim} and table {model.tables[0].name} of {width}, and dot "
                "multiplies each with each; give all tables one dim, or use interaction cat or dcn_v2",
                key=f"model.tables.{place}.dim",
            )
    bottom = model.dense.bottom
    if bottom and bottom[-1] != width:
        raise ScenarioError(
            f"the bottom MLP ends in {bottom[-1]} and the tables' vectors have {width}, and dot multiplies each with "
            f"each; end dense.bottom in {width}, or use interaction cat or dcn_v2",
            key="model.dense.bottom",
        )


def _check_plan(plan: Plan) -> None:
    refused = {
        "pipeline": "has no layers to deal out to stages",
        "tensor": "keeps its MLPs whole on every rank",
        "context": "has one position a sample",
    }
    for key, reason in refused.items():
        degree = getattr(plan, key)
        if degree > 1:
            raise ScenarioError(
                f"a DLRM (block none) {reason}, and {key} is {degree}; use --set plan.{key}=1, which leaves more "
                "replicas, over which the tables are sharded (plan.embedding_sharding)",
                key=f"plan.{key}",
            )
    if plan.recompute != "none":
        raise ScenarioError(
            f"{plan.recompute} runs layers of a trunk again, and a DLRM (block none) has none; use "
            "--set plan.recompute=none, and a smaller microbatch where memory is short",
            key="plan.recompute",
        )
