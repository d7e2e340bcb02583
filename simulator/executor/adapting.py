"""The adaptive stage balancer in a run: what every rank saw of a step, and the partition that the next one shall have.

Ranks tell each other how long their forward and backward took, and each decides the same from that; or all replay what
was decided before. Steps count from the first measured one.
"""

from __future__ import annotations

import torch
import torch.distributed as dist

from simulator.executor.job import Job
from simulator.policies.decisions import Decision, in_force
from simulator.policies.stage_balancer import ADAPTIVE, Observation
from simulator.program.placement import stage_layers
from simulator.stage_balance import balancer_of, checked


class Adapting:
    """One rank's view. partition: of the next step. decisions: what was decided so far."""

    def __init__(self, job: Job):
        self.job, self.scenario = job, job.scenario
        self.partition = stage_layers(self.scenario)
        self.balancer = None if job.decisions is not None else balancer_of(self.scenario, job.move_cost)
        self.seen: list[Observation] = []
        self.decisions: list[Decision] = []

    def after(self, step: int, passes_ns: int, begin_ns: int, end_ns: int) -> bool:
        """Looks at a step that is over; whether the next one has another partition. passes_ns: what a core has worked
        on its forward and backward: other processes of the machine do not make a stage slow."""
        before = self.partition
        if self.balancer is None:
            replayed = in_force(self.job.decisions, ADAPTIVE, step + 1)
            if replayed is None or replayed.after == before:
                return False
            self.partition = checked(self.scenario, replayed.after)
            self.decisions.append(replayed)
            return True
        self.seen.append(self._observe(passes_ns, begin_ns, end_ns))
        self.partition = self.balancer.decide(self.seen, self.job.steps - step - 1)
        if self.partition == before:
            return False
        self.decisions.append(self.balancer.decision(step + 1, self.seen, self.partition))
        return True

    def _observe(self, passes_ns: int, begin_ns: int, end_ns: int) -> Observation:
        mine = torch.tensor([passes_ns, begin_ns, end_ns], dtype=torch.int64)
        told = [torch.empty_like(mine) for _ in range(self.scenario.layout.ranks)]
        dist.all_gather(told, mine)
        stages = [0] * self.scenario.layout.pipeline
        for rank, words in enumerate(told):
            stage = self.scenario.layout.coordinates(rank)[0]
            stages[stage] = max(stages[stage], int(words[0]))
        ends, begins = (max(int(words[2]) for words in told), min(int(words[1]) for words in told))
        return Observation(self.partition, tuple(stages), ends - begins)
