"""Length balancer: which replica takes which samples of a global batch, so that none has much more to do than others.

Balanced largest differencing (Karmarkar and Karp 1982, in the form of Michiels, Korst, Aarts and van Leeuwen 2003 for
equally many items in each bin): samples in descending order of cost, so many at a time as there are bins, are partial
deals; the two of the largest spread are joined, one's dearest bin with the other's cheapest, until one is left. It is
what NVIDIA/recsys-examples shuffles batches by. A sample costs what its model FLOPs say: attention's grow with the
square of its length, all others with its length; prices are not asked, so that simulator and executor decide alike.

Where a microbatch is padded, a sample costs what the longest one beside it does: samples of like length then make a
microbatch, and whole microbatches are dealt out.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from simulator.errors import ScenarioError
from simulator.model import blocks
from simulator.policies.decisions import Decision

POLICY = "length"

Order = tuple[tuple[int, ...], ...]
"""[replica]: the samples it takes, by their place in the global batch, microbatch after microbatch."""

_PROBE = 1024


@dataclass(frozen=True, slots=True)
class LengthBalancer:
    """replicas, microbatches, size: the global batch is so many times so many microbatches of so many samples.

    square, linear: cost of a sample of length n is square n^2 + linear n. padded: all samples of a microbatch cost what
    its longest one does. lockstep: replicas wait for each other in every microbatch (tables do), not once a step.
    """

    replicas: int
    microbatches: int
    size: int
    square: int
    linear: int
    padded: bool = False
    lockstep: bool = True

    @property
    def unbalanced(self) -> Order:
        """Consecutive samples, as a loader deals them."""
        each = self.microbatches * self.size
        return tuple(tuple(range(first, first + each)) for first in range(0, self.replicas * each, each))

    def decide(self, lengths: Sequence[int]) -> Order:
        """The order in which to deal these samples; the loader's own where no other is expected to be faster."""
        found = self._padded_order(lengths) if self.padded else self._packed_order(lengths)
        return found if self.cost(lengths, found) < self.cost(lengths, self.unbalanced) else self.unbalanced

    def decision(self, step: int, lengths: Sequence[int], order: Order) -> Decision:
        """A step's order as a line of a `--decisions` file."""
        before, after = self.cost(lengths, self.unbalanced), self.cost(lengths, order)
        return Decision(step, POLICY, self.unbalanced, order, before / after - 1)

    def cost(self, lengths: Sequence[int], order: Order) -> int:
        """Of the step, in FLOPs: what replicas wait for."""
        grid = [self._microbatches(lengths, own) for own in order]
        if self.lockstep:
            return sum(max(column) for column in zip(*grid, strict=True))
        return max(map(sum, grid))

    def check(self, order: object, step: int) -> Order:
        """An order that was replayed. Raises ScenarioError where it does not deal out every sample once, evenly."""
        each = self.microbatches * self.size
        rows = order if isinstance(order, tuple) and all(isinstance(own, tuple) for own in order) else ()
        if [len(own) for own in rows] == [each] * self.replicas:
            flat = [place for own in rows for place in own]
            if all(type(place) is int for place in flat) and sorted(flat) == list(range(self.replicas * each)):
                return order
        raise ScenarioError(
            f"step {step} does not deal {self.replicas * each} samples out to {self.replicas} replicas, each once; "
            "replay what was decided for this scenario",
            key="--decisions",
        )

    def _microbatches(self, lengths: Sequence[int], own: Sequence[int]) -> list[int]:
        """Cost of each microbatch of one replica."""
        found = []
        for first in range(0, len(own), self.size):
            held = [lengths[place] for place in own[first : first + self.size]]
            found.append(len(held) * self._of(max(held)) if self.padded else sum(map(self._of, held)))
        return found

    def _packed_order(self, lengths: Sequence[int]) -> Order:
        costs = [self._of(length) for length in lengths]
        order = []
        for own in even_deal(costs, range(len(costs)), self.replicas):
            deals = even_deal(costs, own, self.microbatches)
            # dearest first on every replica: microbatches of one number are alike
            order.append(tuple(place for deal in by_cost(costs, deals) for place in deal))
        return tuple(order)

    def _padded_order(self, lengths: Sequence[int]) -> Order:
        places = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
        alike = [places[first : first + self.size] for first in range(0, len(places), self.size)]
        costs = [self._of(lengths[deal[0]]) for deal in alike]
        dealt = even_deal(costs, range(len(alike)), self.replicas)
        return tuple(tuple(place for number in own for place in alike[number]) for own in dealt)

    def _of(self, length: int) -> int:
        return self.square * length * length + self.linear * length


def balancer_of(scenario) -> LengthBalancer:
    """The balancer of a scenario's plan."""
    plan, model = scenario.plan, scenario.model
    one, two = (blocks.model_flops(model, 1, (length,)) for length in (_PROBE, 2 * _PROBE))
    square = round((two - 2 * one) / (2 * _PROBE**2))  # the causal half is rounded to whole FLOPs
    linear = one // _PROBE - square * _PROBE
    return LengthBalancer(
        plan.data, plan.microbatches, plan.microbatch, square, linear,
        padded=scenario.data.lengths.layout == "padded", lockstep=bool(blocks.sparse_tables(model)),
    )  # fmt: skip


def even_deal(costs: Sequence[int], items: Sequence[int], bins: int) -> list[list[int]]:
    """The items in `bins` lists of equally many, the sums of their costs as equal as differencing makes them.

    costs: by item. The number of items is a multiple of bins. Ties by the lower item, and by the deal made earlier.
    """
    ordered = sorted(items, key=lambda item: (-costs[item], item))
    heap = []
    for number, first in enumerate(range(0, len(ordered), bins)):
        deal = [(costs[item], [item]) for item in ordered[first : first + bins]]
        heap.append((deal[-1][0] - deal[0][0], number, deal))
    heapq.heapify(heap)
    number = len(heap)
    while len(heap) > 1:
        _, _, one = heapq.heappop(heap)
        _, _, other = heapq.heappop(heap)
        joined = [(a + b, held + more) for (a, held), (b, more) in zip(one, reversed(other), strict=True)]
        joined.sort(key=lambda pair: (-pair[0], min(pair[1])))
        heapq.heappush(heap, (joined[-1][0] - joined[0][0], number, joined))
        number += 1
    return sorted((sorted(held) for _, held in heap[0][2]), key=min)


def by_cost(costs: Sequence[int], deals: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Deals, the dearest first."""
    return sorted(deals, key=lambda deal: (-sum(costs[item] for item in deal), min(deal)))
