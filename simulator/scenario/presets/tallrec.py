"""TALLRec: a large language model tuned as a recommender."""

from __future__ import annotations

from typing import Any


def tallrec_llama7b_lora() -> dict[str, Any]:
    """TALLRec's LLaMA-7B with LoRA of rank 8 on queries and values, 512 tokens a sample.

    Bao et al. 2023, arXiv 2305.00447; SAI990323/TALLRec at 04071a377b92, shell/instruct_7B.sh (cutoff_len 512, lora_r
    8, targets q_proj and v_proj; batch 128 in microbatches of 64, adamw). LLaMA-7B: Touvron et al. 2023, arXiv
    2302.13971, table 2 (32 layers of width 4096, 32 heads, 32,000 tokens; MLP 2/3 of 4 x width rounded up to 11008).
    Trained are 4.2 of 6,743 million parameters. Not modelled: dropout 0.05 in front of the adapters, frozen weights in
    8 bits (load_in_8bit), loss on the answer's tokens only.
    """
    return {
        "trunk": {
            "block": "llama",
            "layers": 32,
            "hidden": 4096,
            "heads": 32,
            "ffn": 11008,
            "vocab": 32000,
            "tied_embeddings": False,
            "seq": 512,
            "causal": True,
        },
        "head": {"kind": "lm"},
        "adapter": {"kind": "lora", "rank": 8, "targets": ["q", "v"]},
    }
