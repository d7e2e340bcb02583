"""DLRM: tables of categorical features, an MLP on numbers, their interaction, and an MLP on top (arXiv 1906.00091)."""

from __future__ import annotations

from typing import Any

WIDTH = 128
BOTTOM = [512, 256, WIDTH]
TOP = [1024, 1024, 512, 256, 1]

MLPERF_ROWS = (40_000_000, 39_060, 17_295, 7_424, 20_265, 3, 7_122, 1_543, 63, 40_000_000, 3_067_956, 405_282, 10,
               2_209, 11_938, 155, 4, 976, 14, 40_000_000, 40_000_000, 40_000_000, 590_152, 12_973, 108,
               36)  # fmt: skip
MLPERF_LOOKUPS = (3, 2, 1, 2, 6, 1, 1, 1, 1, 7, 3, 8, 1, 6, 9, 5, 1, 1, 1, 12, 100, 27, 10, 3, 1, 1)

CRITEO_ROWS = (45_833_188, 36_747, 1_572_176, 345_139, 11, 2_209, 11_268, 128, 4, 975, 15, 48_937_457, 17_246,
               11_316_796, 40_094_537, 452_104, 12_607, 105, 36, 7_414, 20_244, 4, 7_115, 1_442, 63,
               29_275_261)  # fmt: skip
"""Values of each feature that occur more than thrice in Criteo's terabyte; those that do not share a row."""


def dlrm_v2_mlperf() -> dict[str, Any]:
    """DLRM-DCNv2 of MLPerf: 26 tables of 204.2M rows x 128, 214 lookups a sample, 3 cross layers of rank 512.

    github mlcommons/training, recommendation_v2/torchrec_dlrm/README.MD, "Running the MLPerf DLRM v2 benchmark": rows
    and multi-hot sizes of each feature (uniform), dense_arch_layer_sizes 512,256,128, over_arch_layer_sizes
    1024,1024,512,256,1, dcn_num_layers 3, dcn_low_rank_dim 512, Adagrad; 13 numbers a row; global batch 65,536.
    """
    sizes = zip(MLPERF_ROWS, MLPERF_LOOKUPS, strict=True)
    tables = [
        {**_table(place, rows), "lookups_per_sample": lookups, "optimizer": "adagrad", "ids": {"kind": "uniform"}}
        for place, (rows, lookups) in enumerate(sizes)
    ]
    return _dlrm(tables, interaction="dcn_v2", cross_layers=3, cross_rank=512)


def dlrm_dot_criteo() -> dict[str, Any]:
    """DLRM on Criteo's terabyte: 26 tables of 177.9M rows x 128 (frequency limit 3), one lookup each, dot interaction.

    NVIDIA/DeepLearningExamples at d53419f, PyTorch/Recommendation/DLRM (MLPs, SGD, fp32 tables) and
    TensorFlow2/Recommendation/DLRM_and_DCNv2/dataloading/generate_feature_spec.py, variant criteo_t3_synthetic: the
    rows of each feature, and ids by a power law of 1.45. 84.9 GiB; the "large" model of both READMEs.
    """
    tables = [
        {**_table(place, rows), "lookups_per_sample": 1, "optimizer": "sgd", "ids": {"kind": "zipf", "alpha": 1.45}}
        for place, rows in enumerate(CRITEO_ROWS)
    ]
    return _dlrm(tables, interaction="dot")


def _table(place: int, rows: int) -> dict[str, Any]:
    """What the tables of both have in common."""
    return {"name": f"cat_{place}", "rows": rows, "dim": WIDTH, "pooling": "sum", "dtype": "fp32"}


def _dlrm(tables: list[dict[str, Any]], **interaction: Any) -> dict[str, Any]:
    """13 numbers a row, the MLPs of both, and a click to predict."""
    dense = {"features": 13, "bottom": BOTTOM, "top": TOP, **interaction}
    return {"trunk": {"block": "none"}, "tables": tables, "head": {"kind": "binary"}, "dense": dense}
