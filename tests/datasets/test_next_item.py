"""Batches of next items: every plan gets the same samples, nobody sees what is held out, and NDCG is what it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.datasets import next_item
from simulator.datasets.histories import Histories, generated
from simulator.errors import ScenarioError
from simulator.executor.batches import TOKENS
from simulator.scenario.loader import scenario_from

ITEMS = 1682


def scenario(head="full_softmax", rows=ITEMS + 1, **plan):
    kind = {"kind": head, "table": "item", **({"negatives": 3} if head == "sampled_softmax" else {})}
    return scenario_from(
        {
            "schema_version": 1,
            "name": "s",
            "model": {
                "trunk": {"block": "sasrec", "layers": 2, "hidden": 16, "heads": 2, "seq": 12},
                "tables": [{"name": "item", "rows": rows, "dim": 16}],
                "head": kind,
            },
            "cluster": {"preset": "cpu_host", "gpus_per_node": plan.get("data", 1)},
            "plan": {"microbatch": 4, "global_batch": 16, **plan},
        }
    )


def flat(batch, name):
    return np.concatenate([microbatch.ids[name] for microbatch in batch.microbatches])


def histories(*sequences, items=50):
    return Histories("x", items, tuple(np.array(sequence) for sequence in sequences))


@pytest.mark.parametrize("plan", [{"data": 1}, {"data": 2}, {"data": 2, "microbatch": 8}], ids=str)
def test_every_plan_trains_on_the_same_samples(plan):
    found = [next_item.generated_batches(scenario(**plan), 3, rank) for rank in range(plan["data"])]
    whole = next_item.generated_batches(scenario(microbatch=16), 3, 0)
    assert (np.concatenate([flat(batch, TOKENS) for batch in found]) == flat(whole, TOKENS)).all()
    assert {batch.total_weight for batch in found} == {whole.total_weight}


@given(st.lists(st.lists(st.integers(1, 50), min_size=2, max_size=30), min_size=1, max_size=6), st.integers(0, 20))
def test_a_window_is_a_piece_of_one_history(sequences, step):
    given_sequences = tuple(map(np.array, sequences))
    ids, labels, weights = next_item.windows(given_sequences, seed=1, step=step, samples=4, seq=8)
    for row in range(4):
        length = int(weights[row].sum())
        seen = [*ids[row, :length].tolist(), *labels[row, length - 1 : length].tolist()]
        assert any(
            seen == sequence[first : first + len(seen)]
            for sequence in sequences
            for first in range(len(sequence) - len(seen) + 1)
        )
        assert (ids[row, 1:length] == labels[row, : length - 1]).all()
        assert (weights[row, length:] == 0).all() and (ids[row, length:] == next_item.PADDING).all()
        assert length == min(8, len(seen) - 1)


def test_an_epoch_takes_every_user_once():
    users = tuple(np.array([user + 1, 1, 2]) for user in range(12))
    seen = [next_item.windows(users, seed=5, step=step, samples=4, seq=2)[0][:, 0].tolist() for step in range(6)]
    first, second = (np.concatenate(part).tolist() for part in (seen[:3], seen[3:]))
    assert sorted(first) == sorted(second) == list(range(1, 13))
    assert first != second


def test_what_is_held_out_is_never_trained_on():
    marked = histories(*[[*range(1, 12), 50] for _ in range(9)])
    for step in range(20):
        ids, labels, _ = next_item.windows(marked.training(), seed=0, step=step, samples=3, seq=6)
        assert (ids != 50).all() and (labels != 50).all()


def test_a_context_ends_where_the_held_out_item_follows():
    ids, last = next_item.contexts(histories([1, 2, 3], range(1, 12)), 5)
    assert ids.tolist() == [[1, 2, 0, 0, 0], [6, 7, 8, 9, 10]]
    assert last.tolist() == [1, 4]


def test_ndcg_of_known_ranks():
    own = histories([1, 2, 9], [3, 4, 9], items=40)
    scores = np.tile(np.arange(41, 0, -1.0), (2, 1))  # the lower the id, the better
    # user 0 has had 1 and 2: 3..8 stand before 9, rank 7; user 1 has had 3 and 4: 1, 2, 5..8 stand before 9
    assert next_item.ndcg(scores, own) == pytest.approx(1 / np.log2(8))
    scores[0, 9] = 100
    assert next_item.ndcg(scores, own) == pytest.approx((1 + 1 / np.log2(8)) / 2)
    scores[0, 9] = -1
    assert next_item.ndcg(scores, own) == pytest.approx(1 / np.log2(8) / 2)


def test_a_model_that_scores_all_alike_gets_nothing():
    assert next_item.ndcg(np.zeros((1, 41)), histories([1, 2, 9], items=40)) == 0


def test_an_item_that_was_had_before_can_be_the_next_one():
    scores = np.zeros((1, 41))
    scores[0, 1] = 1
    assert next_item.ndcg(scores, histories([1, 2, 1], items=40)) == 1


def test_padding_and_seen_items_never_stand_before_the_next_one():
    scores = np.zeros((1, 41))
    scores[0, [0, 1, 2, 9]] = [9, 8, 7, 1]
    assert next_item.ndcg(scores, histories([1, 2, 9], items=40)) == 1


def test_sampled_heads_get_the_positive_first():
    batch = next_item.generated_batches(scenario("sampled_softmax"), 0, 0)
    for microbatch in batch.microbatches:
        assert microbatch.scored.shape == (4, 12, 4)
        assert (microbatch.scored[:, :, 0] == microbatch.labels).all()
        assert microbatch.scored[:, :, 1:].min() >= 1 and microbatch.scored.max() <= ITEMS


def test_too_few_rows_are_refused():
    with pytest.raises(ScenarioError, match="use 1683 or more"):
        next_item.generated_batches(scenario(rows=ITEMS), 0, 0)


def test_a_model_without_items_is_refused():
    model = {"trunk": {"block": "gpt", "layers": 1, "hidden": 16, "heads": 2, "seq": 8}, "head": {"kind": "binary"}}
    made = scenario_from(
        {"schema_version": 1, "name": "s", "model": model, "cluster": {"preset": "single_gpu"},
         "plan": {"microbatch": 1, "global_batch": 1}}
    )  # fmt: skip
    with pytest.raises(ScenarioError, match="needs one table of items"):
        next_item.check_rows(made, ITEMS)


def test_generated_data_do_not_leak_order():
    """Beyond popularity there is nothing to learn: the next item does not depend on the last."""
    items = generated(0).sequences
    pairs = np.concatenate([np.stack([sequence[:-1], sequence[1:]]) for sequence in items], axis=1)
    assert abs(np.corrcoef(np.log(pairs))[0, 1]) < 0.01
