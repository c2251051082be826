"""Formulas of the field that charge parameters, a softmax, or work done again: as they are meant, and with bugs.

Facts: the citations in symflops/explain/formulas, and appendix F of Chinchilla (arXiv:2203.15556).
"""

from __future__ import annotations

from field_tools import Tool, cookbook, layers_of


# PaLM, appendix B: 6N + 12 L H Q T for each token, of all parameters.
def palm(config, seq_len, times=6):
    table = config.vocab_size * config.hidden_size
    stored = layers_of(config) + config.hidden_size + table * (1 if config.tie_word_embeddings else 2)
    return times * stored + 2 * times * core_of(config) * seq_len


def core_of(config):
    return config.num_hidden_layers * config.num_attention_heads * config.head_dim


def palm_tied_twice(config, seq_len):
    tied = config.vocab_size * config.hidden_size if config.tie_word_embeddings else 0
    return palm(config, seq_len) + 6 * tied


def palm_half_of_the_pairs(config, seq_len):
    return palm(config, seq_len) - 6 * core_of(config) * seq_len


# Its hardware utilisation, with every layer recomputed: two more for each parameter of a layer.
def palm_hardware(config, seq_len):
    return palm(config, seq_len) + 2 * layers_of(config) + 4 * core_of(config) * seq_len


def palm_eight_n(config, seq_len):
    return palm(config, seq_len, times=8)


# nanoGPT, GPT.estimate_mfu: PaLM's, without the position table.
def nanogpt(n_layer, n_embd, d_ff, vocab_size, block_size):
    return 6 * gpt2_layers(n_layer, n_embd, d_ff) + 6 * vocab_size * n_embd + 12 * n_layer * n_embd * block_size


def gpt2_layers(n_layer, n_embd, d_ff):
    layer = 4 * n_embd**2 + 4 * n_embd + 2 * n_embd * d_ff + d_ff + n_embd + 4 * n_embd
    return n_layer * layer + 2 * n_embd


def nanogpt_with_positions(n_layer, n_embd, d_ff, vocab_size, n_ctx, block_size):
    return nanogpt(n_layer, n_embd, d_ff, vocab_size, block_size) + 6 * n_ctx * n_embd


def nanogpt_without_token_table(n_layer, n_embd, d_ff, vocab_size, block_size):
    return nanogpt(n_layer, n_embd, d_ff, vocab_size, block_size) - 6 * vocab_size * n_embd


def nanogpt_without_biases(n_layer, n_embd, d_ff, vocab_size, block_size):
    return nanogpt(n_layer, n_embd, d_ff, vocab_size, block_size) - 6 * n_layer * (5 * n_embd + d_ff)


# Hugging Face's Trainer, floating_point_ops: six for each token and parameter that is in no embedding.
def trainer(config, batch_size, seq_len):
    head = 0 if config.tie_word_embeddings else config.vocab_size * config.hidden_size
    return 6 * batch_size * seq_len * (layers_of(config) + config.hidden_size + head)


def trainer_gpt2(n_layer, n_embd, d_ff, batch_size, seq_len):
    return 6 * batch_size * seq_len * gpt2_layers(n_layer, n_embd, d_ff)


# The same of a mixture: every expert is charged to every token.
def trainer_mixtral(config, batch_size, seq_len):
    d, heads, kv = config.hidden_size, config.num_attention_heads, config.num_key_value_heads
    experts = config.num_local_experts * (d + 3 * d * config.intermediate_size)
    layer = d * config.head_dim * (2 * heads + 2 * kv) + experts + 2 * d
    head = 0 if config.tie_word_embeddings else config.vocab_size * d
    return 6 * batch_size * seq_len * (config.num_hidden_layers * layer + d + head)


# Narayanan et al. 2021, equation 3: every layer recomputed, of a GPT with d_ff = 4 d_model.
def narayanan(B, s, l, h, V):  # noqa: E741
    return 96 * B * s * l * h**2 + 16 * B * s**2 * l * h + 6 * B * s * h * V


def narayanan_logits_again(B, s, l, h, V):  # noqa: E741
    return narayanan(B, s, l, h, V) + 2 * B * s * h * V


# Korthikanti et al. 2022, equation 7, with the core once more; equation 8 prints twice the attention.
def korthikanti(B, s, L, h, v):
    return 72 * B * L * s * h**2 + 16 * B * L * s**2 * h + 6 * B * s * h * v


def korthikanti_as_printed(B, s, L, h, v):
    return 72 * B * L * s * h**2 + 24 * B * L * s**2 * h + 6 * B * s * h * v


# EleutherAI cookbook by default: activations are checkpointed.
def cookbook_checkpointed(num_layers, hidden_size, num_attention_heads, kv_heads, ffn_hidden_size, vocab_size, seq_len):
    whole = cookbook(num_layers, hidden_size, num_attention_heads, kv_heads, ffn_hidden_size, vocab_size, seq_len)
    return (4 * whole - 6 * hidden_size * vocab_size) / 3


