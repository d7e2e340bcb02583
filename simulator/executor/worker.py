"""A rank's process: `python -m simulator.executor.worker FOLDER RANK RANKS`.

It reads jobs from the folder, runs one after another, and leaves a record of each, or its story where it fails. It
lives no longer than its parent: standard input is a pipe whose other end only the parent holds, and at its end the
process is gone, whatever it was doing.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import sys
import threading
import time
import traceback
from datetime import timedelta
from pathlib import Path

START_S = 120.0
"""What starting a process and importing torch in it may take."""

SWITCH_S = 5e-4
"""How long a stream's thread may hold the interpreter while others wait: Python's own 5 ms are longer than actions."""

PEER_WORDS = ("connection closed", "connection reset", "timed out", "timeout", "broken pipe", "peer")
"""What gloo's and NCCL's messages hold when another rank is at fault."""


def main(folder: str, rank: int, ranks: int) -> None:
    place = Path(folder)
    threading.Thread(target=_leave_with_parent, args=(place,), name="parent watch", daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle

    def fatal(error: BaseException) -> None:
        write_story(place, rank, error)
        os._exit(1)

    try:
        _run(place, rank, ranks, fatal)
    except BaseException as error:
        fatal(error)
    # no thread of torch may hold the process up now: the records are written
    sys.stdout.flush()
    os._exit(0)


def _run(place: Path, rank: int, ranks: int, fatal) -> None:
    import torch
    import torch.distributed as dist

    from simulator.executor.rank import run_rank

    sys.setswitchinterval(SWITCH_S)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    jobs = pickle.loads((place / "jobs").read_bytes())
    for number, job in enumerate(jobs):
        store = _meet(place / f"store{number}", rank, ranks)
        dist.init_process_group(
            "gloo", store=store, rank=rank, world_size=ranks, timeout=timedelta(seconds=job.timeout_s)
        )
        record = run_rank(job, rank, fatal)
        write_whole(place / f"record{number}.{rank}", pickle.dumps(record))
        dist.barrier()
        dist.destroy_process_group()


def _meet(path: Path, rank: int, ranks: int):
    """A store in which all ranks have written: from here on the run's own timeout counts, not what importing took."""
    import torch.distributed as dist

    store = dist.FileStore(str(path), ranks)
    store.set(f"rank {rank}", "here")
    store.wait([f"rank {other}" for other in range(ranks)], timedelta(seconds=START_S))
    return store


def write_whole(path: Path, data: bytes) -> None:
    """The file appears complete or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)


def write_story(place: Path, rank: int, error: BaseException) -> None:
    """Why this rank failed, for the parent to tell."""
    text = " ".join(str(error).split())
    story = {
        "rank": rank,
        "when_ns": time.monotonic_ns(),
        "kind": type(error).__name__,
        "text": text,
        "blames_peer": any(word in text.lower() for word in PEER_WORDS),
        "traceback": "".join(traceback.format_exception(error)),
    }
    write_whole(place / f"story.{rank}", pickle.dumps(story))
    print(story["traceback"], file=sys.stderr, flush=True)


def _leave_with_parent(place: Path) -> None:
    while os.read(0, 1):
        pass
    shutil.rmtree(place, ignore_errors=True)  # nobody is left to read it
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
