"""Models by name: one function for each, with its source in its docstring. Adding one is a function and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.errors import ScenarioError
from simulator.scenario.keys import nearest
from simulator.scenario.presets import bert4rec, dlrm, gpt3, hstu, llama3, sasrec, tallrec

Model = dict[str, Any]
"""The `model:` section of a scenario."""

PRESETS: dict[str, Callable[[], Model]] = {
    "gpt3_175b": gpt3.gpt3_175b,
    "llama3_8b": llama3.llama3_8b,
    "llama3_70b": llama3.llama3_70b,
    "llama3_405b": llama3.llama3_405b,
    "hstu_nv_ranking": hstu.hstu_nv_ranking,
    "hstu_ml20m_large": hstu.hstu_ml20m_large,
    "dlrm_v2_mlperf": dlrm.dlrm_v2_mlperf,
    "dlrm_dot_criteo": dlrm.dlrm_dot_criteo,
    "dlrmv3_mlperf": hstu.dlrmv3_mlperf,
    "sasrec_ml20m": sasrec.sasrec_ml20m,
    "bert4rec": bert4rec.bert4rec,
    "tallrec_llama7b_lora": tallrec.tallrec_llama7b_lora,
}


def preset_model(name: str) -> Model:
    """The `model:` section that a preset stands for, new at each call.

    Raises ScenarioError for an unknown name, with the nearest.
    """
    if name not in PRESETS:
        close = nearest(name, PRESETS)
        hint = f"did you mean {close}?" if close else f"use one of {', '.join(PRESETS)}"
        raise ScenarioError(f"{name!r} is not a preset; {hint}", key="model.preset")
    return PRESETS[name]()


def preset_summary(name: str) -> str:
    """What a preset is, in one line."""
    return (PRESETS[name].__doc__ or "").strip().splitlines()[0]
