"""Small configs of every family, with each setting that changes what it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

Choices = Mapping[str, Sequence[Any]]
_LLAMA: Choices = {
    "num_hidden_layers": [1, 3], "num_attention_heads": [4], "num_key_value_heads": [1, 2, 4], "hidden_size": [32],
    "intermediate_size": [7, 33], "vocab_size": [41], "max_position_embeddings": [19], "pad_token_id": [0],
    "tie_word_embeddings": [False, True],
}  # fmt: skip
_BIASED: Choices = {**_LLAMA, "attention_bias": [False, True]}
_WINDOWED: Choices = {**_BIASED, "sliding_window": [3], "head_dim": [6, 8], "layer_types": [None]}
_SMALL: Choices = {
    "num_hidden_layers": [1, 2], "num_attention_heads": [3], "hidden_size": [15], "intermediate_size": [7],
}  # fmt: skip
_BERT: Choices = {
    **_SMALL, "vocab_size": [41], "max_position_embeddings": [19], "type_vocab_size": [1, 2],
    "hidden_act": ["gelu", "relu"], "pad_token_id": [0],
}  # fmt: skip
_TRANSLATOR: Choices = {
    "encoder_layers": [1, 2], "decoder_layers": [1, 3], "encoder_attention_heads": [2], "d_model": [12],
    "decoder_attention_heads": [2], "encoder_ffn_dim": [7], "decoder_ffn_dim": [7, 9],
}  # fmt: skip
FAMILIES: dict[str, Choices] = {
    "gpt2": {
        "n_layer": [1, 3], "n_head": [1, 3, 5], "n_embd": [15, 45], "n_inner": [None, 7], "vocab_size": [41],
        "n_positions": [17], "tie_word_embeddings": [True, False], "activation_function": ["gelu_new", "relu"],
    },
    "gpt_neo": {
        "num_layers": [2], "attention_types": [[[["local"], 2]], [[["global", "local"], 1]], [[["global"], 2]]],
        "hidden_size": [24], "num_heads": [3], "intermediate_size": [None, 10], "vocab_size": [41],
        "window_size": [5], "tie_word_embeddings": [True, False], "max_position_embeddings": [19],
    },
    "gpt_neox": {
        "num_hidden_layers": [1, 3], "num_attention_heads": [2, 3], "hidden_size": [48, 96], "vocab_size": [41],
        "intermediate_size": [7], "attention_bias": [True, False], "use_parallel_residual": [True, False],
        "tie_word_embeddings": [False, True], "rotary_pct": [0.25, 1.0], "max_position_embeddings": [19],
    },
    "gptj": {
        "n_layer": [1, 2], "n_head": [2], "n_embd": [32], "rotary_dim": [4, 8], "n_inner": [None, 9],
        "vocab_size": [41], "tie_word_embeddings": [False, True], "n_positions": [19],
    },
    "opt": {
        "num_hidden_layers": [1, 2], "num_attention_heads": [2], "hidden_size": [16], "ffn_dim": [9],
        "vocab_size": [41],
        "do_layer_norm_before": [True, False], "enable_bias": [True, False], "word_embed_proj_dim": [None, 16],
        "layer_norm_elementwise_affine": [True, False], "max_position_embeddings": [19], "tie_word_embeddings": [True],
        "_remove_final_layer_norm": [False, True],
    },
    "bloom": {"n_layer": [1, 2], "n_head": [2], "hidden_size": [16], "vocab_size": [41], "tie_word_embeddings": [True]},
    # Other mixtures of these flags build modules that transformers cannot run.
    "falcon": {
        "num_hidden_layers": [1, 2], "num_attention_heads": [4], "hidden_size": [32], "ffn_hidden_size": [None, 9],
        "vocab_size": [41], "num_kv_heads": [4], "new_decoder_architecture": [False],
        "multi_query": [True], "parallel_attn": [True, False], "bias": [True, False], "alibi": [False, True],
        "num_ln_in_parallel_attn": [None, 1], "max_position_embeddings": [19],
    },
    "mpt": {"n_layers": [1, 2], "n_heads": [2], "d_model": [16], "expansion_ratio": [2, 4], "vocab_size": [41]},
    "llama": {**_BIASED, "head_dim": [None, 2, 10], "mlp_bias": [False, True]},
    "mistral": {**_LLAMA, "sliding_window": [None, 5], "head_dim": [None, 6]},
    "qwen2": {**_LLAMA, "use_sliding_window": [False, True], "sliding_window": [5], "max_window_layers": [0, 1, 3]},
    "qwen3": {
        **_BIASED, "head_dim": [6, 8], "use_sliding_window": [False, True], "sliding_window": [5],
        "max_window_layers": [0, 1],
    },
    "gemma": {**_BIASED, "head_dim": [6, 8]},
    "gemma2": {**_WINDOWED, "attn_logit_softcapping": [None, 50.0], "final_logit_softcapping": [None, 30.0]},
    "gemma3_text": {**_WINDOWED, "num_hidden_layers": [1, 7], "final_logit_softcapping": [None, 30.0]},
    "phi": {**_LLAMA, "qk_layernorm": [False, True], "partial_rotary_factor": [0.5, 0.25]},
    "phi3": {**_LLAMA, "sliding_window": [None, 5], "partial_rotary_factor": [0.5, 1.0]},
    "cohere": {**_BIASED, "use_qk_norm": [False, True]},
    "olmo": {**_BIASED, "clip_qkv": [None, 8.0]},
    "olmo2": _BIASED,
    "stablelm": {
        **_LLAMA, "use_qkv_bias": [False, True], "qk_layernorm": [False, True],
        "use_parallel_residual": [False, True], "partial_rotary_factor": [0.25, 0.5],
    },
    "granite": {**_BIASED, "mlp_bias": [False, True]},
    "bert": _BERT,
    "roberta": {**_BERT, "max_position_embeddings": [21]},
    "t5": {
        "num_layers": [1, 2], "num_decoder_layers": [None, 1, 3], "num_heads": [3], "d_model": [10], "d_kv": [4, 6],
        "d_ff": [7], "vocab_size": [41], "relative_attention_num_buckets": [8], "relative_attention_max_distance": [16],
        "feed_forward_proj": ["relu", "gated-gelu", "gated-silu", "gelu"],
    },
    "bart": {
        **_TRANSLATOR, "vocab_size": [41], "max_position_embeddings": [19],
        "activation_function": ["gelu", "relu"], "scale_embedding": [False, True],
    },
    "vit": {
        **_SMALL, "image_size": [12, 8], "patch_size": [2, 4], "num_channels": [1, 3], "qkv_bias": [True, False],
        "pooler_act": ["tanh", "relu"], "pooler_output_size": [None, 15], "hidden_act": ["gelu", "relu"],
    },
    "clip": {
        "projection_dim": [6, 9],
        "text_config": [
            {"hidden_size": 10, "num_attention_heads": 2, "num_hidden_layers": layers, "intermediate_size": 7,
             "vocab_size": 41, "max_position_embeddings": 19, "eos_token_id": 40}
            for layers in (1, 2)
        ],
        "vision_config": [
            {**{name: values[-1] for name, values in _SMALL.items()}, "image_size": 12, "patch_size": patch}
            for patch in (4, 6)
        ],
    },
    "whisper": {
        **_TRANSLATOR, "vocab_size": [41], "num_mel_bins": [5], "max_source_positions": [6, 9],
        "max_target_positions": [19], "pad_token_id": [0], "tie_word_embeddings": [True, False],
    },
}  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {
    "gpt2": {"model_type": "gpt2", "n_layer": 2, "n_head": 3, "n_embd": 15, "vocab_size": 41, "n_positions": 17},
    "llama": {
        "model_type": "llama", "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 3,
        "hidden_size": 36, "intermediate_size": 33, "vocab_size": 41,
    },
}  # fmt: skip
"""A small model of two families."""


def configs(family: str) -> st.SearchStrategy[dict[str, Any]]:
    """Any small config of a family."""
    choices = {name: st.sampled_from(list(values)) for name, values in FAMILIES[family].items()}
    return st.fixed_dictionaries({"model_type": st.just(family), **choices})
