"""What a collective costs by its algorithm: n ranks, a message, a bandwidth and a latency, in exact closed form.

size_bytes counts the full message as NCCL does (see `model.work.Collective`); bytes_per_s is what one rank sends and
receives at once; latency_s is one message's. Every function returns seconds. Sources: Thakur, Rabenseifner and Gropp
2005 (ring, pairwise, binomial tree), Sanders, Speck and Traeff 2009 (double binary tree).
"""

from __future__ import annotations

from collections.abc import Callable


def ring_all_reduce(ranks: int, size_bytes: float, bytes_per_s: float, latency_s: float) -> float:
    """A ring reduce-scatter, then a ring all-gather: 2(n-1) messages of S/n."""
    return 2 * (ranks - 1) * (size_bytes / ranks / bytes_per_s + latency_s)


def ring_all_gather(ranks: int, size_bytes: float, bytes_per_s: float, latency_s: float) -> float:
    """n-1 messages of S/n, S the gathered result."""
    return (ranks - 1) * (size_bytes / ranks / bytes_per_s + latency_s)


def ring_reduce_scatter(ranks: int, size_bytes: float, bytes_per_s: float, latency_s: float) -> float:
    """n-1 messages of S/n, S the input of one rank."""
    return (ranks - 1) * (size_bytes / ranks / bytes_per_s + latency_s)


def pairwise_all_to_all(ranks: int, size_bytes: float, bytes_per_s: float, latency_s: float) -> float:
    """n-1 exchanges of S/n, S what one rank sends to all, itself included."""
    return (ranks - 1) * (size_bytes / ranks / bytes_per_s + latency_s)


def ring_broadcast(ranks: int, size_bytes: float, bytes_per_s: float, latency_s: float) -> float:
    """A pipeline of many small pieces along a ring: the message once, and a latency for each rank it passes."""
    return size_bytes / bytes_per_s + (ranks - 1) * latency_s if ranks > 1 else 0.0


def tree_depth(ranks: int) -> int:
    """Levels below the root of a binary tree: ceil(log2 n)."""
    return (ranks - 1).bit_length()


def tree_volume(ranks: int) -> float:
    """How often the message leaves the busiest rank of a double binary tree all-reduce (half a message in each tree).

    Up once and down twice, each in halves, make 2; two ranks only exchange halves both ways: 1.
    """
    return {1: 0.0, 2: 1.0}.get(ranks, 2.0)


def point_to_point(size_bytes: float, bytes_per_s: float, latency_s: float) -> float:
    """One message."""
    return size_bytes / bytes_per_s + latency_s


def ring_sendrecv(ranks: int, size_bytes: float, bytes_per_s: float, latency_s: float) -> float:
    """Every rank sends one message to the next and receives one from the rank before, all at once."""
    return size_bytes / bytes_per_s + latency_s if ranks > 1 else 0.0


RING: dict[str, Callable[[int, float, float, float], float]] = {
    "all_reduce": ring_all_reduce,
    "all_gather": ring_all_gather,
    "reduce_scatter": ring_reduce_scatter,
    "all_to_all": pairwise_all_to_all,
    "broadcast": ring_broadcast,
    "sendrecv": ring_sendrecv,
}


def ring_volume(op: str, ranks: int) -> float:
    """How often the message leaves each rank: the factor between NCCL's algorithm and bus bandwidth."""
    return RING[op](ranks, 1.0, 1.0, 0.0)


def ring_steps(op: str, ranks: int) -> int:
    """Messages that follow one another: the factor of the latency."""
    return round(RING[op](ranks, 0.0, 1.0, 1.0))
