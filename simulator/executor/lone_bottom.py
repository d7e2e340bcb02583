"""A DLRM's bottom MLP on one rank (`plan.bottom_mlp: one_rank`): it runs where tables are looked up, and its vectors
and their gradients travel as a table's do (`model/tables/bottom.py`)."""

from __future__ import annotations

import torch

from simulator.executor.batches import Source
from simulator.executor.blocks import Env, Inputs, forward
from simulator.executor.dense import DenseParameters
from simulator.executor.groups import Group
from simulator.executor.table_shards import STORED
from simulator.executor.tensor_parallel import alone
from simulator.model import blocks
from simulator.model.bottom_mlp import MEMBER, vector_bytes
from simulator.program.program import Chunk, RankProgram


class LoneBottom:
    """One member has its parameters (`dense`, None elsewhere) and runs the rows of all members of `group`.

    Every member makes it, asks for its own rows' vectors and gives their gradients.
    """

    def __init__(self, scenario, env: Env, group: Group, device: torch.device, learning_rate: float | None, *,
                 double: bool):  # fmt: skip
        self.env, self.group, self.device = env, group, device
        self.unit = next(unit for unit in blocks.units(scenario.model) if unit.kind == "bottom")
        self.width, self.message_bytes = scenario.model.dense.bottom[-1], vector_bytes(scenario)
        stated = scenario.precision.vectors
        self.leaves = env.numerics.activations if double or stated is None else STORED[stated]
        self.dense = None
        if group.index == MEMBER:
            own = RankProgram(0, (0,), (Chunk(0, ((0, 0),)),), (), ())
            self.dense = DenseParameters(
                scenario, own, env.numerics, alone(group), env.tensor.group, device, learning_rate, divided=False
            )  # fmt: skip
        self.numbers: dict[int, torch.Tensor] = {}
        self.out: dict[int, torch.Tensor] = {}
        self.vectors: dict[int, torch.Tensor] = {}

    def load(self, scenario, source: Source, step: int) -> None:
        """The numbers of all members' rows, [members * rows, features] a microbatch: the data loader brings them to the
        rank that reads them. Member i is data rank i."""
        if self.dense is None:
            return
        batches = [source(scenario, step, member) for member in range(self.group.size)]
        for microbatch in range(scenario.microbatches):
            numbers = [torch.as_tensor(batch.microbatches[microbatch].numbers) for batch in batches]
            self.numbers[microbatch] = torch.cat(numbers).to(self.device, self.env.numerics.activations)

    def forward(self, microbatch: int) -> None:
        """The rows of all members; others have nothing to send."""
        if self.dense is None:
            self.vectors[microbatch] = torch.empty((0, self.width), dtype=self.leaves, device=self.device)
            return
        nothing = torch.empty(0, device=self.device)  # labels and weights are the head's to read
        inputs = Inputs(None, nothing, nothing, numbers=self.numbers.pop(microbatch))
        with torch.enable_grad():
            self.out[microbatch] = forward(self.env, self.unit, self.dense.weights, None, inputs)
        self.vectors[microbatch] = self.out[microbatch].detach().to(self.leaves)

    def send_vectors(self, microbatch: int) -> tuple[int, int]:
        """Each member gets its rows'; returns the bytes sent and received."""
        size, rows = self.group.size, self.env.batch
        sent = [rows if self.dense is not None else 0] * size
        came = [rows * (member == MEMBER) for member in range(size)]
        self.vectors[microbatch] = self.group.all_to_all(self.vectors[microbatch], sent, came)
        return self.message_bytes * (size if self.dense is not None else 0), self.message_bytes

    def send_gradients(self, microbatch: int) -> tuple[int, int]:
        """The inverse."""
        size, rows = self.group.size, self.env.batch
        sent = [rows * (member == MEMBER) for member in range(size)]
        came = [rows if self.dense is not None else 0] * size
        self.vectors[microbatch] = self.group.all_to_all(self.vectors[microbatch], sent, came)
        return self.message_bytes, self.message_bytes * (size if self.dense is not None else 0)

    def backward(self, microbatch: int) -> None:
        """The weights' gradients, from those of all rows."""
        gradient = self.vectors.pop(microbatch)
        if self.dense is None:
            return
        out = self.out.pop(microbatch)
        with torch.enable_grad():
            torch.autograd.backward(out, gradient.to(out.dtype))
        for bucket in self.dense.buckets.values():
            bucket.collect_autograd()

    def update(self) -> None:
        """The dense optimizer, on the member that has it."""
        if self.dense is not None:
            self.dense.update()
