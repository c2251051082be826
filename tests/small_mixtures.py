"""Configs of small mixtures of experts, one or more of each family."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


_SIZES = {
    "vocab_size": 41,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_experts_per_tok": 2,
}
_GROUPED = {**_SIZES, "num_key_value_heads": 2, "intermediate_size": 20}
_QWEN = {**_GROUPED, "num_experts": 6, "moe_intermediate_size": 12, "shared_expert_intermediate_size": 14}
_LATENT = {
    **_SIZES, "intermediate_size": 20, "moe_intermediate_size": 12, "n_routed_experts": 6, "n_shared_experts": 2,
    "num_key_value_heads": 4, "kv_lora_rank": 10, "q_lora_rank": 14, "qk_rope_head_dim": 4, "qk_nope_head_dim": 6,
    "v_head_dim": 8, "first_k_dense_replace": 1, "n_group": 2, "topk_group": 1,
}  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {
    "mixtral": {"model_type": "mixtral", **_GROUPED, "num_local_experts": 5},
    "mixtral, a window, wide heads": {
        "model_type": "mixtral", **_GROUPED, "num_experts": 5, "sliding_window": 3, "head_dim": 10,
    },
    "olmoe": {"model_type": "olmoe", **_GROUPED, "num_experts": 5, "attention_bias": True, "norm_topk_prob": True},
    "gpt_oss": {"model_type": "gpt_oss", **_GROUPED, "head_dim": 8, "num_local_experts": 5, "sliding_window": 3},
    "gpt_oss, no biases in attention": {
        "model_type": "gpt_oss", **_GROUPED, "head_dim": 8, "num_local_experts": 5, "attention_bias": False,
        "layer_types": ["full_attention"] * 3,
    },
    "qwen2_moe": {"model_type": "qwen2_moe", **_QWEN},
    "qwen2_moe, dense layers, windows": {
        "model_type": "qwen2_moe", **_QWEN, "num_hidden_layers": 5, "decoder_sparse_step": 2, "mlp_only_layers": [1],
        "qkv_bias": False, "use_sliding_window": True, "sliding_window": 3, "max_window_layers": 3,
    },
    "qwen3_moe": {"model_type": "qwen3_moe", **_QWEN, "head_dim": 10, "attention_bias": True},
    "qwen3_moe, dense only": {
        "model_type": "qwen3_moe", **_QWEN, "decoder_sparse_step": 9, "tie_word_embeddings": True,
    },
    "deepseek_v2": {"model_type": "deepseek_v2", **_LATENT},
    "deepseek_v2, biases": {"model_type": "deepseek_v2", **_LATENT, "attention_bias": True, "mlp_bias": True},
    "deepseek_v2, whole queries, no dense layer": {
        "model_type": "deepseek_v2", **_LATENT, "q_lora_rank": None, "first_k_dense_replace": 0,
        "topk_method": "group_limited_greedy",
    },
    "deepseek_v3": {"model_type": "deepseek_v3", **_LATENT},
    "deepseek_v3, dense only": {"model_type": "deepseek_v3", **_LATENT, "first_k_dense_replace": 3},
}  # fmt: skip
