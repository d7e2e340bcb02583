"""Pipeline transfers: what leaves one stage and arrives at the next.

Reads the compute launches of a rank; adds a receive before each action that needs one and a send after each whose
result leaves, on one stream per direction (`recv_forward`, `send_forward`, `recv_backward`, `send_backward`). Where a
rank has two neighbours in one direction (a V), their messages come in no common order: the second neighbour's have a
stream of their own, with its pipeline rank in the name.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.program.actions import Action
from simulator.program.program import Chunk, Launch

_DIRECTION = {"F": "forward", "B": "backward"}
_SERVED = {"F": "F", "B": "B", "I": "B"}
"""What the transfers around an action are of. W receives and sends nothing."""


def add_transfers(
    launches: list[Launch], chunks: tuple[Chunk, ...], pipeline_rank: int, num_stages: int,
    holder: Callable[[int], int], size_bytes: Callable[[int], int], *, overlap: bool,
) -> list[Launch]:  # fmt: skip
    """Adds receives and sends.

    size_bytes: of what crosses from a stage to the next one, or comes back. holder: pipeline rank of a global stage;
    stages of one rank hand over in memory. overlap: receives are posted as early as their stream allows and sends run
    beside compute; else a receive is posted when the action of its direction before it is over (Megatron-LM's fused
    calls send one result and receive the next input), and compute goes on when the send is over.
    """
    pieces = {chunk.stage: len(chunk.segments) for chunk in chunks}
    complete: list[Launch] = []
    previous: dict[str, tuple[str, ...]] = {}
    blocking: tuple[str, ...] = ()
    usual: dict[str, int] = {}

    def stream(verb: str, of: str, peer: int) -> str:
        name = f"{verb}_{_DIRECTION[of]}"
        return name if usual.setdefault(name, peer) == peer else f"{name}_p{peer}"

    for launch in launches:
        action = launch.action
        served = _SERVED.get(action.verb)
        if served is None:
            complete.append(Launch("compute", action.waiting_for(*blocking)))
            blocking = ()
            continue
        step = {"F": 1, "B": -1}[served]
        source, target = action.stage - step, action.stage + step
        of = {"stage": action.stage, "of": served, "microbatch": action.microbatch}
        if (action.segment or 0) == 0 and 0 <= source < num_stages and holder(source) != pipeline_rank:
            receive = Action(
                "recv",
                **of,
                size_bytes=size_bytes(min(action.stage, source)),
                peer=holder(source),
                after=() if overlap else previous.get(served, ()),
            )
            complete.append(Launch(stream("recv", served, receive.peer), receive))
            blocking += (receive.name,)
        if blocking:
            action = action.waiting_for(*blocking)
        blocking = ()
        complete.append(Launch("compute", action))
        previous[served] = (action.name,)
        is_last_piece = action.segment is None or action.segment == pieces[action.stage] - 1
        if is_last_piece and 0 <= target < num_stages and holder(target) != pipeline_rank:
            size = size_bytes(min(action.stage, target))
            send = Action("send", **of, size_bytes=size, peer=holder(target), after=(action.name,))
            complete.append(Launch(stream("send", served, send.peer), send))
            blocking = () if overlap else (send.name,)
    return complete
