"""What tools of the field count, as small functions of our own from facts about them: as they are meant, and with bugs.

Facts: the citations in symflops/explain/formulas, and the bugs that the tools' issues report. Every function takes the
sizes by the names that its tool uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Tool:
    """A formula with what it claims, and laws that it breaks.

    Of each law, the sizes of the smallest case that breaks it which are not the smallest that the family has.
    """

    function: Callable[..., Any]
    claims: str
    breaks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The function's."""
        return self.function.__name__


# EleutherAI cookbook, calc_transformer_flops.py, without recomputation.
def cookbook(
    num_layers, hidden_size, num_attention_heads, kv_heads, ffn_hidden_size, vocab_size, seq_len, topk=1, matrices=3
):
    shared = kv_heads / num_attention_heads
    attention = 2 * (2 + 2 * shared) * hidden_size**2 + 4 * seq_len * hidden_size
    feedforward = 2 * matrices * topk * hidden_size * ffn_hidden_size
    return 3 * num_layers * (attention + feedforward) + 6 * hidden_size * vocab_size


def cookbook_ignores_ffn(num_layers, hidden_size, num_attention_heads, kv_heads, ffn_hidden_size, vocab_size, seq_len):
    return cookbook(
        num_layers, hidden_size, num_attention_heads, kv_heads, 4 * hidden_size, vocab_size, seq_len, matrices=2
    )


def cookbook_moe(
    num_layers, hidden_size, num_attention_heads, kv_heads, ffn_hidden_size, vocab_size, seq_len, topk, num_experts
):
    dense = cookbook(num_layers, hidden_size, num_attention_heads, kv_heads, ffn_hidden_size, vocab_size, seq_len, topk)
    return dense + 6 * num_layers * hidden_size * num_experts


def cookbook_moe_is_dense(
    num_layers, hidden_size, num_attention_heads, kv_heads, ffn_hidden_size, vocab_size, seq_len, topk, num_experts
):
    return cookbook_moe(
        num_layers, hidden_size, num_attention_heads, kv_heads, ffn_hidden_size, vocab_size, seq_len, 1, num_experts
    )


def cookbook_logits_once(num_layers, hidden_size, num_attention_heads, kv_heads, ffn_hidden_size, vocab_size, seq_len):
    whole = cookbook(num_layers, hidden_size, num_attention_heads, kv_heads, ffn_hidden_size, vocab_size, seq_len)
    return whole - 4 * hidden_size * vocab_size


# NX-AI, xlstm_scaling_laws, the transformer of its comparison.
def nx(n_blocks, d_model, n_q, n_kv, d_hv, d_ff, n_vocab, seq_len):
    attention = 2 * d_model * d_hv * (n_q + 2 * n_kv) + 4 * seq_len * n_q * d_hv + 2 * n_q * d_hv * d_model
    return n_blocks * (attention + 6 * d_model * d_ff) + 2 * d_model * n_vocab


def nx_outproj_of_kv_heads(n_blocks, d_model, n_q, n_kv, d_hv, d_ff, n_vocab, seq_len):
    return nx(n_blocks, d_model, n_q, n_kv, d_hv, d_ff, n_vocab, seq_len) - 2 * n_blocks * (n_q - n_kv) * d_hv * d_model


# levanter, lm_flops_per_token.
def levanter(hidden_dim, intermediate_dim, num_layers, num_kv_heads, num_heads, head_dim, seq_len, vocab_size):
    projections = 2 * hidden_dim * head_dim * (2 * num_heads + 2 * num_kv_heads)
    layer = projections + 4 * seq_len * num_heads * head_dim + 6 * hidden_dim * intermediate_dim
    return num_layers * layer + 2 * hidden_dim * vocab_size


def levanter_head_is_d_over_h(
    hidden_dim, intermediate_dim, num_layers, num_kv_heads, num_heads, head_dim, seq_len, vocab_size
):
    return levanter(
        hidden_dim, intermediate_dim, num_layers, num_kv_heads, num_heads, hidden_dim / num_heads, seq_len, vocab_size
    )


# llm-analysis, parameters.
def llm_analysis(config):
    table = config.vocab_size * config.hidden_size
    return layers_of(config) + config.hidden_size + table * (1 if config.tie_word_embeddings else 2)


def llm_analysis_all_tied(config):
    return layers_of(config) + config.hidden_size + config.vocab_size * config.hidden_size


def torchinfo(config):
    return llm_analysis(config)


def torchinfo_tied_twice(config):
    return layers_of(config) + config.hidden_size + 2 * config.vocab_size * config.hidden_size


