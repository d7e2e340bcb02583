"""Models of the literature, for tests; figures from the papers named beside them."""

from simulator.model.spec import ModelSpec


def megatron(layers: int, hidden: int, heads: int, seq: int = 2048, vocab: int = 51200) -> ModelSpec:
    return ModelSpec.model_validate(
        {"trunk": {"block": "gpt", "layers": layers, "hidden": hidden, "heads": heads, "seq": seq, "vocab": vocab}}
    )


# arXiv 2205.05198, table 3: (layers, hidden, heads)
GPT_22B = megatron(48, 6144, 64)
GPT_175B = megatron(96, 12288, 96)
GPT_530B = megatron(105, 20480, 128)
GPT_1T = megatron(128, 25600, 160)


def llama(layers: int, hidden: int, heads: int, ffn: int) -> ModelSpec:
    trunk = {"block": "llama", "layers": layers, "hidden": hidden, "heads": heads, "kv_heads": 8, "ffn": ffn}
    return ModelSpec.model_validate({"trunk": {**trunk, "seq": 8192, "vocab": 128256}})


# arXiv 2407.21783, table 3
LLAMA3_8B = llama(32, 4096, 32, 14336)
LLAMA3_70B = llama(80, 8192, 64, 28672)
LLAMA3_405B = llama(126, 16384, 128, 53248)

# arXiv 1810.04805
BERT_LARGE = ModelSpec.model_validate(
    {"trunk": {"block": "bert", "layers": 24, "hidden": 1024, "heads": 16, "seq": 512, "vocab": 30522}}
)

# arXiv 1808.09781: two blocks, one head, MovieLens-1M's 3,416 items, d 50, sequences of 200; scored by 1 + 1 items
SASREC = ModelSpec.model_validate(
    {
        "trunk": {"block": "sasrec", "layers": 2, "hidden": 50, "heads": 1, "seq": 200},
        "tables": [{"name": "item", "rows": 3417, "dim": 50}],
        "head": {"kind": "binary", "table": "item"},
    }
)
SASREC_SOFTMAX = ModelSpec.model_validate(
    {
        "trunk": {"block": "sasrec", "layers": 2, "hidden": 64, "heads": 2, "seq": 200},
        "tables": [{"name": "item", "rows": 26744, "dim": 64}],
        "head": {"kind": "full_softmax", "table": "item"},
    }
)

# NVIDIA/recsys-examples, examples/hstu/training/benchmark: 8 layers of 1024, 4 heads of 256, 8 tasks behind [512, 8]
HSTU = ModelSpec.model_validate(
    {
        "trunk": {"block": "hstu", "layers": 8, "hidden": 1024, "heads": 4, "head_dim": 256, "seq": 4099},
        "dense": {"top": [512, 8]},
    }
)
HSTU_TABLES = HSTU.model_copy(
    update={
        "tables": ModelSpec.model_validate(
            {"tables": [{"name": "item", "rows": 50_000_000, "dim": 128, "ids": {"kind": "zipf", "alpha": 1.05}}]}
        ).tables
    }
)

ALL = (GPT_22B, LLAMA3_8B, BERT_LARGE, SASREC, SASREC_SOFTMAX, HSTU, HSTU_TABLES)
