"""Published tables, one file each: citation, readings, and the scenario of every row."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

from simulator.errors import ScenarioError
from simulator.validation.cases import Case

SOURCES = ("sc21_table1", "sc21_table2", "korthikanti_table5", "korthikanti_table4", "vtrain_multi", "vtrain_single",
           "dgxc_h100", "zero_bubble", "sc21_zero3", "mosaic_a100", "mosaic_h100", "torchtitan_h100", "torchtitan_a100",
           "bert_large_dp", "megascale", "megatron_core_h100", "llama3", "hstu_h100", "hstu_kernels",
           "recsys_dlrm")  # fmt: skip
"""Each a module of this package with CITATION, READINGS and cases(); FIT_ROWS names the rows that costs know."""


def load_cases(source: str) -> tuple[Case, ...]:
    """The rows of one source. Raises ScenarioError with the valid names for an unknown one."""
    fitted = fit_rows(source)
    return tuple(replace(case, fitted=case.name in fitted and not case.stand_in) for case in _module(source).cases())


def describe(source: str) -> tuple[str, tuple[str, ...]]:
    """(citation, readings) of one source."""
    module = _module(source)
    return module.CITATION, module.READINGS


def fit_rows(source: str) -> tuple[str, ...]:
    """The names of the rows that a cost was fitted to; every other row is a check."""
    return getattr(_module(source), "FIT_ROWS", ())


def _module(source: str):
    if source not in SOURCES:
        raise ScenarioError(f"{source!r} is not a published source; use one of {', '.join(SOURCES)}", key="source")
    return import_module(f"simulator.validation.sources.{source}")
