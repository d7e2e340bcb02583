"""What can go wrong, each with the sentence that a user sees and the way out of it.

`kind` is what `--json` prints under `error.kind`; `exit_code` is what the command returns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

MAX_WORD = 200
"""Letters of one word that a sentence repeats."""


class RehearseError(Exception):
    """Base of every error a user can cause or can act upon; its text is one sentence with the remedy."""

    kind = "failed"
    exit_code = 1


class ScenarioError(RehearseError):
    """The input cannot be used: names file, line, key and value where they are known, and the remedy."""

    kind = "bad_input"
    exit_code = 2

    def __init__(self, message: str, *, key: str | None = None, file: str | None = None, line: int | None = None):
        # What a file holds may be quoted in it: one line, whatever that is.
        message = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in message)
        message = re.sub(rf"(\S{{{MAX_WORD - 3}}})\S{{4,}}", r"\1...", message)
        self.message, self.key, self.file, self.line = message, key, file, line
        super().__init__(message)

    def located(self, file: str | None, line: int | None) -> ScenarioError:
        """The same error with the place in the file, where it did not know it yet."""
        return type(self)(self.message, key=self.key, file=self.file or file, line=self.line or line)

    def __str__(self) -> str:
        place = self.file or ""
        if self.line:
            place = f"{place or 'input'} line {self.line}"
        subject = ", ".join(part for part in (place, self.key) if part)
        return f"{subject}: {self.message}" if subject else self.message


class NotSupportedYet(ScenarioError):
    """The contract has it, this version does not: refused, never accepted and ignored."""

    kind = "not_supported_yet"


class ProfileError(RehearseError):
    """A cost profile is missing, damaged or of another schema."""

    kind = "bad_profile"
    exit_code = 2


class Deadlock(RehearseError):
    """Ranks wait for each other for ever; the text names who waits for whom."""

    kind = "deadlock"


class BrokenLaw(RehearseError):
    """A program, graph or timeline breaks a law of the engine (see engine/checks.py)."""

    kind = "broken_law"


@contextmanager
def in_63_bits() -> Iterator[None]:
    """Numbers that numpy's integers do not hold are the input's fault: ScenarioError in place of OverflowError."""
    try:
        yield
    except OverflowError:
        raise ScenarioError(
            "times or bytes do not fit 63 bits (292 years in nanoseconds); make the model or the batch smaller"
        ) from None
