"""Embedding tables: how their lookups surround the first stage's forward and backward pass.

Reads the compute launches of a rank of stage 0; adds, for each microbatch, on streams `embedding` and `compute`:

    exchange ids -> lookup -> exchange vectors -> (gather vectors) -> F ... B -> exchange gradients -> lookup B

(partial sums are reduced instead, over the table group or first inside a node: `model/tables/traffic.py`; where ids are
sent once, `deduplicate` runs ahead of the exchange of ids and of gradients, `repeat` behind that of vectors)
(bags that context and tensor ranks have shared out are gathered over both, and their gradients scattered again)
and one `table_optimizer` at the end of the step, since sparse gradients accumulate over microbatches and apply once.
Exchanges follow the compute action before them (TorchRec without its prefetch pipeline). Where the first unit reads the
vectors they are exposed; the units in front of the one that does, a DLRM's bottom MLP, run while vectors travel, and
their backward pass while gradients do, as in TorchRec, whose lookups hand out awaitables.
"""

from __future__ import annotations

from simulator.model.tables import Traffic
from simulator.program.actions import Action
from simulator.program.program import Chunk, Launch

MESSAGES: dict[str, tuple[str, str]] = {
    "exchange ids": ("all_to_all", "table"),
    "exchange vectors": ("all_to_all", "table"),
    "exchange gradients": ("all_to_all", "table"),
    "reduce vectors": ("reduce_scatter", "table"),
    "gather gradients": ("all_gather", "table"),
    "reduce node vectors": ("reduce_scatter", "table_node"),
    "gather node gradients": ("all_gather", "table_node"),
    "exchange node vectors": ("all_to_all", "table_across"),
    "exchange node gradients": ("all_to_all", "table_across"),
    "gather vectors": ("all_gather", "tensor"),
    "gather context vectors": ("all_gather", "context"),
    "scatter context gradients": ("reduce_scatter", "context"),
    "scatter gradients": ("reduce_scatter", "tensor"),
}
"""Verb -> (collective, group) of what tables send while a microbatch passes."""


def message_bytes(verb: str, traffic: Traffic) -> int:
    """Of one of them."""
    return {"exchange ids": traffic.ids, **_gathers(traffic), **_way_there(traffic), **_way_back(traffic)}[verb]


def add_tables(
    launches: list[Launch], chunks: tuple[Chunk, ...], traffic: Traffic, enters: int = 0
) -> list[Launch]:  # fmt: skip
    """The launches with the table work of every microbatch of stage 0. enters: the unit that reads the vectors."""
    segments = next(chunk for chunk in chunks if chunk.stage == 0).segments
    reads = next(place for place, (first, last) in enumerate(segments) if first <= enters <= last)
    gives = len(segments) - 1 - reads
    complete: list[Launch] = []
    previous: tuple[str, ...] = ()
    ready: tuple[str, ...] = ()
    for launch in launches:
        action = launch.action
        if launch.stream != "compute" or action.stage != 0:
            complete.append(launch)
        elif action.verb == "F":
            if not action.segment:
                before, ready = _forward(action.microbatch, traffic, previous)
                complete += before
            waits = ready if action.segment in (None, reads) else ()
            complete.append(Launch("compute", action.waiting_for(*waits)))
        else:
            complete.append(launch)
            if action.verb in "BI" and action.segment in (None, gives):
                complete += _hand_back(action, traffic)
            if action.verb in "BI" and action.segment in (None, len(segments) - 1):
                complete.append(_accumulate(action, traffic))
        if launch.stream == "compute":
            previous = (complete[-1].action.name,) if complete[-1].stream == "compute" else previous
    return complete


def update_tables(launches: list[Launch], traffic: Traffic) -> list[Launch]:
    """Adds the sparse update, and before it the all-reduce of tables that every rank holds whole."""
    if not traffic.dense_gradients:
        return [*launches, Launch("compute", Action("table_optimizer"))]
    last = [launch.action.name for launch in launches if launch.stream == "compute"][-1]
    reduce = Action("reduce", bucket="tables", size_bytes=traffic.dense_gradients, method="none", after=(last,))
    return [*launches, Launch("embedding", reduce), Launch("compute", Action("table_optimizer", after=(reduce.name,)))]


def _forward(microbatch: int, traffic: Traffic, previous: tuple[str, ...]) -> tuple[list[Launch], tuple[str, ...]]:
    of = {"stage": 0, "of": "F", "microbatch": microbatch}
    lookup = Action("lookup", **of)
    launches: list[Launch] = []
    if traffic.deduplicates:
        launches.append(Launch("compute", Action("deduplicate", **of)))
        previous = (launches[-1].action.name,)
    if traffic.ids:
        ids = Action("exchange ids", **of, size_bytes=traffic.ids, after=previous)
        launches.append(Launch("embedding", ids))
        lookup = lookup.waiting_for(ids.name)
    launches.append(Launch("compute", lookup))
    launches += _chain(of, _way_there(traffic), lookup.name)
    if traffic.deduplicates:
        launches.append(Launch("compute", Action("repeat", **of, after=(launches[-1].action.name,))))
    launches += _chain(of, _gathers(traffic), launches[-1].action.name)
    last = launches[-1]
    return launches, (last.action.name,) if last.stream != "compute" else ()


def _hand_back(action: Action, traffic: Traffic) -> list[Launch]:
    of = {"stage": 0, "of": "B", "microbatch": action.microbatch}
    if not traffic.deduplicates:
        return _chain(of, _way_back(traffic), action.name)
    summed = Action("deduplicate", **of)
    return [Launch("compute", summed), *_chain(of, _way_back(traffic), summed.name)]


def _accumulate(action: Action, traffic: Traffic) -> Launch:
    of = {"stage": 0, "of": "B", "microbatch": action.microbatch}
    sent = [Action(verb, **of).name for verb, size in _way_back(traffic).items() if size]
    return Launch("compute", Action("lookup", **of, after=tuple(sent[-1:])))


def _way_there(traffic: Traffic) -> dict[str, int]:
    return {"exchange vectors": traffic.vectors, "reduce vectors": traffic.reduced,
            "reduce node vectors": traffic.node_reduced, "exchange node vectors": traffic.across}  # fmt: skip


def _gathers(traffic: Traffic) -> dict[str, int]:
    return {"gather vectors": traffic.gather, "gather context vectors": traffic.gather_context}


def _way_back(traffic: Traffic) -> dict[str, int]:
    return {"scatter context gradients": traffic.gather_context, "scatter gradients": traffic.scatter,
            "exchange gradients": traffic.vectors, "gather gradients": traffic.reduced,
            "exchange node gradients": traffic.across, "gather node gradients": traffic.node_reduced}  # fmt: skip


def _chain(of: dict, sizes: dict[str, int], after: str) -> list[Launch]:
    """Messages that follow a compute action, one behind the other."""
    launches: list[Launch] = []
    for verb, size in sizes.items():
        if size:
            launches.append(Launch("embedding", Action(verb, **of, size_bytes=size, after=(after,))))
            after = launches[-1].action.name
    return launches
