"""Names -> topologies, cost profiles and published data: the one door to the packages beside `simulator`.

Everything is found through the import system, so it works from an installed wheel, and nothing is imported before it is
asked for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from simulator.cluster import Cluster, Device
from simulator.errors import ProfileError, ScenarioError

if TYPE_CHECKING:
    from simulator.costs.profile import Profile
    from simulator.scenario.scenario import Scenario


def topology_names() -> tuple[str, ...]:
    """Names of topologies, in the order of the table."""
    return tuple(import_module("topologies").TOPOLOGIES)


def topology_keywords(name: str) -> tuple[str, ...]:
    """The keywords that a topology takes, in its own order. Raises as `topology` does."""
    return tuple(topology_defaults(name))


def topology_defaults(name: str) -> dict[str, object]:
    """The keywords of a topology with what each is when left out; None: it follows from the others."""
    parameters = inspect.signature(_topology_function(name)).parameters
    return {keyword: getattr(stated.default, "name", stated.default) for keyword, stated in parameters.items()}


def device(name: str) -> Device:
    """The device of this name. Raises ScenarioError with the nearest name."""
    return import_module("topologies.devices").find_device(name)


def topology_summary(name: str) -> str:
    """One line about a topology, for `rehearse show topologies`."""
    return (inspect.getdoc(_topology_function(name)) or "").partition("\n")[0]


def topology(name: str, **keywords: object) -> Cluster:
    """The cluster that a topology builds from its keywords.

    Raises ScenarioError for an unknown name or keyword, with the nearest valid one.
    """
    known = topology_keywords(name)
    for keyword in keywords:
        if keyword not in known:
            raise ScenarioError(
                f"{name} has no keyword {keyword!r}; {_nearest(keyword, known)}", key=f"cluster.{keyword}"
            )
    return _topology_function(name)(**keywords)


def _topology_function(name: str) -> Callable[..., Cluster]:
    package = import_module("topologies")
    if name not in package.TOPOLOGIES:
        raise ScenarioError(
            f"{name!r} is not a topology; {_nearest(str(name), tuple(package.TOPOLOGIES))}", key="cluster.preset"
        )
    return getattr(import_module(package.TOPOLOGIES[name]), name)


def profile_names() -> tuple[str, ...]:
    """Cost profiles that ship with the package."""
    return tuple(sorted(path.name.removesuffix(".json") for path in _profiles() if path.name.endswith(".json")))


def profile_path(name: str) -> Path:
    """The file of a shipped profile, or the file a user names. Raises ProfileError with the nearest names."""
    names = profile_names()
    if name in names:
        return Path(str(files("calibration.profiles") / f"{name}.json"))
    path = Path(name).expanduser()
    if path.suffix == ".json" or path.parent != Path():
        if path.is_file():
            return path
        raise ProfileError(f"profile: no file {str(path)!r}; give the path of a file that `rehearse calibrate` wrote")
    raise ProfileError(f"profile: {name!r} is not a profile; {_nearest(name, names)}, or give a path ending in .json")


def load_profile_for(scenario: Scenario, device: Device | None = None) -> Profile | None:
    """The cost profile that a scenario names for a device, or the device's own; None: it has none (datasheet prices).

    device: one of the cluster's; default its first. Raises ProfileError for a profile that cannot be found or read.
    """
    device = device or scenario.cluster.groups[0][0].device
    stated = scenario.profile_of(device.name)
    if stated is not None:
        return _load(profile_path(stated))
    return _load(profile_path(device.profile)) if device.profile in profile_names() else None


def _load(path: Path) -> Profile:
    """A profile is read once a process, and again when its file has changed."""
    state = path.stat()
    return _read(str(path), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _read(path: str, mtime_ns: int, size: int) -> Profile:
    from simulator.costs.profile import load_profile

    return load_profile(path)


def calibration() -> ModuleType:
    """The package's calibration: `calibrate` measures this machine, `report_lines` says what was measured."""
    return import_module("calibration.calibrate")


def published_fits() -> ModuleType:
    """What published sources would be predicted as without their own fit rows (`calibration/published`)."""
    return import_module("calibration.published.leave_one_out")


def published(name: str) -> Path:
    """A published data file by its path under calibration/published, for example "cases/korthikanti_table5.csv"."""
    path = Path(str(files("calibration.published").joinpath(*name.split("/"))))
    if not path.is_file():
        raise FileNotFoundError(f"no published data {name!r} under {path.parent}")
    return path


def _profiles():
    return files("calibration.profiles").iterdir()


def _nearest(name: str, names: tuple[str, ...]) -> str:
    return import_module("topologies.keywords").nearest(name, names)
