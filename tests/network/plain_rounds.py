"""Rounds of messages one at a time in exact numbers: what the vectorised ones are held to."""

from __future__ import annotations

from fractions import Fraction

from plain_shares import exact_shares


def exact_rounds(rounds, capacities, latencies, starts) -> list[Fraction]:
    """When each rank is through. It sends what a round has for it when nothing of an earlier one is to come or go."""
    messages = [
        (number, source, target, Fraction(num_bytes), path)
        for number, one in enumerate(rounds)
        for source, target, num_bytes, path in one
    ]
    start = [Fraction(start) for start in starts]
    lateness = [sum(Fraction(latencies[link]) for link in path) for *_, path in messages]
    left_s: dict[int, Fraction] = {}
    begun_s: dict[int, Fraction] = {}
    remaining = {m: message[3] for m, message in enumerate(messages)}

    def may_begin(m):
        """When message m may begin, None while that is not known."""
        number, source = messages[m][:2]
        at = start[source]
        for other, (earlier, sender, receiver, *_) in enumerate(messages):
            if earlier < number and source in (sender, receiver):
                if other not in left_s:
                    return None
                if sender == source:
                    at = max(at, left_s[other])
                if receiver == source:
                    at = max(at, left_s[other] + lateness[other])
        return at

    now = min(start, default=Fraction(0))
    while len(left_s) < len(messages):
        waiting = {m: at for m in remaining if m not in begun_s and (at := may_begin(m)) is not None}
        for m, at in waiting.items():
            if at <= now:
                begun_s[m] = now
        moving = [m for m in remaining if m in begun_s]
        gone = [m for m in moving if not messages[m][4] or not remaining[m]]
        if gone:
            for m in gone:
                left_s[m] = now
                del remaining[m]
            continue
        rates = exact_shares([messages[m][4] for m in moving], capacities) if moving else []
        ends = [now + remaining[m] / rate for m, rate in zip(moving, rates, strict=True)]
        then = min([*ends, *(at for at in waiting.values() if at > now)])
        for m, rate in zip(moving, rates, strict=True):
            remaining[m] -= rate * (then - now)
        now = then
    through = list(start)
    for m, (_, source, target, *_) in enumerate(messages):
        through[source] = max(through[source], left_s[m])
        through[target] = max(through[target], left_s[m] + lateness[m])
    return through
