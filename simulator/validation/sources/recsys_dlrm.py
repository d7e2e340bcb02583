"""DLRM on the eight A100 of a DGX, and on one of them."""

from __future__ import annotations

from typing import Any

from simulator.scenario.presets.dlrm import dlrm_dot_criteo
from simulator.validation.cases import Case, read_rows, scenario

CITATION = (
    "github NVIDIA/DeepLearningExamples PyTorch/Recommendation/DLRM (October 2021, and June 2021 as copied in "
    "nlqq/NVIDIA-DeepLearningExamples) and TensorFlow2/Recommendation/DLRM_and_DCNv2; NVIDIA-Merlin/HugeCTR "
    "sparse_operation_kit/documents/tutorials/DLRM_Benchmark"
)
READINGS = (
    "PyTorch: whole tables dealt out, the bottom MLP on GPU 0 for all rows, which then holds no table, the top MLP "
    "data parallel (dlrm/utils/distributed.py get_device_mapping); apex.mlp, dotBasedInteract, SGD on sparse tensors",
    "AMP is torch.cuda.amp: parameters, their gradients and reduction in fp32, products and vectors on the way in "
    "fp16; weights, their gradients and (on eight) looked-up vectors are cast by kernels of their own",
    "large is frequency limit 3: 26 tables of 177.9M rows x 128, 84.9 GiB; small is limit 15; ids Zipf 1.45, as "
    "NVIDIA's synthetic data has them",
    "ids are exchanged here (0.04 ms), where the data loader brings each GPU those of its tables",
    "results are those of --cuda_graphs (README): each step starts on an empty device, its inputs are copied into "
    "place and the graph is launched; under AMP GradScaler reads a flag back before the update, which is launched "
    "kernel by kernel. A launch takes what the README's inference loses without graphs: 30 us, Python included",
    "not modelled: apex DistributedDataParallel's copies into and out of one flat bucket (0.02 ms exposed), 16-bit "
    "copies (join, slices) that move two bytes at a time",
    "rows of June 2021 ran the same kernels without graphs: priced as with them, and in no mean. A batch of 64k is "
    "that of all GPUs (64,014 steps an epoch of 4.2e9 samples)",
    "TensorFlow and SOK rows are priced as the same kernels with a replicated bottom MLP",
    "DCNv2: low-rank cross layers of rank 512, three of them as in MLPerf's; Adam",
)

SMALL_ROWS = (7912889, 33823, 17139, 7339, 20046, 4, 7105, 1382, 63, 5554114, 582469, 245828, 11, 2209, 10667, 104, 4,
              968, 15, 8165896, 2675940, 7156453, 302516, 12022, 97, 35)  # fmt: skip
EXTRA_LARGE_ROWS = (227605432, 39061, 3067956, 405283, 11, 2209, 11939, 155, 4, 977, 15, 292775614, 17296, 40790948,
                    187188510, 590152, 12974, 109, 37, 7425, 20266, 4, 7123, 1544, 64, 130229467)  # fmt: skip
"""NVIDIA/DeepLearningExamples TensorFlow2/Recommendation/DLRM_and_DCNv2/dataloading/generate_feature_spec.py at
d53419f: criteo_t15_synthetic and criteo_t0_synthetic; the preset has criteo_t3_synthetic."""

OTHER, EARLIER = "priced as PyTorch's", "priced as replayed graphs"
OWN = "PyTorch DLRM"
SINGLE_BATCH = {"32k": 32768, "64k": 65536}
"""Of rows that state one GPU's; all others share 65,536 samples."""


def cases() -> tuple[Case, ...]:
    """Twenty rows; those of other frameworks, and of the script before it was replayed, are shown, in no mean."""
    return tuple(_case(row) for row in read_rows("recsys_dlrm.csv"))


def _case(row: dict[str, str]) -> Case:
    gpus, amp = int(row["gpus"]), not row["amp"].startswith(("TF32", "no"))
    batch = SINGLE_BATCH.get(row["batch"], 65536)
    own, small = row["framework"].startswith(OWN), "40GB" in row["hw"]
    measured_s = float(row["iter_ms"]) / 1e3 if row["iter_ms"] else batch / float(row["throughput_samples_s"])
    name = f"{row['framework']}, {row['model']}, {gpus} A100{'-40GB' if small else ''} {row['amp']}"
    alone = own and gpus > 1
    stand_in = OTHER if not own else "" if row["framework"] == OWN else EARLIER
    return Case(
        source="recsys_dlrm",
        name=name,
        measured_s=measured_s,
        group=row["model"],
        stand_in=stand_in,
        scenario=scenario(
            name,
            model=_model(row),
            dtype="fp16" if amp else "tf32",
            precision={"parameters": "fp32", "gradients": "fp32", "reduce": "fp32",
                       "vectors": "fp16" if amp else "fp32"},
            optimizer="adam" if "DCNv2" in row["framework"] else "sgd",
            software={"stack": "deeplearning_examples"},
            cluster={"preset": "dgx_a100_40gb" if small else "dgx_a100", "nodes": 1, "gpus_per_node": gpus},
            plan={
                "tensor": 1, "pipeline": 1, "data": gpus, "virtual_stages": 1,
                "microbatch": batch // gpus, "global_batch": batch, "embedding_sharding": "table_wise",
                "bottom_mlp": "one_rank" if alone else "replicated",
            },
        ),
    )  # fmt: skip


def _model(row: dict[str, str]) -> dict[str, Any]:
    """The preset's, with the tables of the row's frequency limit."""
    model, rows = dlrm_dot_criteo(), {"small": SMALL_ROWS, "extra large": EXTRA_LARGE_ROWS}.get(row["model"])
    if rows is not None:
        model["tables"] = [{**table, "rows": count} for table, count in zip(model["tables"], rows, strict=True)]
    if "DCNv2" in row["framework"]:
        model["dense"] = {**model["dense"], "interaction": "dcn_v2", "cross_layers": 3, "cross_rank": 512}
        model["tables"] = [{**table, "optimizer": "adam"} for table in model["tables"]]
    return model
