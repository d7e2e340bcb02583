"""Verbs that this version only names: they are in the help, and they refuse."""

from __future__ import annotations

from typing import Any

import typer

from simulator.errors import NotSupportedYet

VERBS = {
    "plan": "Search the legal space for the best plan.",
    "sweep": "Run many scenarios of a study file.",
    "explain": "Say term by term why one scenario is faster than another.",
    "serve": "Simulate online deployment under a request load.",
}
TAKES_ANYTHING: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}


def refuse(context: typer.Context) -> None:
    """Raises NotSupportedYet, whatever was asked for."""
    raise NotSupportedYet(f"{context.info_name} is not supported yet; `rehearse simulate A.yaml B.yaml` compares plans")
