"""Zero-bubble schedules: the backward pass in two halves, I (input gradients) and W (weight gradients).

Only I is waited for by the stage before, so W fills what would be bubbles. H1 and H2 are the hand-made schedules of Qi
et al., "Zero Bubble (Almost) Pipeline Parallelism" (ICLR 2024, arXiv 2401.10241, sections 2 and 3), ZB-V that of its
section 6, which Qi et al., "Pipeline Parallelism with Controllable Memory" (2024, arXiv 2405.15362), call V-ZB. Where
F, I and W take the same time, bubbles are (p-1)/3m of the step for H1 and none for H2 and ZB-V.
"""

from __future__ import annotations

from simulator.program.actions import Action

Order = tuple[tuple[Action, ...], ...]


def zb_h1(stages: int, microbatches: int, virtual_stages: int = 1) -> Order:
    """1F1B whose W are late: those of rank r by r microbatches, so that no rank keeps more than `stages` alive."""
    return _one_chunk(stages, microbatches, ahead=1)


def zb_h2(stages: int, microbatches: int, virtual_stages: int = 1) -> Order:
    """H1 with twice the forwards ahead and W twice as late: 2 `stages` - 1 alive, ranks end one after another."""
    return _one_chunk(stages, microbatches, ahead=2)


def _one_chunk(stages: int, microbatches: int, ahead: int) -> Order:
    """Rank r runs ahead (p-1-r) forwards, then F I each; W follows its I after ahead r others."""
    order = []
    for rank in range(stages):
        warmup, late = min(microbatches, ahead * (stages - 1 - rank)), ahead * rank
        actions = [("F", index) for index in range(warmup)]
        for index in range(microbatches):
            if index + warmup < microbatches:
                actions.append(("F", index + warmup))
            actions.append(("I", index))
            if index >= late:
                actions.append(("W", index - late))
        actions += [("W", index) for index in range(max(0, microbatches - late), microbatches)]
        order.append(tuple(Action(verb, stage=rank, microbatch=index) for verb, index in actions))
    return tuple(order)


def zb_v(stages: int, microbatches: int, virtual_stages: int = 2) -> Order:
    """Two chunks for each rank, laid out as a V: what rank 0 begins it also ends, so no rank waits for the far end.

    Rank r: 2(p-r)-1 forwards of its first chunk, r of both in turn, p-r whole passes of its second; then one pass of
    each chunk in turn; at the end only I of both, then W. At most 2p chunks, which are p whole microbatches, are alive.
    Steady from 2p-1 microbatches on; with fewer, those that are not there are left out.
    """
    order = []
    for rank in range(stages):
        passes = _v_passes(rank, stages, max(2 * stages - 1, microbatches))
        held = (rank, 2 * stages - 1 - rank)
        count: dict[str, int] = {}
        actions = []
        for one in passes:
            index = count[one] = count.get(one, -1) + 1
            if index < microbatches:
                actions.append(Action(one[0], stage=held[int(one[1])], microbatch=index))
        order.append(tuple(actions))
    return tuple(order)


def _v_passes(rank: int, stages: int, microbatches: int) -> list[str]:
    """What rank `rank` runs, as verb and chunk ("F0", "W1"), for at least 2 `stages` - 1 microbatches."""
    before, behind = rank, stages - rank  # ranks before this one; this one and those behind it
    warmup = 2 * behind - 1 + before  # forwards of the first chunk
    return [
        *["F0"] * (2 * behind - 1),
        *["F1", "F0"] * before,
        *["F1", "I1", "W1"] * behind,
        *["F0", "I0", "W0", "F1", "I1", "W1"] * (microbatches - warmup),
        *["I0", "W0", "F1", "I1", "W1"] * (behind - 1),
        *["I0", "I1"] * before,
        *["I0", "W0"] * behind,
        *["W1"] * before,
        *["W0"] * before,
    ]
