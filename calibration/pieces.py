"""Jobs: units, optimizers and compressors of a scenario, to be run by the executor's own modules and timed as pieces.

A job belongs to one rank of one scenario and yields one or more pieces (`costs/pieces.py`): a unit its forward and its
backward, a bucket its encoding and decoding, the tables their lookup, accumulation and update. The only collectives
that a job runs are those of its tensor group, where all ranks of that measure at once. A whole step of the scenario is
never run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from simulator.costs.pieces import Identity, identity
from simulator.graph.steps import StepSource
from simulator.model import blocks
from simulator.model.blocks import Cut
from simulator.model.stacks import CURRENT, software_stack
from simulator.model.work import Collective, Kernel, Step
from simulator.program.actions import Action
from simulator.program.lowering import cut_of, lower
from simulator.program.program import Program, RankProgram

DEFAULTS = {"stack": CURRENT.name, "attention": "flash"}
"""Of a calibrated profile: the executor runs torch's fused attention, and adds weight gradients in the product."""

UNIT, BUCKET, TABLES, OPTIMIZER = "unit", "bucket", "tables", "optimizer"


@dataclass(frozen=True)
class Named:
    """One piece that a job yields. name: `sasrec.attention.F`, `topk.encode`, `adam.optimizer`, `adam.lookup.F`."""

    name: str
    kernels: tuple[Kernel, ...]

    @property
    def key(self) -> str:
        """Equal keys are the same piece."""
        return json.dumps([self.name, [[op, list(shape), dtype, moved] for op, shape, dtype, moved in self.identity]])

    @property
    def identity(self) -> Identity:
        return identity(self.kernels)

    @classmethod
    def of_key(cls, key: str) -> Named:
        name, rows = json.loads(key)
        kernels = (Kernel(op, tuple(shape), dtype, bytes_moved=moved) for op, shape, dtype, moved in rows)
        return cls(name, tuple(kernels))


@dataclass(frozen=True)
class Job:
    """scenario: its canonical JSON. place: of the rank among the program's representatives. what: UNIT, BUCKET, ...

    which: of a unit its index in the model, of a bucket its name. pieces: in the order in which a run yields them.
    meets: ranks of the tensor group that its collectives are of, 0 where it has none. meetings: (op, bytes) of those.
    ranks: of the whole scenario.
    """

    scenario: str
    place: int
    what: str
    which: str
    attention: str
    pieces: tuple[Named, ...]
    ranks: int = 1
    meets: int = 0
    meetings: tuple[tuple[str, int], ...] = ()

    @property
    def key(self) -> str:
        """A job is known by its pieces."""
        return "job " + " ".join(piece.key for piece in self.pieces)

    def to_record(self) -> dict:
        """What a measuring process needs to run it."""
        return {"scenario": self.scenario, "place": self.place, "what": self.what, "which": self.which,
                "attention": self.attention, "key": self.key, "num_pieces": len(self.pieces),
                "meets": self.meets}  # fmt: skip


def measured_cut(scenario) -> Cut:
    """The cut of the work as the executor does it, on a calibrated profile."""
    return cut_of(scenario, stack=software_stack(scenario.software, DEFAULTS))


def jobs_of_scenario(scenario) -> list[Job]:
    """The jobs of every representative rank of a scenario, each distinct one once."""
    program, cut = lower(scenario), measured_cut(scenario)
    source = StepSource(scenario, cut)
    text = scenario.canonical_json()
    found: dict[tuple, Job] = {}
    for place, own in enumerate(program.ranks):
        for what, which, pieces in _rank_jobs(scenario, program, own, source):
            named = tuple(Named(name, _kernels(steps)) for name, steps in pieces)
            meetings = tuple(dict.fromkeys(one for _, steps in pieces for one in _meetings(steps)))
            if scenario.layout.tensor == 1:
                meetings = ()
            if all(piece.kernels for piece in named):
                job = Job(text, place, what, which, cut.attention, named, scenario.layout.ranks,
                          scenario.layout.tensor if meetings else 0, meetings)  # fmt: skip
                found.setdefault(tuple(piece.identity for piece in named), job)
    return list(found.values())


def _rank_jobs(scenario, program: Program, own: RankProgram, source: StepSource) -> Iterable[tuple[str, str, list]]:
    """(what, which, [(name, steps), ...]) of everything that a rank computes."""
    model, units = scenario.model, blocks.units(scenario.model)
    for chunk in own.chunks:
        for index in range(chunk.first, chunk.last + 1):
            kind = unit_name(model, units[index])
            yield UNIT, str(index), [(f"{kind}.F", blocks.forward(model, units[index], source.cut)),
                                     (f"{kind}.B", blocks.backward(model, units[index], source.cut))]  # fmt: skip
    actions = [launch.action for launch in own.launches if launch.stream == "compute"]
    method = scenario.plan.compression.method
    for bucket in own.buckets:
        codec = [action for action in actions if action.bucket == bucket.name and action.verb in ("encode", "decode")]
        if codec:
            yield BUCKET, bucket.name, [(f"{method}.{_codec_name(one)}", _joined(source, own, one)) for one in codec]
    lookups = {action.of: action for action in actions if action.verb == "lookup"}
    update = next((action for action in actions if action.verb == "table_optimizer"), None)
    if lookups and update is not None:
        kinds = "+".join(dict.fromkeys(table.optimizer for table in blocks.sparse_tables(model)))
        yield TABLES, "", [(f"{kinds}.lookup.F", _joined(source, own, lookups["F"])),
                           (f"{kinds}.lookup.B", _joined(source, own, lookups["B"])),
                           (f"{kinds}.table_optimizer", _joined(source, own, update))]  # fmt: skip
    for action in actions:
        if action.verb == "optimizer":
            yield OPTIMIZER, action.bucket or "", [(f"{scenario.optimizer}.optimizer", _joined(source, own, action))]


def unit_name(model, unit) -> str:
    """The block and the unit's kind; heads and embeddings of one block are of several."""
    kind = unit.kind
    if kind == "head":
        kind = f"head.{model.head.kind}"
    elif kind == "embedding":
        kind = "embedding.tokens" if blocks.embedding.token_table(model) else "embedding.vectors"
    return f"{model.trunk.block}.{kind}"


def _codec_name(action: Action) -> str:
    return f"{action.verb}.{action.phase}" if action.phase else action.verb


def _joined(source: StepSource, own: RankProgram, action: Action) -> tuple[Step, ...]:
    return tuple(step for piece in source.steps(own, action) for step in piece)


def _kernels(steps: Iterable[Step]) -> tuple[Kernel, ...]:
    return tuple(step for step in steps if isinstance(step, Kernel))


def _meetings(steps: Iterable[Step]) -> Iterable[tuple[str, int]]:
    return ((step.op, step.size_bytes) for step in steps if isinstance(step, Collective) and step.group == "tensor")