# Chinchilla, appendix F: the embedding as a matmul, three for each score of a softmax.
def chinchilla(num_layers, d_model, ffw_size, num_heads, vocab_size, seq_len):
    dense = 8 * seq_len * d_model**2 + 4 * seq_len * d_model * ffw_size
    attention = 4 * seq_len**2 * d_model + 3 * num_heads * seq_len**2
    return 3 * (num_layers * (dense + attention) + 4 * seq_len * vocab_size * d_model)


def chinchilla_softmax_of_one_head(num_layers, d_model, ffw_size, num_heads, vocab_size, seq_len):
    return chinchilla(num_layers, d_model, ffw_size, 1, vocab_size, seq_len)


_PALM = "convention=palm training per=token families=llama attention_bias=false mlp_bias=false"
_NANOGPT = "convention=palm training per=token counts=-position families=gpt2 tie_word_embeddings=true"
_TRAINER = "convention=palm training per=batch counts=-embedding,-position,-scores,-mix attention_bias=false"
_GPT = {"B": "n_batch", "s": "n_seq", "h": "d_model"}
_NARAYANAN, _KORTHIKANTI = {**_GPT, "l": "n_layer", "V": "n_vocab"}, {**_GPT, "L": "n_layer", "v": "n_vocab"}
_BLOCK, _FFW = {"block_size": "n_seq"}, {"ffw_size": "d_ff"}
_COOKBOOK = {"kv_heads": "n_kv_head", "ffn_hidden_size": "d_ff"}
_BATCH, _CHINCHILLA = "training per=batch families=gpt2", "convention=chinchilla training per=sequence families=gpt2"

RIGHT = (
    Tool(palm, _PALM),
    Tool(palm_hardware, f"{_PALM} recompute=full"),
    Tool(nanogpt, _NANOGPT, arguments=_BLOCK),
    Tool(nanogpt_with_positions, _NANOGPT.replace("counts=-position", ""), arguments=_BLOCK),
    Tool(trainer, f"{_TRAINER} mlp_bias=false families=llama"),
    Tool(
        trainer_gpt2,
        "convention=palm per=batch counts=-embedding,-position pairs=none families=gpt2 tie_word_embeddings=true",
    ),
    Tool(narayanan, f"{_BATCH} recompute=full", arguments=_NARAYANAN),
    Tool(korthikanti, f"{_BATCH} recompute=selective", arguments=_KORTHIKANTI),
    Tool(cookbook_checkpointed, "training per=token recompute=full families=llama", arguments=_COOKBOOK),
    Tool(chinchilla, _CHINCHILLA, arguments=_FFW),
)
_FOUR = {"d_ff": 8}
"""Four times the smallest width."""
WRONG = (
    Tool(palm_tied_twice, _PALM, {"vocabulary-slope": {}}),
    Tool(palm_half_of_the_pairs, _PALM, {"length-curvature": {}}),
    Tool(palm_eight_n, f"{_PALM} recompute=full", {"full-recompute-is-one-forward-more": {}, "vocabulary-slope": {}}),
    # The one's claim of the other's formula.
    Tool(nanogpt, _NANOGPT.replace("counts=-position", ""), {"work-of-what-is-counted": {}}, _BLOCK),
    Tool(nanogpt_with_positions, _NANOGPT, {"contexts-cost-no-work": {}}, _BLOCK),
    Tool(nanogpt_without_token_table, _NANOGPT, {"vocabulary-slope": {}}, _BLOCK),
    Tool(nanogpt_without_biases, _NANOGPT, {"feedforward-slope": {}}, _BLOCK),
    Tool(trainer_mixtral, f"{_TRAINER} families=mixtral", {"experts-cost-their-router": {}}),
    # Hardware's work taken for the model's, and the model's for hardware's.
    Tool(narayanan, _BATCH, {"length-curvature": _FOUR, "training-is-three-forwards": _FOUR}, _NARAYANAN),
    Tool(
        narayanan_logits_again,
        f"{_BATCH} recompute=full",
        {"vocabulary-slope": _FOUR, "full-recompute-is-one-forward-more": _FOUR},
        _NARAYANAN,
    ),
    Tool(
        korthikanti_as_printed,
        f"{_BATCH} recompute=selective",
        {"selective-recompute-is-one-core-more": _FOUR, "length-curvature": _FOUR},
        _KORTHIKANTI,
    ),
    Tool(cookbook_checkpointed, "training per=token families=llama", {"feedforward-slope": {}}, _COOKBOOK),
    Tool(
        cookbook, "training per=token recompute=full families=llama", {"feedforward-slope": {}},
        {**_COOKBOOK, "topk": "1", "matrices": "3"},
    ),
    Tool(chinchilla_softmax_of_one_head, _CHINCHILLA, {"length-curvature": {"n_head": 2, "d_model": 4}}, _FFW),
)  # fmt: skip
