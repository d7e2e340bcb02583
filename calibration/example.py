"""Makes an example that ships out of a calibrated profile: python -m calibration.example CALIBRATED.json NAME.

The samples go (a later calibration cannot go on with an example, and says so); tables, pieces, fits, checks and the
machine's facts stay.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from calibration import files
from simulator.costs.profile import load_profile, sealed

FOLDER = Path(__file__).parent / "profiles"


def example(record: dict, name: str) -> dict:
    """The record under another name, without its journal."""
    rest = {key: value for key, value in record.items() if key not in ("journal", "checksum")}
    return sealed(rest | {"name": name})


def main(arguments: list[str]) -> int:
    source, name = arguments
    load_profile(source)  # says what is wrong with a damaged or foreign file
    files.write(example(json.loads(Path(source).read_text(encoding="utf-8")), name), FOLDER / f"{name}.json")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
