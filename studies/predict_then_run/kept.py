"""A calibrated profile and the plans' runs, kept between calls of the study. Files appear whole or not at all.

Plans run a handful at a time, in turns (`turns.py`); each handful is kept when its turns are over, so that a study that
was cut short has only the others to run.
"""

from __future__ import annotations

import pickle
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from calibration.calibrate import calibrating
from calibration.scenarios import wanted_by
from simulator.costs.profile import load_profile
from simulator.datasets.histories import Histories
from simulator.errors import ScenarioError
from studies.predict_then_run import stages
from studies.predict_then_run.plans import scenario
from studies.predict_then_run.turns import run_in_turns

WARMUP = 3
"""Steps of a run that are not measured."""

ALONE = "without-calibration-"
"""Of a folder of runs; it comes behind those that a calibration ran beside."""

AT_ONCE = 8
"""Plans whose processes live at once: sixteen, of 300 MiB each."""


@dataclass(frozen=True)
class Ran:
    """A plan's run without its weights, the NDCG@10 of the trained model, and when it ended, seconds since 1970."""

    execution: Any
    ndcg: float
    ended_s: float


@dataclass(frozen=True)
class Study:
    """What is run: plans by name, measured steps of each, on these histories; kept in a folder."""

    folder: Path
    plans: Sequence[str]
    steps: int
    histories: Histories
    source: Any
    say: stages.Say

    @property
    def handfuls(self) -> list[list[str]]:
        """The plans in their order, in parts of equal length, none longer than `AT_ONCE`."""
        count = -(-len(self.plans) // AT_ONCE)
        edges = [len(self.plans) * part // count for part in range(count + 1)]
        return [list(self.plans[low:high]) for low, high in pairwise(edges)]

    @property
    def files(self) -> dict[str, Path]:
        """Where each plan's scenario is written."""
        return {name: self.folder / "plans" / f"{stages.file_name(name)}.yaml" for name in self.plans}

    def write_plans(self) -> None:
        for name, path in self.files.items():
            stages.write_whole(path, scenario(name).canonical_json().encode())

    def fingerprint(self, *more: str) -> str:
        texts = (scenario(name).canonical_json() for name in self.plans)
        return stages.fingerprint(*texts, str(self.steps), self.histories.source, *more)


def measured(study: Study, budget_s: float) -> tuple[str, list[Ran]]:
    """(the profile's file, the plans' runs).

    This machine is calibrated for `budget_s`; then the plans run in turns, and between turns what they are made of is
    measured again. Both are kept and used again by this very machine and code; what was cut short goes on.
    """
    profile, mark = study.folder / "profile.json", study.folder / "profile.done"
    known = study.fingerprint(str(budget_s))
    runs = study.folder / "runs" / known[:24]
    if mark.exists() and not (profile.exists() and mark.read_text() == f"{known} {load_profile(profile).checksum}"):
        mark.unlink()
        profile.unlink(missing_ok=True)
        shutil.rmtree(runs, ignore_errors=True)
    if mark.exists():
        study.say(f"using {profile}, calibrated on this machine before")
    else:
        study.say(f"calibrating this machine for {budget_s:.0f} s, then running in turns; keep it idle")
        study.write_plans()
        missing = [str(path) for path in study.files.values()]
        how = {"budget_s": budget_s, "out": str(profile), "missing": missing, "say": study.say}
        try:
            _calibrate_and_run(study, runs, known, how)
        except ScenarioError:  # the part of a profile that another machine has left here
            profile.unlink(missing_ok=True)
            _calibrate_and_run(study, runs, known, how)
        stages.write_whole(mark, f"{known} {load_profile(profile).checksum}".encode())
    return str(profile), _kept(study, runs)


def judged_by(study: Study, profile: str) -> tuple[str, list[Ran]]:
    """The same with a profile that is there already: nothing is calibrated. Runs that an earlier call has kept beside
    its calibration are used; else the plans run in turns by themselves."""
    load_profile(profile)  # says what is wrong with it before anything runs
    study.write_plans()
    beside = [one for one in (study.folder / "runs").glob("*") if _is_whole(study, one)]
    runs = min(beside, default=study.folder / "runs" / f"{ALONE}{study.fingerprint()[:24]}")
    with tempfile.TemporaryDirectory(prefix="rehearse-turns-") as pipes:
        _run_handfuls(study, runs, Path(pipes), lambda names: None)
    return profile, _kept(study, runs)


def age_sentence(record: dict, runs: Sequence[Ran]) -> str:
    """How long before the runs a profile was measured. record: the profile's."""
    until = record.get("machine", {}).get("measured_until")
    if until is None:
        dates = {row.get("date") for row in record["sources"].values()} - {None, ""}
        return f"The profile is of {max(dates, default='an unknown date')}."
    seconds = sum(one.ended_s for one in runs) / len(runs) - datetime.fromisoformat(until).timestamp()
    if seconds < 0:  # its last samples were taken between the turns
        return f"The profile was measured until {until}, beside the runs."
    return f"The profile was measured until {until}, {seconds / 3600:.1f} h before the runs."


def _calibrate_and_run(study: Study, runs: Path, known: str, how: dict) -> None:
    done = study.folder / "profile.calibrated"
    with calibrating("cpu", **how) as session, tempfile.TemporaryDirectory(prefix="rehearse-turns-") as pipes:
        try:
            if not (done.exists() and done.read_text() == known and session.has_measured):
                session.run(time.monotonic() + how["budget_s"])
                stages.write_whole(done, known.encode())

            def revisit(names: Sequence[str]) -> None:
                session.revisit(keys_of(study, names))

            _run_handfuls(study, runs, Path(pipes), revisit, session.flush)
        finally:
            if session.has_measured:  # else it was interrupted at once, and there is nothing to keep
                session.flush()


def keys_of(study: Study, names: Sequence[str]) -> frozenset[str]:
    """What these plans are made of, by the keys of a calibration."""
    return frozenset(one.key for name in names for one in wanted_by(str(study.files[name])))


def _run_handfuls(
    study: Study, runs: Path, pipes: Path, between: Callable[[Sequence[str]], None],
    after: Callable[[], object] = lambda: None,
) -> None:  # fmt: skip
    """Every handful that is not kept yet. between: called with its names between two turns; after: behind each."""
    stages.write_whole(runs / "of", study.fingerprint().encode())
    for number, names in enumerate(study.handfuls):
        kept = _path(runs, number)
        if kept.exists():
            continue
        scenarios = [scenario(name) for name in names]
        for name in names:
            study.say(f"{name}: running {study.steps} steps")
        executions = run_in_turns(scenarios, pipes / str(number), study.source, partial(between, names),
                                  steps=study.steps, warmup=WARMUP, keep_weights=True)  # fmt: skip
        ended = datetime.now(UTC).timestamp()
        found = [Ran(*stages.judged(own, execution, study.histories), ended)
                 for own, execution in zip(scenarios, executions, strict=True)]  # fmt: skip
        after()
        stages.write_whole(kept, pickle.dumps(found))


def _kept(study: Study, runs: Path) -> list[Ran]:
    found = [one for number in range(len(study.handfuls)) for one in pickle.loads(_path(runs, number).read_bytes())]
    for name in study.plans:
        study.say(f"{name}: using the run that is kept")
    return found


def _is_whole(study: Study, runs: Path) -> bool:
    """Whether these runs are all of this study's plans, by this machine and code."""
    of = runs / "of"
    whole = all(_path(runs, number).exists() for number in range(len(study.handfuls)))
    return whole and of.exists() and of.read_text() == study.fingerprint()


def _path(runs: Path, number: int) -> Path:
    return runs / f"{number}.pickle"
