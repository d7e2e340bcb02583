"""What given scenarios will ask for: the very kernels that their programs run, and the pieces they make up."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from calibration.asked import collectives_of
from calibration.pieces import Job, jobs_of_scenario, measured_cut
from calibration.points import COLLECTIVE, FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Point, kernel_point
from simulator.errors import ScenarioError
from simulator.graph.steps import StepSource
from simulator.model.work import Kernel, Step
from simulator.program.actions import Action
from simulator.program.lowering import lower
from simulator.scenario.loader import load_scenario

WITHOUT_PROFILE = ("profile=null",)
"""The profile that a scenario names may be the very one that is to be written."""

MOST_RANKS = 4
"""Groups of more processes are not measured."""


def wanted_by(path: str) -> list[Point | Job]:
    """What a scenario file asks for, or a JSON list of {op, shape, dtype, bytes_moved} and {op, ranks, bytes}, such as
    `rehearse simulate --missing` writes. Raises ScenarioError."""
    if path.endswith(".json"):
        return _points_of_list(path)
    scenario = load_scenario(path, WITHOUT_PROFILE)
    return [*jobs_of_scenario(scenario), *points_of_scenario(scenario)]


def points_of_scenario(scenario) -> list[Point]:
    """Every kernel, collective and transfer of one step of a scenario, each once. The steps themselves are not run."""
    program, cut = lower(scenario), measured_cut(scenario)
    source = StepSource(scenario, cut)
    found: dict[str, Point] = {}
    for own in program.ranks:
        for launch in own.launches:
            if launch.stream != "compute":
                continue
            for piece in source.steps(own, launch.action):
                for kernel, layout in _with_layouts(piece.steps, launch.action, cut.tokens):
                    point = kernel_point(kernel, layout)
                    found.setdefault(point.key, point)
    collectives = [
        Point(COLLECTIVE, op, "fp32", (ranks, size))
        for op, ranks, size in collectives_of(scenario, program, source)
        if ranks <= MOST_RANKS
    ]
    return [*found.values(), *collectives]


def _with_layouts(steps: Iterable[Step], action: Action, tokens: int) -> Iterable[tuple[Kernel, str]]:
    """Each kernel with the layout of its product: as the executor's linear layers and PowerSGD write them."""
    for step in steps:
        if not isinstance(step, Kernel):
            continue
        layout = FORWARD
        if action.verb == "encode":
            layout = WEIGHT_GRADIENT if action.phase else INPUT_GRADIENT
        elif action.verb in ("B", "I", "W"):
            sums_tokens = step.op == "gemm" and step.shape[2] == tokens and step.shape[0] != tokens
            layout = WEIGHT_GRADIENT if sums_tokens else INPUT_GRADIENT
        yield step, layout


def _points_of_list(path: str) -> list[Point]:
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
        found = [_point_of_row(row) for row in rows]
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(
            f"cannot read {path}: {error}; give a scenario or a JSON list of kernels", key="--missing"
        ) from error
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ScenarioError(
            f'{path} is not a JSON list of kernels such as {{"op": "gemm", "shape": [512, 256, 256], "dtype": "fp32"}} '
            f'or messages such as {{"op": "all_reduce", "ranks": 2, "bytes": 1024}} ({type(error).__name__} {error})',
            key="--missing",
        ) from error
    return [point for point in found if point is not None]


def _point_of_row(row: dict) -> Point | None:
    """What a row of `rehearse simulate --missing` asks for; None where its message is nothing that can be timed."""
    if "ranks" in row:
        ranks, size, nodes = int(row["ranks"]), int(row["bytes"]), int(row.get("nodes", 1))
        if ranks < 2 or size < 1 or nodes < 1 or ranks % nodes:
            return None
        return Point(COLLECTIVE, row["op"], "fp32", (ranks, size) if nodes == 1 else (ranks, size, nodes))
    shape = tuple(int(size) for size in row["shape"])
    kernel = Kernel(row["op"], shape, row.get("dtype", "fp32"), bytes_moved=int(row.get("bytes_moved", 0)))
    return kernel_point(kernel) if kernel.op and kernel.shape else None
