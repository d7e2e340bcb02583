"""Text files that a user names beside the scenario: read whole, or refused in one sentence."""

from __future__ import annotations

import io

from simulator.errors import ScenarioError

MOST_BYTES = 2**28


def text_of(path: str, *, key: str, remedy: str) -> str:
    """The text. Raises ScenarioError for what is no readable file in UTF-8, with `remedy` as the way out."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1)  # a device has no size, and no end
        if len(raw) > MOST_BYTES:
            raise ScenarioError(f"{path} is larger than {MOST_BYTES // 2**20} MiB; {remedy}", key=key)
        return io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8-sig").read()
    except UnicodeDecodeError:
        raise ScenarioError(f"{path} is not a text file in UTF-8; {remedy}", key=key) from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ScenarioError(f"{path} cannot be read ({reason}); {remedy}", key=key) from None