def layers_of(config):
    d, heads, kv = config.hidden_size, config.num_attention_heads, config.num_key_value_heads
    attention = d * config.head_dim * (2 * heads + 2 * kv)
    return config.num_hidden_layers * (attention + 3 * d * config.intermediate_size + 2 * d)


# xformers, the FLOPs of memory-efficient attention, causal.
def xformers(num_layers, num_heads, head_dim, seq_len):
    pairs = seq_len * (seq_len + 1) / 2
    return num_layers * num_heads * (2 * pairs * head_dim + 2 * pairs * head_dim)


def xformers_other_pairs(num_layers, num_heads, head_dim, seq_len):
    pairs = seq_len * (seq_len + 1) / 2
    return num_layers * num_heads * (2 * pairs * head_dim + 2 * seq_len**2 * head_dim)


# LitGPT, estimate_flops: 2 for each parameter, and the attention; of a model without norms, which the claims leave out.
def litgpt(n_layer, n_embd, n_head, head_size, n_query_groups, intermediate_size, padded_vocab_size, max_seq_length):
    attention = n_embd * head_size * (2 * n_head + 2 * n_query_groups)
    params = n_layer * (attention + 3 * n_embd * intermediate_size) + 2 * n_embd * padded_vocab_size
    return 3 * (2 * params + 4 * n_layer * max_seq_length * n_head * head_size)


def litgpt_d_for_heads(
    n_layer, n_embd, n_head, head_size, n_query_groups, intermediate_size, padded_vocab_size, max_seq_length
):
    right = litgpt(
        n_layer, n_embd, n_head, head_size, n_query_groups, intermediate_size, padded_vocab_size, max_seq_length
    )
    return right + 12 * n_layer * max_seq_length * (n_embd - n_head * head_size)


# fvcore, ptflops and thop: multiply-accumulates of a forward pass.
def fvcore(num_layers, hidden_size, ffn_dim, vocab_size, seq_len, batch_size):
    layer = 4 * hidden_size**2 + 2 * hidden_size * ffn_dim + 2 * seq_len * hidden_size
    return batch_size * seq_len * (num_layers * layer + hidden_size * vocab_size)


# FlopCounterMode on CPU and calflops: the attention runs in an operator without a formula.
def calflops(num_layers, hidden_size, ffn_dim, vocab_size, seq_len):
    layer = 8 * hidden_size**2 + 4 * hidden_size * ffn_dim + 4 * seq_len * hidden_size
    return seq_len * (num_layers * layer + 2 * hidden_size * vocab_size)


def calflops_no_attention(num_layers, hidden_size, ffn_dim, vocab_size, seq_len):
    whole = calflops(num_layers, hidden_size, ffn_dim, vocab_size, seq_len)
    return whole - 4 * num_layers * seq_len**2 * hidden_size


# Megatron-LM, num_floating_point_operations, causal: half of all pairs.
def megatron(
    batch_size, seq_length, num_layers, hidden_size, num_attention_heads, kv_channels, num_query_groups,
    ffn_hidden_size, padded_vocab_size,
):  # fmt: skip
    width = kv_channels * num_attention_heads
    groups = num_query_groups / num_attention_heads
    layer = 2 * hidden_size * width * (1 + groups) + 3 * hidden_size * ffn_hidden_size + seq_length * width
    return 6 * batch_size * seq_length * (num_layers * layer + hidden_size * padded_vocab_size)


# verl, FlopsCounter, causal; the token table is counted as a matmul.
def verl(config, batch_seqlen):
    c = config
    attention = c.hidden_size * c.head_dim * (2 * c.num_attention_heads + 2 * c.num_key_value_heads)
    dense = c.num_hidden_layers * (attention + 3 * c.hidden_size * c.intermediate_size)
    tables = 2 * c.vocab_size * c.hidden_size
    core = 6 * batch_seqlen * c.num_hidden_layers * c.head_dim * c.num_attention_heads
    return 6 * (dense + tables) + core


# nanoGPT, transformer_sizing.ipynb, and the original paper's forward pass by Kaplan et al.
def nanogpt_sizing(n_layer, n_embd, vocab_size, block_size):
    layer = 24 * n_embd**2 + 4 * block_size * n_embd
    return n_layer * layer + 2 * n_embd * vocab_size


def kaplan(n_layer, d_model, d_ff, n_ctx):
    return 2 * n_layer * (4 * d_model**2 + 2 * d_model * d_ff) + 2 * n_layer * n_ctx * d_model


# DeepSeek LLM: non-embedding FLOPs of a token.
def deepseek(n_layer, d_model, l_seq):
    return 72 * n_layer * d_model**2 + 12 * n_layer * d_model * l_seq


