"""Piece: steps that run one after another, and what they are called.

A name says what the training code runs (`sasrec.attention.F`, `bf16.encode`): the same kernels can be another piece
with another time, as a cast that makes a message and the cast that takes it in again.
"""

from __future__ import annotations

from typing import NamedTuple

from simulator.model import blocks
from simulator.model.work import Kernel, Step
from simulator.program.actions import Action


class Piece(NamedTuple):
    """name: equal names with equal kernels take equally long. launched: False where the host launches these steps all
    at once, as a graph, or has done so long before."""

    name: str
    steps: tuple[Step, ...]
    launched: bool = True

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        return tuple(step for step in self.steps if isinstance(step, Kernel))


def unit_name(model, unit) -> str:
    """The block and the unit's kind; heads and embeddings of one block are of several."""
    kind = unit.kind
    if kind == "head":
        kind = f"head.{model.head.kind}"
    elif kind == "embedding":
        kind = "embedding.tokens" if blocks.embedding.token_table(model) else "embedding.vectors"
    return f"{model.trunk.block}.{kind}"


def codec_name(method: str, action: Action) -> str:
    """Of a compressor's encoding or decoding; later phases of one are told apart."""
    return f"{method}.{action.verb}.{action.phase}" if action.phase else f"{method}.{action.verb}"


def lookup_name(scenario, of: str) -> str:
    """Of the lookups of a microbatch (of F), or of what becomes of their gradients (B)."""
    fused = ".fused" if of == "B" and scenario.plan.embedding_fused_optimizer else ""
    return f"{tables_name(scenario.model)}.lookup.{of}{fused}"


def update_name(scenario) -> str:
    """Of the sparse update."""
    return f"{tables_name(scenario.model)}.table_optimizer"


def tables_name(model) -> str:
    """The optimizers of the sparse tables, which are looked up and updated together; of tables that pool, apart."""
    names = (f"{table.optimizer}{'' if table.pooling == 'none' else '.bags'}" for table in blocks.sparse_tables(model))
    return "+".join(dict.fromkeys(names))
