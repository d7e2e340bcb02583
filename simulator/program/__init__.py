"""The program: actions per rank and stream, in launch order; what simulator and executor share."""

from __future__ import annotations

from simulator.program.actions import Action
from simulator.program.pipeline import pipeline_schedule
from simulator.program.program import Program, RankProgram, check_program

__all__ = ["Action", "Program", "RankProgram", "check_program", "pipeline_schedule"]
