"""One measuring process: python -m calibration.measure.worker RANK WORLD PER_NODE SHARE STORE DEVICE.

STORE: a file, or env://. PER_NODE: ranks of each node.

Reads one JSON command a line on stdin, answers one JSON line on stdout:
    {"do": "kernel", "point": {...}, "ranks": n, "window_ns": n}     -> {"samples": [[ns, lost], ...]}
    {"do": "piece", "job": {...}, "ranks": n, "window_ns": n}        -> {"staged": [...], "met": [...]} (`fleet.py`)
    {"do": "collective", "point": {...}, "repeats": n, "between": b} -> {"spans": [[start_ns, end_ns], ...]}
    {"do": "copies", "point": {...}, "repeats": n}                   -> {"copies": [[ns, alone_ns, millionths], ...]}
    {"do": "overlap", "point": {...}, "repeats": n}                  -> {"spans": [[start_ns, end_ns, millionths], ...]}
A closed stdin ends the process at once, whatever it is doing: no process outlives the one that started it.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections import OrderedDict
from datetime import timedelta

from calibration.measure.groups import lie_of, lies, members
from calibration.measure.held import held_bytes

HEAP_BYTES = 384 * 2**20
"""Touched once and given back to the process's own heap, so that no sample pays for fresh pages."""

CACHE_BYTES = {"cpu": 768 * 2**20, "cuda": 8 * 2**30}
"""Inputs that are kept from round to round."""


def main(arguments: list[str]) -> int:
    rank, world, per_node, share = (int(word) for word in arguments[:4])
    store, device = arguments[4:6]
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print does not belong among the answers
    commands: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(commands,), daemon=True).start()
    worker = Worker(rank, world, per_node, store, device, rank < share)
    out.write(json.dumps({"ready": rank, **worker.describe()}) + "\n")
    while True:
        command = json.loads(commands.get())
        try:
            answer = worker.answer(command)
        except Exception as error:  # the point is left out, the others go on
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        out.write(json.dumps(answer) + "\n")


