"""Published tables, one file each: citation, readings, and the scenario of every row."""

from __future__ import annotations

from importlib import import_module

from simulator.errors import ScenarioError
from simulator.validation.cases import Case

SOURCES = ("sc21_table1", "sc21_table2", "korthikanti_table5", "korthikanti_table4", "vtrain_multi", "dgxc_h100",
           "zero_bubble", "sc21_zero3", "mosaic_a100", "mosaic_h100", "torchtitan_h100", "recsys_dlrm")  # fmt: skip
"""Each a module of this package with CITATION, READINGS and cases(); NOT_UNSEEN where the costs know its rows."""


def load_cases(source: str) -> tuple[Case, ...]:
    """The rows of one source. Raises ScenarioError with the valid names for an unknown one."""
    return _module(source).cases()


def describe(source: str) -> tuple[str, tuple[str, ...], str]:
    """(citation, readings, why its rows are no independent check or "") of one source."""
    module = _module(source)
    return module.CITATION, module.READINGS, getattr(module, "NOT_UNSEEN", "")


def _module(source: str):
    if source not in SOURCES:
        raise ScenarioError(f"{source!r} is not a published source; use one of {', '.join(SOURCES)}", key="source")
    return import_module(f"simulator.validation.sources.{source}")
