"""Causal language models in plain PyTorch, one per family: GPT-2, Llama and GPT-NeoX (Pythia).

They stand in where transformers is not installed or refuses a shape, such as GPT-3 XL as printed: d_model 2048 with 24
heads of 128. Parameter names, parameter shapes and module paths are those of transformers' `GPT2LMHeadModel`,
`LlamaForCausalLM` and `GPTNeoXForCausalLM`, and so are the matrix products, one by one. Dropout is left out: the
models are what transformers' are in eval mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from symflops.errors import ConfigError, UnknownName
from symflops.tracing.reference_parts import (
    Config,
    RMSNorm,
    Rotary,
    Shape,
    TransposedLinear,
    activation,
    attend,
    causal_mask,
    number,
    rotate,
    section,
    shape,
    truth,
)

Attention = Literal["eager", "sdpa"]
Turn = tuple[Tensor, Tensor]


class Output(NamedTuple):
    """What a model returns: logits of shape (n_batch, n_seq, n_vocab)."""

    logits: Tensor


class GPT2Attention(nn.Module):
    def __init__(self, at: Shape) -> None:
        super().__init__()
        self.d_head = at.d_head
        self.c_attn = TransposedLinear(at.d_model, 3 * at.n_head * at.d_head)
        self.c_proj = TransposedLinear(at.n_head * at.d_head, at.d_model)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (part.unflatten(-1, (-1, self.d_head)).transpose(1, 2) for part in self.c_attn(x).chunk(3, dim=-1))
        out: Tensor = self.c_proj(attend(q, k, v, mask))
        return out


class GPT2MLP(nn.Module):
    def __init__(self, config: Config, at: Shape) -> None:
        super().__init__()
        self.c_fc = TransposedLinear(at.d_model, at.d_ff)
        self.c_proj = TransposedLinear(at.d_ff, at.d_model)
        self.act = activation(config, "activation_function", "gelu_new")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.c_proj(self.act(self.c_fc(x)))
        return out


class GPT2Block(nn.Module):
    def __init__(self, config: Config, at: Shape) -> None:
        super().__init__()
        eps = number(config, "layer_norm_epsilon", 1e-5)
        self.ln_1 = nn.LayerNorm(at.d_model, eps)
        self.attn = GPT2Attention(at)
        self.ln_2 = nn.LayerNorm(at.d_model, eps)
        self.mlp = GPT2MLP(config, at)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.attn(self.ln_1(x), mask) + x
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class GPT2(nn.Module):
    def __init__(self, config: Config, at: Shape) -> None:
        super().__init__()
        self.wte = nn.Embedding(at.n_vocab, at.d_model)
        self.wpe = nn.Embedding(at.n_ctx, at.d_model)
        self.h = nn.ModuleList(GPT2Block(config, at) for _ in range(at.n_layer))
        self.ln_f = nn.LayerNorm(at.d_model, number(config, "layer_norm_epsilon", 1e-5))

    def forward(self, input_ids: Tensor, attention: Attention) -> Tensor:
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        x = self.wte(input_ids) + self.wpe(positions)
        mask = causal_mask(x) if attention == "eager" else None
        for block in self.h:
            x = block(x, mask)
        out: Tensor = self.ln_f(x)
        return out


class LlamaAttention(nn.Module):
    def __init__(self, config: Config, at: Shape) -> None:
        super().__init__()
        self.d_head = at.d_head
        bias = truth(config, "attention_bias", False)
        self.q_proj = nn.Linear(at.d_model, at.n_head * at.d_head, bias)
        self.k_proj = nn.Linear(at.d_model, at.n_kv_head * at.d_head, bias)
        self.v_proj = nn.Linear(at.d_model, at.n_kv_head * at.d_head, bias)
        self.o_proj = nn.Linear(at.n_head * at.d_head, at.d_model, bias)

    def forward(self, x: Tensor, mask: Tensor | None, turn: Turn) -> Tensor:
        split = (proj(x).unflatten(-1, (-1, self.d_head)) for proj in (self.q_proj, self.k_proj, self.v_proj))
        q, k, v = (part.transpose(1, 2) for part in split)
        out: Tensor = self.o_proj(attend(rotate(q, turn), rotate(k, turn), v, mask, torch.float32))
        return out


class LlamaMLP(nn.Module):
    def __init__(self, config: Config, at: Shape) -> None:
        super().__init__()
        bias = truth(config, "mlp_bias", False)
        self.gate_proj = nn.Linear(at.d_model, at.d_ff, bias)
        self.up_proj = nn.Linear(at.d_model, at.d_ff, bias)
        self.down_proj = nn.Linear(at.d_ff, at.d_model, bias)
        self.act_fn = activation(config, "hidden_act", "silu")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))
        return out


class LlamaLayer(nn.Module):
    def __init__(self, config: Config, at: Shape) -> None:
        super().__init__()
        eps = number(config, "rms_norm_eps", 1e-6)
        self.self_attn = LlamaAttention(config, at)
        self.mlp = LlamaMLP(config, at)
        self.input_layernorm = RMSNorm(at.d_model, eps)
        self.post_attention_layernorm = RMSNorm(at.d_model, eps)

    def forward(self, x: Tensor, mask: Tensor | None, turn: Turn) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), mask, turn)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Llama(nn.Module):
    def __init__(self, config: Config, at: Shape) -> None:
        super().__init__()
        rope = {"rope_theta": config.get("rope_theta")} | section(config, "rope_scaling", "rope_parameters")
        self.embed_tokens = nn.Embedding(at.n_vocab, at.d_model)
        self.layers = nn.ModuleList(LlamaLayer(config, at) for _ in range(at.n_layer))
        self.norm = RMSNorm(at.d_model, number(config, "rms_norm_eps", 1e-6))
        self.rotary_emb = Rotary(rope, at, 1.0)

    def forward(self, input_ids: Tensor, attention: Attention) -> Tensor:
        x = self.embed_tokens(input_ids)
        mask = causal_mask(x) if attention == "eager" else None
        turn = self.rotary_emb(x)
        for layer in self.layers:
            x = layer(x, mask, turn)
        out: Tensor = self.norm(x)
        return out


class GPTNeoXAttention(nn.Module):
    def __init__(self, config: Config, at: Shape) -> None:
        super().__init__()
        self.n_head = at.n_head
        bias = truth(config, "attention_bias", True)
        self.query_key_value = nn.Linear(at.d_model, 3 * at.n_head * at.d_head, bias)
        self.dense = nn.Linear(at.n_head * at.d_head, at.d_model, bias)

    def forward(self, x: Tensor, mask: Tensor | None, turn: Turn) -> Tensor:
        # The fused projection holds query, key and value head by head, not one after the other as GPT-2's does.
        by_head = self.query_key_value(x).unflatten(-1, (self.n_head, -1)).transpose(1, 2)
        q, k, v = by_head.chunk(3, dim=-1)
        out: Tensor = self.dense(attend(rotate(q, turn), rotate(k, turn), v, mask, torch.float32))
        return out


class GPTNeoXMLP(nn.Module):
    def __init__(self, config: Config, at: Shape) -> None:
        super().__init__()
        self.dense_h_to_4h = nn.Linear(at.d_model, at.d_ff)
        self.dense_4h_to_h = nn.Linear(at.d_ff, at.d_model)
        self.act = activation(config, "hidden_act", "gelu")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dense_4h_to_h(self.act(self.dense_h_to_4h(x)))
        return out


class GPTNeoXLayer(nn.Module):
    def __init__(self, config: Config, at: Shape) -> None:
        super().__init__()
        self.parallel = truth(config, "use_parallel_residual", True)
        eps = number(config, "layer_norm_eps", 1e-5)
        self.input_layernorm = nn.LayerNorm(at.d_model, eps)
        self.post_attention_layernorm = nn.LayerNorm(at.d_model, eps)
        self.attention = GPTNeoXAttention(config, at)
        self.mlp = GPTNeoXMLP(config, at)

    def forward(self, x: Tensor, mask: Tensor | None, turn: Turn) -> Tensor:
        attended = self.attention(self.input_layernorm(x), mask, turn)
        after = attended + x
        out: Tensor = self.mlp(self.post_attention_layernorm(x if self.parallel else after)) + after
        return out


class GPTNeoX(nn.Module):
    def __init__(self, config: Config, at: Shape) -> None:
        super().__init__()
        rope = section(config, "rope_scaling", "rope_parameters")
        share = number(rope, "partial_rotary_factor", number(config, "rotary_pct", 0.25))
        self.embed_in = nn.Embedding(at.n_vocab, at.d_model)
        self.layers = nn.ModuleList(GPTNeoXLayer(config, at) for _ in range(at.n_layer))
        self.final_layer_norm = nn.LayerNorm(at.d_model, number(config, "layer_norm_eps", 1e-5))
        rope = {"rope_theta": config.get("rotary_emb_base")} | rope
        self.rotary_emb = Rotary(rope, at, share)

    def forward(self, input_ids: Tensor, attention: Attention) -> Tensor:
        x = self.embed_in(input_ids)
        mask = causal_mask(x) if attention == "eager" else None
        turn = self.rotary_emb(x)
        for layer in self.layers:
            x = layer(x, mask, turn)
        out: Tensor = self.final_layer_norm(x)
        return out


class CausalLM(nn.Module):
    """A body under the name transformers gives it, and a head without bias on top.

    Where the embedding is tied, the head holds the very same Parameter.
    """

    def __init__(self, path: str, body: nn.Module, tied: bool, attention: Attention) -> None:
        super().__init__()
        self.path = path
        self.attention: Attention = attention
        self.add_module(path, body)
        embedding = self.get_input_embeddings()
        self.lm_head = nn.Linear(embedding.embedding_dim, embedding.num_embeddings, bias=False)
        if tied:
            self.lm_head.weight = embedding.weight

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of token embeddings, which every family makes first."""
        return next(module for module in self.modules() if isinstance(module, nn.Embedding))

    def forward(self, input_ids: Tensor, use_cache: Literal[False] = False) -> Output:
        """Logits of whole sequences; there is no cache to use."""
        if use_cache:
            raise ConfigError("the reference models keep no cache; call them with use_cache=False")
        return Output(self.lm_head(self.get_submodule(self.path)(input_ids, self.attention)))


