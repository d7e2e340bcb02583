"""rehearse: predict a training step of an LLM-based recommender before paying for the cluster.

    from simulator import load_scenario, simulate
    result = simulate(load_scenario("scenario.yaml"))
    print(result.to_dict()["step_time_s"])

Names stand in the order in which data meets them; each is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from simulator.version import __version__

_HOME = {
    "load_scenario": "simulator.scenario.loader",
    "scenario_from": "simulator.scenario.loader",
    "simulate": "simulator.simulation",
    "execute": "simulator.executor.execution",
    "compare": "simulator.comparison",
    "pipeline_step": "simulator.bare_pipeline",
}
_NOT_BUILT = ("plan",)

__all__ = ["__version__", *_HOME, *_NOT_BUILT]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _NOT_BUILT:
        return _refusal(name)
    raise AttributeError(f"module 'simulator' has no attribute {name!r}")


def _refusal(name: str):
    def refuse(*args: Any, **keywords: Any) -> None:
        from simulator.errors import NotSupportedYet

        raise NotSupportedYet(f"{name} is not supported yet; this version simulates", key=name)

    refuse.__name__ = name
    return refuse
