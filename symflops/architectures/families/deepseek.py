"""DeepSeek-V2 and V3: latent attention, experts that every token passes beside the routed ones, dense layers first."""

from __future__ import annotations

from functools import partial

from sympy import Add, Expr, S

from symflops.architectures import stacks
from symflops.architectures.families.experts import EXPERTS, mixture
from symflops.architectures.families.llama import PLACES, gated
from symflops.architectures.family import Family
from symflops.architectures.fields import Config, Field, positive_integer
from symflops.architectures.runs import ABSORBED, Run
from symflops.layers.embedding import ROTARY, de_embedding, embedding
from symflops.layers.experts import Scoring, corrected, shared_expert, sigmoid_of_all, softmax_of_all
from symflops.layers.feedforward import gated_feedforward
from symflops.layers.latent import LatentHeads, absorbed_attention, expanded_attention
from symflops.layers.linear import NO_BIAS, linear
from symflops.layers.norm import rms_norm
from symflops.networks import Block, Tied
from symflops.notation import d_expert, d_model, d_nope, d_rope, n_layer, n_layer_dense, n_seq, n_shared, r_q


def latent_attention(config: Config, run: Run) -> Expr:
    """Attention over latents, expanded or absorbed as the run says, its queries compressed where the config says."""
    heads = LatentHeads(r_q=None if config["q_lora_rank"] is None else r_q)
    bias, stream = stacks.bias(config, "attention_bias"), run.stream()
    if run.attention == ABSORBED:
        return absorbed_attention(heads, run.causal(), bias, stream)
    return expanded_attention(heads, run.causal(), run.core(), bias, stream)


def sparse_feedforward(config: Config, run: Run, steps: tuple[Scoring, ...]) -> Expr:
    """Routed experts, and n_shared that every token passes, as one layer of their widths together."""
    bias = stacks.bias(config, "mlp_bias")
    shared = gated_feedforward(config["hidden_act"], bias, n_shared * d_expert, run.stream())
    return Add(mixture(config, run, d_expert, steps), shared_expert(shared, run.stream()))


def _deepseek(config: Config, run: Run, steps: tuple[Scoring, ...]) -> Expr:
    layer = stacks.layer(run, rms_norm, latent_attention(config, run), S.Zero)
    sparse = sparse_feedforward(config, run, steps)
    layers = Add(n_layer * layer, n_layer_dense * gated(config, run), (n_layer - n_layer_dense) * sparse)
    return stacks.decoder(config, run, layers, rms_norm, rotated=d_rope)


_V2, _V3 = (softmax_of_all,), (sigmoid_of_all, corrected)


def next_token_module(config: Config, run: Run) -> Expr:
    """A module that predicts one token further, from the last states and the tokens they predict.

    Both are normed and joined by one matmul, and pass a layer with experts and a norm; the token table and the head are
    the model's own. DeepSeek-V3, arXiv:2412.19437, section 2.2, equations 21 to 23.
    """
    stream = run.stream()
    norms = (rms_norm(name, stream) for name in ("norm_state", "norm_token", "norm_final"))
    joined = linear("join", 2 * d_model, d_model, "project", NO_BIAS, stream)
    layer = stacks.layer(run, rms_norm, latent_attention(config, run), sparse_feedforward(config, run, _V3))
    shared = (Tied(embedding(ROTARY, stream)), Tied(de_embedding(stream=stream)))
    return Add(*norms, joined, layer, *shared)


def multi_token_prediction(config: Config, depths: int | None = None) -> Expr:
    """What training adds to predict ``depths`` further tokens (by default as many as the config says), one by one.

    Depth k has n_seq - k tokens, of whole sequences. The code of transformers has none of this, nor has the network of
    the family: add it. Raises `SizeError` for a number of depths that is no positive integer.

    >>> from symflops import architecture
    >>> from symflops.measures import params
    >>> model = architecture("deepseek-v3")
    >>> model.at(params(multi_token_prediction(model.config)))
    11610067968
    """
    given = config.get("num_nextn_predict_layers") if depths is None else depths
    count = positive_integer("num_nextn_predict_layers", given)
    lengths = ((depth, n_seq - depth) for depth in range(1, count + 1))
    return Add(*(Block(f"Depth {depth}", next_token_module(config, Run(left, left))) for depth, left in lengths))


_PLACES = """
    q            model.layers.*.self_attn.q_proj
    q_down       model.layers.*.self_attn.q_a_proj
    q_norm       model.layers.*.self_attn.q_a_layernorm
    q_up         model.layers.*.self_attn.q_b_proj
    kv_down      model.layers.*.self_attn.kv_a_proj_with_mqa
    kv_norm      model.layers.*.self_attn.kv_a_layernorm
    kv_up        model.layers.*.self_attn.kv_b_proj
    k_up v_up    model.layers.*.self_attn.kv_b_proj:weight
    scores_*     model.layers.*.self_attn
    *Shared/gate model.layers.*.mlp.shared_experts.{}_proj
    *Shared/up   model.layers.*.mlp.shared_experts.{}_proj
    *Shared/down model.layers.*.mlp.shared_experts.{}_proj
"""
_FIELDS = {"d_rope": Field("qk_rope_head_dim"), "d_head": Field("", d_nope + d_rope)}
DEEPSEEK_V2 = Family(
    "deepseek_v2",
    "DeepSeek-AI, DeepSeek-V2, 2024, arXiv:2405.04434",
    partial(_deepseek, steps=_V2),
    _PLACES + EXPERTS + PLACES,
    _FIELDS,
)
DEEPSEEK_V3 = Family(
    "deepseek_v3",
    "DeepSeek-AI, DeepSeek-V3 Technical Report, 2024, arXiv:2412.19437",
    partial(_deepseek, steps=_V3),
    _PLACES + EXPERTS + PLACES,
    _FIELDS,
)

FAMILIES = (DEEPSEEK_V2, DEEPSEEK_V3)
