"""What predictions rest on: constants fitted to published rows, and tables where points are held out."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.costs.profile import load_profile
from simulator.registry import profile_names, profile_path
from simulator.validation.sources import SOURCES


@dataclass(frozen=True)
class FittedConstant:
    """A number that no table publishes. generation: the device's profile, and the software stack or the sibling device
    that it holds for, if not for all. kind: fitted, or transferred from another device's rows. fitted_on: source: row.
    """

    name: str
    value: float
    unit: str
    generation: str
    kind: str
    meaning: str
    fitted_on: tuple[str, ...]


@dataclass(frozen=True)
class HeldOut:
    """A figure of a profile's fit, %: of points that were held out and predicted from the rest."""

    profile: str
    op_class: str
    figure: str
    percent: float


def fitted_constants() -> tuple[FittedConstant, ...]:
    """Those of the shipped profiles that were fitted to rows of the sources."""
    found = []
    for profile_name in profile_names():
        for name, entry in load_profile(profile_path(profile_name)).constants.items():
            if any(row.partition(":")[0] in SOURCES for row in entry.fitted_on):
                name, _, variant = name.partition("@")
                generation = f"{profile_name}, {variant}" if variant else profile_name
                found.append(
                    FittedConstant(
                        name, entry.value, entry.unit, generation, entry.kind, entry.citation, entry.fitted_on
                    )
                )
    return tuple(found)


def held_out_figures() -> tuple[HeldOut, ...]:
    """Of every table and curve of the shipped profiles."""
    return tuple(
        HeldOut(name, op_class, figure, percent)
        for name in profile_names()
        for op_class, fit in load_profile(profile_path(name)).fits.items()
        for figure, percent in fit.figures.items()
    )