_LLAMA = "flops training per=token families=llama"
_COOKBOOK = {"kv_heads": "n_kv_head", "ffn_hidden_size": "d_ff"}
_MIXTRAL = {**_COOKBOOK, "topk": "n_active", "num_experts": "n_expert"}
_NX = {"n_blocks": "n_layer", "n_q": "n_head", "n_kv": "n_kv_head", "d_hv": "d_head"}
_LEVANTER = {"hidden_dim": "d_model", "intermediate_dim": "d_ff"}
_LITGPT = {"padded_vocab_size": "n_vocab", "n_query_groups": "n_kv_head"}
_MEGATRON = {"kv_channels": "d_head", "num_query_groups": "n_kv_head", "padded_vocab_size": "n_vocab"}
_GPT2 = "flops forward per=sequence families=gpt2"
_PARAMS = "params families=llama attention_bias=false mlp_bias=false"

RIGHT = (
    Tool(cookbook, _LLAMA, arguments=_COOKBOOK),
    Tool(cookbook_moe, "flops training per=token families=mixtral", arguments=_MIXTRAL),
    Tool(nx, "flops forward per=token families=llama", arguments=_NX),
    Tool(levanter, "flops forward per=token families=llama", arguments=_LEVANTER),
    Tool(llm_analysis, _PARAMS),
    Tool(torchinfo, _PARAMS),
    Tool(xformers, "flops forward per=sequence pairs=exact counts=scores,mix families=gpt2,llama"),
    Tool(litgpt, "flops training per=token counts=+embedding families=llama", arguments=_LITGPT),
    Tool(fvcore, "flops forward per=batch MAC families=gpt2"),
    Tool(calflops, _GPT2),
    Tool(megatron, "flops training per=batch pairs=half families=llama", arguments=_MEGATRON),
    Tool(
        verl,
        "flops training per=token pairs=half counts=+embedding families=llama",
        arguments={"batch_seqlen": "n_seq"},
    ),
    Tool(nanogpt_sizing, "flops forward per=token families=gpt2", arguments={"block_size": "n_seq"}),
    Tool(
        kaplan,
        "flops forward per=token counts=qkv,scores,project,feedforward families=gpt2",
        arguments={"n_ctx": "n_seq"},
    ),
    Tool(
        deepseek,
        "flops training per=token counts=qkv,scores,mix,project,feedforward families=gpt2",
        arguments={"l_seq": "n_seq"},
    ),
)
_LONGER, _WIDER = {"length-curvature": {}}, {"length-by-width-of-heads": {}, "length-curvature": {"d_head": 4}}
WRONG = (
    Tool(cookbook_ignores_ffn, _LLAMA, {"feedforward-slope": {}}, _COOKBOOK),
    Tool(
        cookbook_moe_is_dense,
        "flops training per=token families=mixtral",
        {"active-experts-slope": {"n_expert": 2}, "feedforward-slope": {"n_expert": 2, "n_active": 2}},
        _MIXTRAL,
    ),
    Tool(cookbook_logits_once, _LLAMA, {"vocabulary-slope": {}}, _COOKBOOK),
    Tool(
        nx_outproj_of_kv_heads,
        "flops forward per=token families=llama",
        {"key-value-slope": {"n_head": 2, "d_model": 4}},
        _NX,
    ),
    Tool(levanter_head_is_d_over_h, "flops forward per=token families=llama", _WIDER, _LEVANTER),
    Tool(llm_analysis_all_tied, _PARAMS, {"tying-stores-one-table": {}}),
    Tool(torchinfo_tied_twice, _PARAMS, {"tying-stores-one-table": {}}),
    Tool(
        xformers_other_pairs,
        "flops forward per=sequence pairs=exact counts=scores,mix families=llama",
        {"length-curvature": {}, "work-of-what-is-counted": {"n_seq": 2}},
    ),
    Tool(
        litgpt_d_for_heads,
        "flops training per=token counts=+embedding families=llama",
        {**_WIDER, "length-ignores-width": {}},
        _LITGPT,
    ),
    # Multiply-accumulates that are taken for FLOPs, and half of the pairs that are taken for all.
    Tool(fvcore, "flops forward per=batch FLOP families=gpt2", {"feedforward-slope": {}, "vocabulary-slope": {}}),
    Tool(calflops_no_attention, _GPT2, _LONGER),
    Tool(megatron, "flops training per=batch pairs=dense families=llama", _LONGER, _MEGATRON),
    # A forward pass taken for a training step, and a sequence for a batch.
    Tool(
        nanogpt_sizing,
        "flops training per=token families=gpt2",
        {"vocabulary-slope": {"d_ff": 8}},
        {"block_size": "n_seq"},
    ),
    Tool(calflops, "flops forward per=batch families=gpt2", {"batch-linearity": {}}),
)
