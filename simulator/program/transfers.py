"""Pipeline transfers: what leaves one stage and arrives at the next.

Reads the compute launches of a rank; adds a receive before each action that needs one and a send after each whose
result leaves, on one stream per direction (`recv_forward`, `send_forward`, `recv_backward`, `send_backward`).
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.program.actions import Action
from simulator.program.program import Chunk, Launch

_DIRECTION = {"F": "forward", "B": "backward"}


def add_transfers(
    launches: list[Launch], chunks: tuple[Chunk, ...], pipeline_rank: int, num_stages: int,
    holder: Callable[[int], int], size_bytes: int, *, overlap: bool,
) -> list[Launch]:  # fmt: skip
    """Adds receives and sends of `size_bytes` each.

    holder: pipeline rank of a global stage; stages of one rank hand over in memory. overlap: receives are posted as
    early as their stream allows and sends run beside compute; else a receive is posted when the action of its direction
    before it is over (Megatron-LM's fused calls send one result and receive the next input), and compute goes on when
    the send is over.
    """
    pieces = {chunk.stage: len(chunk.segments) for chunk in chunks}
    complete: list[Launch] = []
    previous: dict[str, tuple[str, ...]] = {}
    blocking: tuple[str, ...] = ()
    for launch in launches:
        action = launch.action
        step = {"F": 1, "B": -1}[action.verb]
        source, target = action.stage - step, action.stage + step
        of = {"stage": action.stage, "of": action.verb, "microbatch": action.microbatch}
        if (action.segment or 0) == 0 and 0 <= source < num_stages and holder(source) != pipeline_rank:
            receive = Action(
                "recv",
                **of,
                size_bytes=size_bytes,
                peer=holder(source),
                after=() if overlap else previous.get(action.verb, ()),
            )
            complete.append(Launch(f"recv_{_DIRECTION[action.verb]}", receive))
            blocking += (receive.name,)
        if blocking:
            action = action.waiting_for(*blocking)
        blocking = ()
        complete.append(Launch("compute", action))
        previous[action.verb] = (action.name,)
        is_last_piece = action.segment is None or action.segment == pieces[action.stage] - 1
        if is_last_piece and 0 <= target < num_stages and holder(target) != pipeline_rank:
            send = Action("send", **of, size_bytes=size_bytes, peer=holder(target), after=(action.name,))
            complete.append(Launch(f"send_{_DIRECTION[action.verb]}", send))
            blocking = () if overlap else (send.name,)
    return complete
