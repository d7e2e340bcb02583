"""calibrate: measures the machine it runs on and writes a cost profile. Imports no torch: measuring processes do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from calibration import checks, facts, files, grid, machine, side_by_side, typical
from calibration.build import Context
from calibration.imports.command import import_file
from calibration.measure import launched
from calibration.measure.fleet import Fleet
from calibration.measure.groups import lie_of, lies
from calibration.pieces import Job, jobs_of_scenario
from calibration.points import COLLECTIVE, KERNEL, Point, merged
from calibration.report import report_lines
from calibration.scenarios import MOST_RANKS, wanted_by
from calibration.session import Say, Session
from calibration.sizes import OF_DEVICE
from simulator import registry
from simulator.cluster import Cluster
from simulator.errors import RehearseError, ScenarioError
from simulator.units import DTYPE_BYTES

__all__ = ["calibrate", "follows", "import_file", "report_lines"]

DEVICES = ("cpu", "cuda", "auto")
DTYPES = {"cpu": "fp32", "cuda": "bf16"}
"""What the standard points are measured in; `--missing` adds whatever its scenario asks for."""

WORLDS = (2, 4)
LEAST_SHARE = 0.25
"""Of the budget: so much is for measuring, however long starting took."""

SMALL_BUDGET_S = 20.0
"""Below this there is no time for a group of four: it would leave too little for the kernels."""


class NoTorch(RehearseError):
    """Measuring needs torch."""

    kind = "no_torch"


def calibrate(
    device: str = "auto", *, budget_s: float = 90.0, out: str | None = None, missing: Sequence[str] = (),
    command: str = "rehearse calibrate", say: Say = lambda *line: None,
) -> tuple[dict, str]:  # fmt: skip
    """Measures until the budget is spent and returns (the profile's record, the file it is in).

    A profile that is already at `out` is continued. missing: scenarios, whose kernels are measured first and exactly;
    where all are JSON lists (`rehearse simulate --missing`), nothing but those is measured. Raises ScenarioError for
    options that cannot be used, NoTorch without torch.
    """
    began = time.monotonic()
    with calibrating(device, budget_s=budget_s, out=out, missing=missing, command=command, say=say) as session:
        try:
            now = time.monotonic()
            record = session.run(max(began + budget_s, now + LEAST_SHARE * budget_s))
        except KeyboardInterrupt:
            if not session.has_measured:
                raise
            say("interrupted: writing what was measured")
            record = session.flush()
    return record, session.out


@contextmanager
def calibrating(
    device: str = "auto", *, budget_s: float = 90.0, out: str | None = None, missing: Sequence[str] = (),
    command: str = "rehearse calibrate", say: Say = lambda *line: None,
) -> Iterator[Session]:  # fmt: skip
    """A session to measure with, its processes running until it is left. Arguments and errors: `calibrate`."""
    device, gpus = _resolve(device)
    points, wanted = _points(device, gpus, missing, budget_s)
    worlds = {one.shape[0] for one in points if isinstance(one, Point) and one.what == COLLECTIVE and not one.shape[2:]}
    ranks = computing_ranks() if device == "cpu" else gpus
    per_node = launched.local_world() if launched.is_launched() else max(ranks, *worlds, 1)
    world = launched.whole_world() if launched.is_launched() else per_node
    say(f"{world} measuring processes for {len(points)} points")
    kind = launched.LaunchedFleet if launched.is_launched() else Fleet
    cluster = _cluster(device, ranks)
    name = f"{cluster.node_type.device.name}_measured"
    out = f"{name}.json" if out is None else out
    with files.held(out), kind(world, device, share=ranks, per_node=per_node) as fleet:
        facts = machine.describe(device, fleet.described, ranks) | ({"nodes": world // per_node} if world > per_node
                                                                    else {})  # fmt: skip
        journal = files.resume(out, facts)
        if journal.num_samples:
            say(f"going on with {journal.num_samples} samples of {out}")
        context = Context(name, cluster, DTYPES[device], facts, machine.today(), command, device == "cpu")
        before = files.carried_on(out)
        yield Session(fleet, journal, context, points, ranks=ranks, out=out, say=say, wanted=wanted, before=before)


def _resolve(device: str) -> tuple[str, int]:
    """(cpu or cuda, number of GPUs). Raises ScenarioError for a device that is not here."""
    if device not in DEVICES:
        raise ScenarioError(f"{device!r} is not a device; use {', '.join(DEVICES)}", key="--device")
    try:
        version("torch")
    except PackageNotFoundError as error:
        raise NoTorch("calibrate measures with torch, which is not installed; pip install 'rehearse[torch]'") from error
    gpus = machine.num_gpus()
    if device == "cuda" and not gpus:
        raise ScenarioError("there is no CUDA GPU here; use --device cpu", key="--device")
    if not gpus or device == "cpu":
        return "cpu", 0
    if launched.is_launched() and launched.local_world() > gpus:
        raise ScenarioError(
            f"{launched.local_world()} processes share {gpus} GPUs; start one for each: --nproc-per-node {gpus}",
            key="--device",
        )
    return "cuda", launched.local_world() if launched.is_launched() else gpus


def _points(
    device: str, gpus: int, missing: Sequence[str], budget_s: float
) -> tuple[list[Point | Job], frozenset[str]]:
    """What to measure, in the order of importance, each point and each piece once; keys of what `missing` asks for."""
    wanted = [one for path in missing for one in wanted_by(path)]
    kernels, dtype, sizes = [one for one in wanted if isinstance(one, Point)], DTYPES[device], OF_DEVICE[device]
    groups = _groups(device, gpus)
    kernels = [one for one in kernels if one.what == KERNEL or lie_of(one.shape) in groups]
    for point in kernels:
        if point.dtype not in DTYPE_BYTES:
            raise ScenarioError(f"{point.dtype!r} is not a dtype; use one of {', '.join(DTYPE_BYTES)}", key="--missing")
    if device == "cuda":
        # NCCL refuses two ranks on one GPU
        worlds = tuple(sorted({*(2**power for power in range(1, gpus.bit_length())), gpus} - {0, 1}))
    else:
        most = launched.local_world() if launched.is_launched() else max(WORLDS)
        worlds = tuple(world for world in WORLDS if world <= most and (world == 2 or budget_s >= SMALL_BUDGET_S))
    jobs = _distinct([one for one in wanted if isinstance(one, Job)])
    ranks = max(1, gpus) if device == "cuda" else computing_ranks()
    met = {(op, job.meets, size) for job in jobs if job.meets == ranks for op, size in job.meetings}
    kernels = [one for one in kernels if one.what == KERNEL or (one.op, *one.shape) not in met]
    usual = [
        job for scenario in typical.scenarios(dtype, ranks, typical.SIZES[device]) for job in jobs_of_scenario(scenario)
    ]
    usual = _distinct([*jobs, *usual])[len(jobs) :]
    alone = bool(missing) and all(path.endswith(".json") for path in missing)
    everything, count = merged([*kernels, *grid.kernel_points(dtype, sizes)]), len(merged(kernels))
    asked, rest = everything[:count], _spread(everything[count:])
    if alone and not asked:
        raise ScenarioError(
            f"{', '.join(missing)} asks for nothing that can be measured here; the profile it was written with will do",
            key="--missing",
        )
    if alone:
        first = [] if any(one.what == KERNEL for one in asked) else rest[:1]  # no profile is without a kernel
        return [*first, *asked], frozenset(one.key for one in asked)
    beside = side_by_side.points(device, worlds, ranks, dtype, sizes)
    pairs = _interleaved(grid.collective_points(worlds[:1], sizes), beside)
    judged = [*checks.points(dtype, worlds[:1], sizes), *(facts.points() if device == "cuda" else ())]
    mixed = _interleaved(rest[1:], pairs, usual, judged)
    between = []
    if launched.is_launched():
        between = grid.between_points(launched.whole_world(), launched.local_world(), sizes)
    mixed = _interleaved(mixed, between[1:])
    points = [rest[0], *between[:1], *jobs, *asked, *mixed, *grid.collective_points(worlds[1:], sizes)]
    return points, frozenset(one.key for one in (*jobs, *asked))


def _groups(device: str, gpus: int) -> list[tuple[int, int]]:
    """(ranks, nodes) of the groups that can be measured here."""
    if launched.is_launched():
        return lies(launched.whole_world(), launched.local_world())
    most = gpus if device == "cuda" else MOST_RANKS
    return lies(most, most) if most > 1 else []


def computing_ranks() -> int:
    """Processes that measure kernels at once on a CPU: as many as its cores, two at most."""
    return min(machine.num_cores(), WORLDS[0], launched.local_world() if launched.is_launched() else WORLDS[0])


def follows(device: str) -> bool:
    """Under torchrun, all processes but the first: measures what that one asks for, and then says True."""
    if not launched.is_launched() or not launched.own_rank():
        return False
    device, gpus = _resolve(device)
    launched.serve(device, computing_ranks() if device == "cpu" else gpus)
    return True


def _distinct(jobs: list[Job]) -> list[Job]:
    """Jobs that measure the same pieces are one."""
    return list({tuple(piece.identity for piece in job.pieces): job for job in reversed(jobs)}.values())[::-1]


def _spread(kernels: list[Point]) -> list[Point]:
    """All families evenly mixed, each in an order of which every beginning reaches over the whole list: its ends, then
    the middles of what is left, so that a short budget interpolates in all of them."""
    families: dict[tuple[str, str], list[Point]] = {}
    for point in kernels:
        families.setdefault((point.op, point.dtype), []).append(point)
    return _interleaved(*(_ends_first(family) for family in families.values()))


def _ends_first(points: list[Point]) -> list[Point]:
    found, gaps = list(dict.fromkeys([points[0], points[-1]])), [(0, len(points) - 1)]
    for low, high in gaps:  # grows while it is read: halves wait behind all that are as long as they were
        middle = (low + high) // 2
        if low < middle:
            found.append(points[middle])
            gaps += [(low, middle), (middle, high)]
    return found


def _interleaved(*parts: list) -> list:
    """All parts in their order, evenly mixed, so that a budget that ends early has some of each."""
    places = [((place + 0.5) / len(part), part[place]) for part in parts for place in range(len(part))]
    return [one for _, one in sorted(places, key=lambda one: one[0])]


def _cluster(device: str, ranks: int) -> Cluster:
    """The cluster whose ranks are being measured."""
    if device == "cpu":
        return registry.topology("cpu_host", gpus_per_node=ranks)
    return registry.topology("single_gpu", device=machine.gpu_device())
