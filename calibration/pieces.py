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
from simulator.graph.pieces import Piece
from simulator.graph.steps import StepSource
from simulator.model import blocks
from simulator.model.blocks import Cut
from simulator.model.stacks import CURRENT, software_stack
from simulator.model.work import Collective, Kernel, Step
from simulator.program.cuts import cut_of
from simulator.program.lowering import lower
from simulator.program.program import RankProgram

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
        for what, which, pieces in _rank_jobs(scenario, own, source):
            named = tuple(Named(piece.name, piece.kernels) for piece in pieces)
            meetings = tuple(dict.fromkeys(one for piece in pieces for one in _meetings(piece.steps)))
            if scenario.layout.tensor == 1:
                meetings = ()
            if all(piece.kernels for piece in named):
                job = Job(text, place, what, which, cut.attention, named, scenario.layout.ranks,
                          scenario.layout.tensor if meetings else 0, meetings)  # fmt: skip
                found.setdefault(tuple(piece.identity for piece in named), job)
    return list(found.values())


def _rank_jobs(scenario, own: RankProgram, source: StepSource) -> Iterable[tuple[str, str, list[Piece]]]:
    """(what, which, pieces) of everything that a rank computes."""
    units = blocks.units(scenario.model)
    for chunk in own.chunks:
        for index in range(chunk.first, chunk.last + 1):
            yield UNIT, str(index), [source.unit(units[index], "F"), source.unit(units[index], "B")]
    actions = [launch.action for launch in own.launches if launch.stream == "compute"]
    for bucket in own.buckets:
        codec = [action for action in actions if action.bucket == bucket.name and action.verb in ("encode", "decode")]
        codec = [action for action in codec if not action.microbatch]  # every microbatch's are alike
        codec.sort(key=lambda action: (action.verb == "decode", action.phase))  # a carried bucket's is decoded first
        if codec:
            yield BUCKET, bucket.name, [piece for action in codec for piece in source.steps(own, action)]
    lookups = {action.of: action for action in actions if action.verb == "lookup"}
    updates = [action for action in actions if action.verb == "table_optimizer"]
    if lookups:
        yield TABLES, "", [piece for action in (lookups["F"], lookups["B"], *updates)
                           for piece in source.steps(own, action)]  # fmt: skip
    for action in actions:
        if action.verb == "optimizer":
            yield OPTIMIZER, action.bucket or "", source.steps(own, action)


def _meetings(steps: Iterable[Step]) -> Iterable[tuple[str, int]]:
    return ((step.op, step.size_bytes) for step in steps if isinstance(step, Collective) and step.group == "tensor")
