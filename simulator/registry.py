"""Names -> topologies, cost profiles and published data: the one door to the packages beside `simulator`.

Everything is found through the import system, so it works from an installed wheel, and nothing is imported before it is
asked for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from importlib.resources import files
from pathlib import Path

from simulator.cluster import Cluster
from simulator.errors import NotSupportedYet, ProfileError, ScenarioError


def topology_names() -> tuple[str, ...]:
    """Topologies that can be used."""
    return tuple(import_module("topologies").TOPOLOGIES)


def topology_keywords(name: str) -> tuple[str, ...]:
    """The keywords that a topology takes, in its own order. Raises as `topology` does."""
    return tuple(inspect.signature(_topology_function(name)).parameters)


def topology_summary(name: str) -> str:
    """One line about a topology, for `rehearse show topologies`."""
    return (inspect.getdoc(_topology_function(name)) or "").partition("\n")[0]


def topology(name: str, **keywords: object) -> Cluster:
    """The cluster that a topology builds from its keywords.

    Raises ScenarioError for an unknown name or keyword, with the nearest valid one; NotSupportedYet for a topology that
    this version only knows by name.
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
    if name in package.NOT_BUILT_YET:
        raise NotSupportedYet(
            f"topology {name!r} is not supported yet; use one of {', '.join(package.TOPOLOGIES)}", key="cluster.preset"
        )
    if name not in package.TOPOLOGIES:
        raise ScenarioError(
            f"{name!r} is not a topology; {_nearest(str(name), (*package.TOPOLOGIES, *package.NOT_BUILT_YET))}",
            key="cluster.preset",
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


def published(name: str) -> Path:
    """A published data file by its path under calibration/published, for example "cases/korthikanti_table5.csv"."""
    path = Path(str(files("calibration.published").joinpath(*name.split("/"))))
    if not path.is_file():
        raise FileNotFoundError(f"no published data {name!r} under {path.parent}")
    return path


def published_names(folder: str = "") -> tuple[str, ...]:
    """The files in one folder of calibration/published, sorted."""
    root = files("calibration.published").joinpath(*filter(None, folder.split("/")))
    return tuple(sorted(path.name for path in root.iterdir() if path.is_file() and not path.name.endswith(".py")))


def _profiles():
    return files("calibration.profiles").iterdir()


def _nearest(name: str, names: tuple[str, ...]) -> str:
    return import_module("topologies.keywords").nearest(name, names)
