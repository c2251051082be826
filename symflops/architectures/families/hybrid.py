"""Hybrids: attention and state space layers in one stack, in turn (Bamba) or side by side in each layer (Falcon-H1).

Whole sequences and tokens after others are declared as in `mamba`. The closed forms of these families were not derived
from their code: they are counted on the real modules, at sizes, tensor by tensor and module by module.
"""

from __future__ import annotations

from math import prod

from sympy import Expr, S

from symflops.architectures import stacks
from symflops.architectures.families.llama import GROUPS, PLACES
from symflops.architectures.families.mamba import dual
from symflops.architectures.family import Family
from symflops.architectures.fields import Config, Field, positive_integer
from symflops.architectures.runs import Run
from symflops.errors import ConfigError
from symflops.layers.feedforward import gated_feedforward
from symflops.layers.norm import residual, rms_norm
from symflops.layers.ssd import StateHeads, gate_alone, gated_norm
from symflops.notation import d_model, d_rope, d_ssm_head, n_layer, n_ssm_group, n_ssm_head, symbol

n_layer_attention = symbol("n_layer_attention")
HEADS = StateHeads(n_ssm_head, d_ssm_head, n_ssm_group)
"""Heads of the state space layers, which are not those of attention."""


def in_turn(run: Run, attention: Expr, mixer: Expr, feedforward: Expr) -> Expr:
    """Layers alike but for what mixes their tokens: attention in n_layer_attention of them, the mixer in the others."""
    mixed = n_layer_attention * attention + (n_layer - n_layer_attention) * mixer
    return n_layer * stacks.layer(run, rms_norm, S.Zero, feedforward) + mixed


def _attention(config: Config, run: Run, rotated: Expr) -> Expr:
    bias = stacks.bias(config, "attention_bias")
    return stacks.attention(run, stacks.grouped(config), run.causal(), bias, bias, rotated)


def _gated(config: Config, run: Run) -> Expr:
    return gated_feedforward(config["hidden_act"], stacks.bias(config, "mlp_bias"), stream=run.stream())


def _check_width(config: Config) -> None:
    """Refuse heads that do not fill the channels: those the config says, else a multiple of the model's width."""
    said, wide = config.get("mamba_d_ssm"), config["mamba_d_head"]
    parts = ("mamba_expand", "hidden_size") if said is None else ("mamba_d_ssm",)
    inner = prod(positive_integer(name, config[name]) for name in parts)
    heads = positive_integer("mamba_n_heads", config["mamba_n_heads"])
    if inner % heads or wide not in (None, "auto", inner // heads):
        raise ConfigError(f"mamba_n_heads = {heads} heads of mamba_d_head = {wide} are not {inner} channels")


def _bamba(config: Config, run: Run) -> Expr:
    _check_width(config)
    mixer = dual(config, run, HEADS, ("mamba_proj_bias", "mamba_conv_bias", "mamba_proj_bias"))
    layers = in_turn(run, _attention(config, run, d_rope), mixer, _gated(config, run))
    return stacks.decoder(config, run, layers, rms_norm, rotated=d_rope)


def _listed(config: Config) -> int:
    """How many layers a config lists as attention layers."""
    listed, layers = config.get("attn_layer_indices") or (), range(config["num_hidden_layers"])
    if not isinstance(listed, list | tuple) or not set(map(type, listed)) <= {int}:
        raise ConfigError(f"attn_layer_indices is {listed!r}; it must be a list of numbers of layers")
    return len(set(listed) & set(layers))


_MIXER = """
    project_in   model.layers.*.mamba.in_proj
    convolution  model.layers.*.mamba:conv1d.weight,conv1d.bias
    decay        model.layers.*.mamba:A_log
    skip         model.layers.*.mamba:D
    project_out  model.layers.*.mamba.out_proj
    gate_up gate up down model.layers.*.feed_forward.{}_proj
    norm_feedforward model.layers.*.pre_ff_layernorm
    norm_final   model.final_layernorm
"""
_DUAL = """
    time_step     model.layers.*.mamba:dt_bias
    gain          model.layers.*.mamba.norm
    *Scan/scores inside chunk_states between outside output model.layers.*.mamba
"""
_DIVIDES = (*GROUPS, ("n_ssm_group", "n_ssm_head"), ("n_chunk", "n_seq"))


def _head_width(config: Config) -> Expr | None:
    """The width of a state space layer's head, where the config leaves it to the code."""
    inner = config.get("mamba_d_ssm")
    if inner is None:
        inner = config["mamba_expand"] * d_model if "mamba_expand" in config else None
    return None if inner is None else inner / n_ssm_head


BAMBA = Family(
    "bamba",
    "IBM, Princeton, CMU and UIUC, Bamba: Inference-Efficient Hybrid Mamba2 Model, 2024",
    _bamba,
    _DUAL + _MIXER + PLACES,
    fields={
        "n_layer_attention": Field("", _listed),
        "d_ssm_head": Field("mamba_d_head", _head_width),
        **stacks.rope(0.5, "partial_rotary_factor"),
    },
    divides=_DIVIDES,
)


def _falcon_h1(config: Config, run: Run) -> Expr:
    _check_width(config)
    biases = ("mamba_proj_bias", "mamba_conv_bias", "projectors_bias")
    mixer = dual(config, run, HEADS, biases, gated_norm if config["mamba_rms_norm"] else gate_alone)
    turned = stacks.width(config)
    both = _attention(config, run, turned) + mixer + residual("add_mixer", run.stream())
    layer = stacks.layer(run, rms_norm, both, _gated(config, run))
    return stacks.decoder(config, run, n_layer * layer, rms_norm, rotated=turned)


FALCON_H1 = Family(
    "falcon_h1",
    "Zuo et al., Falcon-H1: A Family of Hybrid-Head Language Models, 2025, arXiv:2507.22448",
    _falcon_h1,
    _DUAL + _MIXER + PLACES,
    fields={"d_ssm_head": Field("mamba_d_head", _head_width)},
    divides=_DIVIDES,
)

FAMILIES = (BAMBA, FALCON_H1)
