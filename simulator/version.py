"""The version that a run id contains: a change of any rule that moves a number changes it."""

__version__ = "0.1.0"
