"""Prediction against measurements that others published: each row as a scenario, each residual by term."""

from simulator.validation.compare_rows import validate
from simulator.validation.sources import SOURCES, load_cases

__all__ = ["SOURCES", "load_cases", "validate"]
