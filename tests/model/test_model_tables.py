"""Embedding tables on a rank: exchanges, lookups, updates and storage in closed form."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import SASREC, SASREC_SOFTMAX

from simulator import kinds
from simulator.model import tables
from simulator.model.ids import expected_unique, hit_rate
from simulator.model.spec import ModelSpec, UniformIds
from simulator.plans import Plan
from simulator.scenario.schema import Precision

TRUNK = {"block": "hstu", "layers": 2, "hidden": 64, "heads": 2, "seq": 100}


def scenario(found, sharding="row_wise", head=None, **plan):
    model = {"trunk": TRUNK, "tables": found} | ({"head": head} if head else {})
    degrees = {"data": 4, "microbatch": 8, "global_batch": 64} | plan
    chosen = Plan.model_validate({**degrees, "embedding_sharding": sharding})
    return of(ModelSpec.model_validate(model), chosen)


PRECISION = Precision()


@dataclass(frozen=True)
class Stated:
    """What of a scenario tables read."""

    model: ModelSpec
    plan: Plan
    precision: Precision = PRECISION
    dtype: str = "bf16"

    @property
    def layout(self):
        return self.plan.layout

    @property
    def microbatches(self):
        return self.plan.microbatches


of = Stated


def item(**keys):
    return {"name": "item", "rows": 1000, "dim": 64, **keys}


def test_row_wise_sends_every_id_and_gets_every_vector():
    # 8 samples of 100 positions: 800 ids of 8 bytes to the owners, 800 vectors of 64 fp32 back
    found = tables.traffic(scenario([item()]))
    assert (found.ids, found.vectors, found.gather, found.dense_gradients) == (800 * 8, 800 * 64 * 4, 0, 0)


def test_ids_of_which_a_sample_has_a_few_are_asked_for_by_the_ranks_of_its_first_positions():
    """Three ids in front of each of 8 samples of 100: all are on the first context rank, under sequence parallelism on
    the first tensor rank; otherwise tensor ranks share them. Owners look up as many, whoever asks."""
    few = [item(lookups_per_sample=3)]
    for keys, ids in ({}, 24), ({"context": 2}, 24), ({"tensor": 2}, 12), ({"tensor": 2, "context": 2}, 12):
        ranks = 4 * keys.get("tensor", 1) * keys.get("context", 1)
        (part,) = tables.parts(scenario(few, **keys))
        assert part.own_ids == part.own_vectors == ids, keys
        assert part.mean_read == -(-4 * 24 // ranks), keys
    assert tables.traffic(scenario(few, tensor=2)).gather == 24 * 64 * 4
    sharded = scenario(few, tensor=2, sequence_parallel=True)
    assert (tables.parts(sharded)[0].own_by, tables.traffic(sharded).gather) == ((24, 0), 0)


def test_the_busiest_asker_is_one_rank_whatever_each_table_asks_of_it():
    """Of 100 positions a causal ring of two gives rank 0 chunks 0 and 3: it has 1 of 1 id and 25 of 60, rank 1 35."""
    found = tables.traffic(scenario([item(lookups_per_sample=1), item(name="b", lookups_per_sample=60)], context=2))
    assert found.vectors == 8 * 35 * 64 * 4


def test_each_rank_looks_up_its_slice_and_tensor_ranks_gather():
    # tensor 2: each rank takes half of the 800 positions; the gathered result is all of them again
    found = tables.traffic(scenario([item()], tensor=2))
    assert (found.ids, found.vectors, found.gather) == (400 * 8, 400 * 64 * 4, 800 * 64 * 4)
    assert tables.traffic(scenario([item()], tensor=2, sequence_parallel=True)).gather == 0


def test_bags_are_dealt_out_over_the_ranks_that_share_samples():
    """8 samples over tensor 2 * context 3: 2 bags each, padded; all ranks get all vectors."""
    bags = item(pooling="sum", lookups_per_sample=20)

    def found(**plan):
        return tables.traffic(scenario([bags], "table_wise", **plan))

    shared = found(tensor=2, context=3)
    group, vector = 4 * 6, 64 * 4
    assert shared.ids == group * 2 * 20 * 8 and shared.vectors == group * 2 * vector  # of the owner
    assert (shared.gather, shared.gather_context, shared.scatter) == (2 * 2 * vector, 6 * 2 * vector, 0)
    apart = found(tensor=2, context=3, sequence_parallel=True)  # tensor ranks have seen other positions: sums
    assert (apart.gather, apart.gather_context, apart.scatter) == (2 * 2 * vector, 6 * 2 * vector, 2 * 2 * vector)
    assert found(context=2).gather == 0 and found(context=2).gather_context == 2 * 4 * vector
    alone = found()
    assert (alone.gather, alone.gather_context, alone.scatter) == (0, 0, 0)
    with_rows = tables.traffic(scenario([bags, item(name="rows")], tensor=2, sequence_parallel=True))
    assert with_rows.gather == with_rows.scatter == 2 * 4 * vector  # vectors of positions are where they belong


def test_a_table_wise_owner_serves_all_ranks():
    shared = [item(), item(name="user", lookups_per_sample=1)]
    found = tables.traffic(scenario(shared, "table_wise"))
    # the owner of `item` receives 4 ranks' 800 ids and sends as many vectors; `user` lives elsewhere
    assert (found.ids, found.vectors) == (4 * 800 * 8, 4 * 800 * 64 * 4)
    loads = {load.table.name: load for load in tables.loads(scenario(shared, "table_wise"))}
    assert (loads["item"].rows, loads["user"].rows) == (1000, 0)


def test_table_wise_deals_tables_out():
    equal = [item(name=name) for name in "abcd"]
    # four tables on four ranks: each owner holds one, and sends what it receives
    assert [load.rows for load in tables.loads(scenario(equal, "table_wise"))] == [1000, 0, 0, 0]
    assert tables.traffic(scenario(equal, "table_wise")) == tables.traffic(scenario(equal, "row_wise"))


def test_data_parallel_exchanges_nothing_but_gradients():
    found = tables.traffic(scenario([item()], "data_parallel"))
    assert (found.ids, found.vectors, found.dense_gradients) == (0, 0, 1000 * 64 * 4)


def test_a_rank_alone_exchanges_nothing():
    for sharding in ("row_wise", "table_wise", "column_wise", "data_parallel"):
        found = tables.traffic(scenario([item()], sharding, data=1))
        assert (found.ids, found.vectors, found.gather, found.dense_gradients) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("optimizer", "state_bytes"), [("sgd", 0), ("rowwise_adagrad", 4), ("adagrad", 64 * 4), ("adam", 64 * 8)]
)
@pytest.mark.parametrize(("sharding", "rows"), [("row_wise", 250), ("table_wise", 1000), ("data_parallel", 1000)])
def test_storage_is_rows_and_their_states(optimizer, state_bytes, sharding, rows):
    assert tables.held(scenario([item(optimizer=optimizer)], sharding)).stored == rows * (64 * 4 + state_bytes)


def test_a_cached_host_table_stores_and_reads_its_share():
    zipf = {"kind": "zipf", "alpha": 1.05}
    held = scenario([item(placement="host", cache_fraction=0.1, ids=zipf)])
    whole = scenario([item(ids=zipf)])
    assert tables.held(held).stored == tables.held(whole).stored // 10
    cached, missed = tables.lookup_forward(held)
    hits = round(800 * hit_rate(held.model.tables[0].ids, 1000, 0.1))
    assert missed.op == "embedding_lookup_host"
    assert missed.bytes_moved == (800 - hits) * 256
    assert cached.bytes_moved + missed.bytes_moved == tables.lookup_forward(whole)[0].bytes_moved
    uncached = tables.lookup_forward(scenario([item(placement="host")]))
    assert uncached[1].bytes_moved == 800 * 256


@pytest.mark.parametrize("kind", ["row_wise", "table_wise", "column_wise", "data_parallel"])
@pytest.mark.parametrize("bags", [{}, {"pooling": "sum", "lookups_per_sample": 20}])
def test_misses_come_over_the_host_link_however_rows_are_dealt(kind, bags):
    """Hits and misses are all rows that are read; what is made of them is as many; a tenth of what is held is here.
    Every owner misses as often: what makes one busier is frequent, and here."""
    keys = {"ids": {"kind": "zipf", "alpha": 1.05}, "dim": 128} | bags
    held, whole = (scenario([item(**keys, **where)], kind, global_batch=32)
                   for where in ({"placement": "host", "cache_fraction": 0.1}, {}))  # fmt: skip
    (load,) = tables.loads(held)
    cached, missed = tables.lookup_forward(held)
    (all_here,) = tables.lookup_forward(whole)
    misses = load.mean_read - round(load.mean_read * hit_rate(load.table.ids, 1000, 0.1))
    assert missed.bytes_moved == misses * load.row_bytes
    assert cached.bytes_moved + missed.bytes_moved == all_here.bytes_moved
    assert tables.held(held).stored == load.rows // 10 * load.stored_bytes
    *_, update = tables.optimizer(held)
    assert update.op == "embedding_update_host" and update.kind == kinds.OPTIMIZER
    fused = scenario([item(**keys, placement="host")], kind, global_batch=32, embedding_fused_optimizer=True)
    host = [kernel for kernel in tables.lookup_backward(fused) if kernel.op == "embedding_update_host"]
    assert bool(host) == (kind != "data_parallel")


def test_memory_is_that_of_the_rank_that_holds_most():
    """Two tables of one owner each: the one that is asked for most, and one with a hundred times the rows."""
    found = [item(rows=100), item(name="rare", rows=10_000, lookups_per_sample=1)]
    run = scenario(found, "table_wise", data=2)
    assert [load.rows for load in tables.loads(run)] == [100, 0]
    assert tables.held(run).stored == 10_000 * (256 + 4)


def test_lookup_reads_and_writes_each_vector():
    (kernel,) = tables.lookup_forward(scenario([item()]))
    assert (kernel.op, kernel.shape, kernel.bytes_moved) == ("embedding_lookup", (800 * 64,), 800 * (8 + 2 * 256))


def test_lookups_of_ids_that_repeat_and_updates_by_optimizer_are_ops_of_their_own():
    zipf = {"kind": "zipf", "alpha": 1.05}
    (kernel,) = tables.lookup_forward(scenario([item(ids=zipf)]))
    assert kernel.op == "embedding_lookup_zipf"
    (bag,) = tables.lookup_forward(scenario([item(ids=zipf, pooling="sum", lookups_per_sample=20)]))
    assert bag.op == "embedding_bag_zipf"
    for optimizer in ("sgd", "adagrad", "rowwise_adagrad", "adam"):
        (update,) = tables.optimizer(scenario([item(optimizer=optimizer)], zero=0))
        assert update.op == f"row_update_{optimizer}"


def test_gradients_of_one_row_are_summed_before_the_update():
    run = scenario([item(rows=100)])  # 4 ranks' 3200 ids fall on all 100 rows: 25 of them are this rank's
    (backward,) = tables.lookup_backward(run)
    assert backward.bytes_moved == 800 * (8 + 256) + 25 * 64 * 4
    (update,) = tables.optimizer(run)
    # two microbatches leave 25 row gradients each; 25 rows of weights and 4-byte states are read and written
    assert update.bytes_moved == 2 * 25 * 256 + 25 * 2 * (256 + 4)
    assert update.kind == kinds.OPTIMIZER
    assert tables.held(run).waiting == 2 * 25 * 256


def test_a_fused_update_keeps_no_row_gradients_and_reads_them_once():
    run = scenario([item(rows=100)], global_batch=32, embedding_fused_optimizer=True)
    (backward,) = tables.lookup_backward(run)
    # 25 of the 100 rows are this rank's: weights and 4-byte states are read and written as gradients arrive
    assert backward.bytes_moved == 800 * (8 + 256) + 25 * 2 * (256 + 4)
    assert tables.optimizer(run) == () and tables.held(run).waiting == 0 and not tables.updates_last(run)
    copied = scenario([item(), item(name="user")], {"item": "row_wise", "user": "data_parallel"}, global_batch=32,
                      embedding_fused_optimizer=True)  # fmt: skip
    (update,) = tables.optimizer(copied)
    assert update.bytes_moved > 1000 * 256 and tables.updates_last(copied)
    assert tables.held(copied).waiting == 1000 * 256


def test_each_rank_asks_once_for_what_it_asks_for_often():
    run, whole = (scenario([item(rows=100)], embedding_dedup=asked) for asked in (True, False))
    distinct = round(expected_unique(UniformIds(), 100, 800))
    assert distinct == 100  # 800 ids of 100 rows: all of them
    assert tables.traffic(run).ids == 100 * 8 and tables.traffic(run).vectors == 100 * 256
    (lookup,), (found,), (repeated,), (summed,) = (
        steps(run)
        for steps in (tables.lookup_forward, tables.find_distinct, tables.repeat_vectors, tables.sum_gradients)
    )
    assert lookup.bytes_moved == 100 * (8 + 2 * 256)  # 4 ranks ask a fourth of this one's rows each
    assert found.bytes_moved == 8 * (800 * (4 * 1 + 2) + 100)  # a row's number has 7 bits: one digit of the sort
    assert repeated.bytes_moved == 800 * (8 + 2 * 256) and summed.bytes_moved == 800 * (8 + 256) + 100 * 256
    assert tables.held(run).stored == tables.held(whole).stored
    assert tables.optimizer(run) == tables.optimizer(whole)  # the same rows are touched


def test_distinct_ids_miss_the_cache_more_often():
    zipf = {"placement": "host", "cache_fraction": 0.1, "ids": {"kind": "zipf", "alpha": 1.2}}
    for kind in ("row_wise", "table_wise"):
        (often,), (once,) = (
            tables.loads(scenario([item(rows=10_000, **zipf)], kind, embedding_dedup=asked)) for asked in (False, True)
        )
        assert 0 < once.hit_rate < often.hit_rate < 1
        assert once.read * (1 - once.hit_rate) <= often.read * (1 - often.hit_rate)  # and yet fewer rows come over


def test_bags_keep_their_ids():
    bags = item(pooling="sum", lookups_per_sample=20)
    run, whole = (scenario([item(), bags | {"name": "bags"}], embedding_dedup=asked) for asked in (True, False))
    assert [part.sent < part.own_ids for part in tables.parts(run)] == [True, False]
    assert tables.traffic(run).reduced == tables.traffic(whole).reduced


def test_data_parallel_updates_what_any_rank_touched():
    run = scenario([item(rows=10_000, optimizer="sgd")], "data_parallel")
    touched = round(expected_unique(UniformIds(), 10_000, 2 * 4 * 800))
    (update,) = tables.optimizer(run)
    assert update.bytes_moved == 10_000 * 256 + touched * 2 * 256


def test_a_sampled_head_looks_its_rows_up_too():
    plan = Plan.model_validate({"data": 1, "microbatch": 8, "global_batch": 8, "embedding_sharding": "row_wise"})
    # SASRec: inputs, positives and one negative at each of 200 positions
    assert tables.lookup_forward(of(SASREC, plan))[0].shape == (3 * 8 * 200 * 50,)


def test_a_sampled_heads_rows_are_looked_up_on_the_first_stage():
    alone, behind = (
        Plan.model_validate(
            {"data": 4, "pipeline": p, "microbatch": 8, "global_batch": 32, "embedding_sharding": "row_wise"}
        )
        for p in (1, 2)
    )
    assert tables.traffic(of(SASREC, behind)) == tables.traffic(of(SASREC, alone))
    assert tables.held(of(SASREC, behind)) == tables.held(of(SASREC, alone))


def test_a_table_tied_to_a_full_softmax_is_not_sparse():
    run = of(SASREC_SOFTMAX, Plan.model_validate({"data": 4, "microbatch": 8, "global_batch": 32}))
    assert tables.traffic(run) is None
    assert tables.lookup_forward(run) == tables.lookup_backward(run) == tables.optimizer(run) == ()
    assert tables.held(run).stored == tables.held(run).waiting == tables.held(run).buffers == 0


@given(st.integers(1, 10**7), st.sampled_from([1, 2, 4, 8]), st.sampled_from(["fp32", "bf16"]))
def test_more_ranks_hold_less_and_send_as_much(rows, data, dtype):
    one, many = (
        scenario([item(rows=rows, dtype=dtype)], data=degree, microbatch=4, global_batch=4 * degree)
        for degree in (1, data)
    )
    share = tables.held(many).stored
    row = tables.held(one).stored // rows
    assert rows * row <= share * data < (rows + data) * row
    if data > 1:
        assert tables.traffic(many).vectors == 400 * 64 * (4 if dtype == "fp32" else 2)
    for run in (one, many):
        assert sum(kernel.bytes_moved for kernel in tables.optimizer(run)) > 0


def test_vectors_leave_in_the_dtype_that_is_stated():
    """Rows stay in the table's; what is made of them, sent, and comes back as gradients is half as wide."""
    model = ModelSpec.model_validate({"tables": [item(lookups_per_sample=100, pooling="none")]})
    plan = Plan(data=4, microbatch=8, global_batch=32, embedding_sharding="row_wise")
    wide, narrow = Stated(model, plan), Stated(model, plan, Precision(vectors="bf16"))
    assert 2 * tables.traffic(narrow).vectors == tables.traffic(wide).vectors
    assert tables.traffic(narrow).ids == tables.traffic(wide).ids
    assert tables.held(narrow).stored == tables.held(wide).stored
    (read,), (less,) = tables.lookup_forward(wide), tables.lookup_forward(narrow)
    assert read.bytes_moved - less.bytes_moved == 800 * 64 * 2
