"""Scenario texts that the tests of the scenario and of the command start from."""

GPT3 = """\
schema_version: 1
name: gpt3
model: {preset: gpt3_175b}
cluster: {preset: dgx_a100, nodes: 8}
plan:
  tensor: 8
  pipeline: 8
  sequence_parallel: true
  microbatch: 1
  global_batch: 64
  recompute: selective
"""

HSTU = """\
schema_version: 1
name: hstu
model: {preset: hstu_nv_ranking}
cluster: {preset: dgx_h100, nodes: 2}
plan: {microbatch: 32, global_batch: 512}
"""

TINY = """\
schema_version: 1
name: tiny
model:
  trunk: {block: gpt, layers: 4, hidden: 64, heads: 4, vocab: 1000, seq: 32}
cluster: {preset: dgx_a100, gpus_per_node: 4}
plan: {data: 4, microbatch: 1, global_batch: 8}
"""

EVERY_KEY = """\
schema_version: 1
name: every-key
model:
  preset: null
  trunk:
    block: gpt
    layers: 96
    hidden: 12288
    heads: 96
    kv_heads: 96
    head_dim: 128
    ffn: 49152
    vocab: 51200
    tied_embeddings: true
    seq: 2048
    causal: true
  tables:
    - name: item
      rows: 50000000
      dim: 128
      lookups_per_sample: null
      pooling: none
      optimizer: rowwise_adagrad
      dtype: fp32
      ids:
        kind: zipf
        alpha: 1.05
      placement: device
      cache_fraction: null
  head:
    kind: lm
    table: null
    tied: true
    negatives: null
  dense:
    features: 13
    bottom: []
    top: [512, 1]
    interaction: none
    cross_layers: 3
    cross_rank: 512
  adapter: null
  huggingface: null
dtype: bf16
precision:
  parameters: null
  gradients: null
  vectors: null
  reduce: null
optimizer: adam
software:
  compile: false
  stack: null
  attention: null
cluster:
  preset: dgx_a100
  nodes: 8
  gpus_per_node: 8
  nic_gbit_per_s: 1600
  nics_per_node: 8
  device: null
profile: a100_sxm4_80gb
network: auto
plan:
  tensor: 8
  pipeline: 8
  data: 1
  context: 1
  context_kind: ring
  sequence_parallel: true
  schedule: 1f1b
  virtual_stages: 1
  microbatch: 1
  global_batch: 64
  recompute: selective
  zero: 0
  shard_group: null
  reshard_after_forward: true
  bucket_mib: 25
  aggregation:
    algorithm: auto
    order: backward
    sparse: allgather
  overlap:
    grad_reduce: true
    param_gather: true
    tensor: false
    pipeline: true
  partition: uniform
  embedding_sharding: auto
  embedding_columns: 32
  embedding_dedup: false
  bottom_mlp: replicated
  embedding_fused_optimizer: false
  sync:
    mode: synchronous
    staleness: null
    period: null
    servers: null
  compression:
    method: none
    density: null
    rank: null
    inside: null
    error_feedback: null
    block: null
    sample: null
    shared_seed: null
    momentum: null
    clipping: null
    warm_up: null
    candidates: null
    decided: null
    min_bytes: null
  balancer:
    kind: none
    microbatches: null
    placement: null
    window: null
    threshold: null
data:
  lengths:
    kind: fixed
    alpha: null
    max: null
    name: null
    path: null
    layout: null
faults:
  stragglers: []
  links: []
  mtbf_hours: null
  checkpoint: null
  spares: 0
serving:
  arrivals: null
  candidates: null
  slo_ms: null
  batch_window_ms: null
  max_batch: null
  replicas: null
prices: null
steps: 1
seed: 0
"""
"""Every key of the format on a line of its own, each at a value that runs."""