Body = Callable[[Config, Shape], nn.Module]
# Of each family: the body's path, its class, whether the embedding is tied unless the config says, and the settings
# that change what is computed in a way that is not modelled here, with the value that leaves it alone.
FAMILIES: Mapping[str, tuple[str, Body, bool, Mapping[str, bool]]] = {
    "gpt2": (
        "transformer",
        GPT2,
        True,
        {
            "add_cross_attention": False,
            "reorder_and_upcast_attn": False,
            "scale_attn_by_inverse_layer_idx": False,
            "scale_attn_weights": True,
        },
    ),
    "llama": ("model", Llama, False, {}),
    "gpt_neox": ("gpt_neox", GPTNeoX, False, {}),
}


def reference_model(config: Config, attention: Attention) -> CausalLM:
    """The reference model of a Hugging Face style config, on torch's default device and in its default type.

    >>> config = {"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 3, "head_dim": 5, "vocab_size": 11}
    >>> sorted(name for name, _ in reference_model(config, "eager").named_parameters())[:2]
    ['transformer.h.0.attn.c_attn.bias', 'transformer.h.0.attn.c_attn.weight']

    Raises UnknownName for another family, SizeError for sizes that do not fit, ConfigError for a setting such as
    cross-attention that the reference does not compute.
    """
    family = str(config.get("model_type"))
    if family not in FAMILIES:
        raise UnknownName("model family", family, FAMILIES)
    path, body, tied, settings = FAMILIES[family]
    for name, plain in settings.items():
        if truth(config, name, plain) != plain:
            raise ConfigError(f"the reference {family} has no {name}={config[name]!r}; only {plain} is modelled")
    return CausalLM(path, body(config, shape(config, family)), truth(config, "tie_word_embeddings", tied), attention)
