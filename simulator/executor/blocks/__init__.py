"""The modules that run: for each unit of `model/blocks`, the same mathematics in torch.

    forward(env, unit, weights, x, inputs) -> x, or the loss from the head

`env` is what a rank knows of the plan, `weights` its parameters by name, `inputs` the microbatch. Dropout is 0: a run
is compared with another run, and both must compute the same thing.
"""

from __future__ import annotations

from simulator.executor.blocks import dlrm, embedding, head, hstu, transformer
from simulator.executor.blocks.env import Env, Inputs

__all__ = ["Env", "Inputs", "forward"]

_FORWARD = {
    "embedding": embedding.forward,
    "attention": transformer.attention,
    "mlp": transformer.mlp,
    "hstu": hstu.forward,
    "bottom": dlrm.bottom,
    "interaction": dlrm.interaction,
    "head": head.forward,
}


def forward(env: Env, unit, weights, x, inputs: Inputs):
    """Runs one unit. x: [positions, hidden], None for the first unit. Returns the next unit's x, or the loss."""
    if unit.layer < 0:
        return _FORWARD[unit.kind](env, unit, weights, x, inputs)
    with env.cheap.unit():
        return _FORWARD[unit.kind](env, unit, weights, x, inputs)
