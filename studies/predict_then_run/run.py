"""How close is the prediction to the run, and does it rank plans as the run does?

    python -m studies.predict_then_run.run [--budget SECONDS] [--steps N] [--plans 8|20] [--only PLAN]... [--folder DIR]
                                           [--profile FILE] [--again]

Runs eight plans (or twenty) of a small recommender on MovieLens-100K, two processes each, in turns; calibrates this
machine before and between the turns; predicts the plans and compares: a table, one offline HTML report and a JSON file.
What an earlier run has measured is used again.
"""

from __future__ import annotations

import signal
import sys


def main(arguments: list[str] | None = None) -> int:
    """Runs the study. What takes a second to import is imported here: whoever interrupts that is told the same."""
    from studies.predict_then_run.study import study

    return study(arguments, __doc__.split("\n")[0])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever asks it to end is told what is kept
    try:
        code = main()
        for one in (signal.SIGINT, signal.SIGTERM):  # all is written: nothing is left to interrupt
            signal.signal(one, signal.SIG_IGN)
        sys.exit(code)
    except KeyboardInterrupt:
        sys.exit("predict_then_run: interrupted; what was measured is kept, run it again to go on")
    except Exception as error:
        from simulator.errors import RehearseError

        if not isinstance(error, RehearseError):
            raise
        sys.exit(f"predict_then_run: {error}")