def _read(commands: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        commands.put(line)
    os._exit(0)


class Worker:
    """A rank of the fleet: process groups of every size up to the world, and the points it has inputs for.

    computes: it measures kernels too, not messages only.
    """

    def __init__(self, rank: int, world: int, per_node: int, store: str, device: str, computes: bool):
        import torch
        import torch.distributed as dist

        from calibration.measure.clock import make_clock

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        torch.manual_seed(1234 + rank)
        if device == "cpu" and computes:  # a training process has touched its heap long before its first measured step
            torch.ones(HEAP_BYTES // 4)
        self.rank, self.world, self.device, self.torch = rank, world, device, torch
        self._calls: OrderedDict[str, tuple[object, int]] = OrderedDict()
        self._groups = {}
        if device == "cuda":
            torch.cuda.set_device(rank % per_node % max(1, torch.cuda.device_count()))
        self._clock = make_clock(device)
        if world > 1:
            timeout = timedelta(seconds=60)
            backend = "nccl" if device == "cuda" else "gloo"
            where = store if "://" in store else f"file://{store}"
            dist.init_process_group(backend, init_method=where, rank=rank, world_size=world, timeout=timeout)
            for lie in lies(world, per_node):
                self._groups[lie] = dist.new_group(members(lie, per_node), timeout=timeout, backend=backend)

    def describe(self) -> dict:
        """What only torch can say about this machine."""
        torch, found = self.torch, {"torch": self.torch.__version__, "threads": self.torch.get_num_threads()}
        if self.device == "cuda":
            found["device"] = torch.cuda.get_device_name()
            found["cuda"] = torch.version.cuda
            found["nccl"] = ".".join(map(str, torch.cuda.nccl.version()))
        return found

    def answer(self, command: dict) -> dict:
        from calibration.points import Point

        if command["do"] == "piece":
            return self._piece(command["job"], command["ranks"], command["window_ns"])
        point = Point.from_record(command["point"])
        if command["do"] == "overlap":
            return self._overlap(point, command["repeats"])
        if command["do"] == "copies":
            return self._copies(point, command["repeats"])
        if command["do"] == "kernel":
            return self._kernel(point, command["ranks"], command["window_ns"])
        return self._collective(point, command["repeats"], command["between"])

    def _kernel(self, point, ranks: int, window_ns: int) -> dict:
        from calibration.measure import kernels
        from calibration.measure.sampling import take_samples

        call = self._cached(point.key, lambda: kernels.make_call(point, self.device))
        if ranks > 1:
            self._barrier(ranks)
        samples = take_samples(call, window_ns, self._clock)
        return {"samples": [[one.ns, int(one.lost)] for one in samples]}

    def _piece(self, job: dict, ranks: int, window_ns: int) -> dict:
        from calibration.measure import pieces
        from calibration.measure.sampling import WARM_ROUNDS, take_staged
        from calibration.measure.stand_ins import MeetingGroup

        meets = job["meets"] == ranks > 1
        key = f"{job['key']} meets" if meets else job["key"]
        warm = self._agree(key in self._calls, ranks)
        if meets:
            group = MeetingGroup("tensor", range(ranks), self.rank, self._groups[ranks, 1])
            made, group = self._cached(key, lambda: (pieces.make_job(job, self.device, group), group))
            group.meetings.clear()
        else:
            made, group = self._cached(key, lambda: (pieces.make_job(job, self.device), None))
        if ranks > 1:
            self._barrier(ranks)
        met_ns = None if group is None else lambda: group.met_ns
        staged = take_staged(made.rounds, job["num_pieces"], window_ns, self._clock, warm=warm, met_ns=met_ns)
        answer = {"staged": [[[one.ns, int(one.lost)] for one in samples] for samples in staged]}
        if group is not None:
            counted = len(group.meetings) // (1 if warm else 1 + WARM_ROUNDS)
            answer["met"] = group.meetings[-counted:]
        return answer

    def _collective(self, point, repeats: int, between: bool) -> dict:
        from calibration.measure import collectives, kernels, overlap

        lie = lie_of(point.shape)
        group = self._groups[lie]
        call = self._cached(point.key, lambda: collectives.make_call(point, group, self.device))
        call()
        compute = None
        if between:
            beside = point.beside()
            compute = self._cached(beside.key, lambda: kernels.make_call(beside, self.device))
        spans = overlap.take_spans(call, compute, lambda: self._barrier(*lie), self._clock.wait, repeats)
        return {"spans": spans}

    def _overlap(self, point, repeats: int) -> dict:
        from calibration.measure import collectives, kernels, overlap

        group = self._groups[lie_of(point.shape)]
        begin = self._cached(point.key, lambda: collectives.make_begin(point, group, self.device))
        beside = point.beside()
        compute = self._cached(beside.key, lambda: kernels.make_call(beside, self.device))
        compute = overlap.finished(compute, self._clock.finish)
        spans = overlap.take_overlaps(begin, compute, lambda: self._barrier(point.shape[0]), repeats)
        return {"spans": spans}

    def _copies(self, point, repeats: int) -> dict:
        from calibration.measure import copies, kernels, overlap

        ranks, beside = point.shape[0], point.beside()
        begin = self._cached(point.key, lambda: copies.make_rows(point, self.device))
        compute = self._cached(beside.key, lambda: kernels.make_call(beside, self.device))
        compute = overlap.finished(compute, self._clock.finish)
        barrier = (lambda: self._barrier(ranks)) if ranks > 1 else (lambda: None)
        return {"copies": copies.take_copies(begin, compute, barrier, repeats)}

    def _cached(self, key: str, make):
        """The callable of a point; what was used longest ago is dropped when inputs take too much memory."""
        if key not in self._calls:
            before = self._held_bytes()
            call = make()
            self._calls[key] = (call, max(0, self._held_bytes() - before))
            kept = CACHE_BYTES[self.device]
            while len(self._calls) > 1 and sum(size for _, size in self._calls.values()) > kept:
                self._calls.popitem(last=False)
        self._calls.move_to_end(key)
        return self._calls[key][0]

    def _held_bytes(self) -> int:
        """Memory that inputs lie in: of the device, or of this process."""
        return self.torch.cuda.memory_allocated() if self.device == "cuda" else held_bytes()

    def _barrier(self, ranks: int, nodes: int = 1) -> None:
        import torch.distributed as dist

        dist.barrier(group=self._groups[ranks, nodes])

    def _agree(self, known: bool, ranks: int) -> bool:
        """Whether all ranks know it."""
        if ranks == 1:
            return known
        import torch.distributed as dist

        voices = self.torch.tensor([float(known)], device=self.device)
        dist.all_reduce(voices, dist.ReduceOp.MIN, group=self._groups[ranks, 1])
        return bool(voices.item())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
