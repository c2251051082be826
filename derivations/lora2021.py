"""LoRA and what it is compared with: how many parameters each method trains, and what a checkpoint of them takes.

Hu et al. 2021 freeze a model and train two narrow matrices beside some of its weights. Section 5.1 states closed forms
of the trained parameters, and Tables 2 to 4 print them for real models. Here every method is a network: the model with
its parameters frozen, and the operations that the method adds, so that the counts follow from what is declared.

>>> trainable_params(LORA).factor(), trainable_params(BITFIT).subs(d_ff, 4 * d_model).factor()
(4*d_model*n_layer*r_lora, d_model*(11*n_layer + 1))
>>> trainable_params(LORA).subs({**GPT3, r_lora: 8})
37748736
"""

from __future__ import annotations

from sympy import Add, Expr, Integer, factor

from symflops import architecture
from symflops.architectures import stacks
from symflops.architectures.runs import Run
from symflops.claims.sections import checked
from symflops.derivation import Section, Step, Study, drop, rewrite, share, start
from symflops.documents import Block as Part
from symflops.documents import Remarks, Steps, Table, prose
from symflops.layers.attention import Heads
from symflops.layers.convolution import over_time
from symflops.layers.embedding import LEARNED, table
from symflops.layers.feedforward import activation_step, plain_feedforward
from symflops.layers.linear import BIAS, linear
from symflops.layers.lora import frozen, merging, with_lora
from symflops.layers.norm import layer_norm, residual
from symflops.measures import flops, params, trainable_params
from symflops.networks import Block
from symflops.notation import (
    d_ff,
    d_model,
    n_batch,
    n_ctx,
    n_head,
    n_layer,
    n_prefix,
    n_seq,
    n_source,
    n_vocab,
    r_lora,
)

CITATION = (
    "Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021, arXiv:2106.09685, sections 4 and 5.1, "
    "Tables 2 to 4"
)
GPT3 = {n_layer: 96, d_model: 12288, d_ff: 49152, n_head: 96, n_vocab: 50257, n_ctx: 2048}
"""GPT-3 175B (Brown et al. 2020, Table 2.1)."""


def _layers(run: Run) -> Expr:
    """Layers with separate projections, so that queries and values can be adapted alone."""
    heads = Heads(n_head, n_head, d_model / n_head)
    attention = stacks.attention(run, heads, run.causal(), BIAS, BIAS)
    return n_layer * stacks.layer(run, layer_norm, attention, plain_feedforward("gelu", BIAS))


def bottleneck(name: str) -> Block:
    """An adapter of Houlsby et al. 2019 (arXiv:1902.00751): down to the rank, an activation, up, and the addition."""
    down, up = (
        linear(f"{name}_down", d_model, r_lora, "adapter", BIAS),
        linear(f"{name}_up", r_lora, d_model, "adapter", BIAS),
    )
    return Block("Adapter", Add(down, activation_step("gelu", r_lora), up, residual(f"{name}_add")))


def deberta() -> Expr:
    """DeBERTa XXL (He et al. 2021, arXiv:2006.03654), for its parameters alone.

    Layers as above, no table of positions but one of 512 relative distances for all layers, and one convolution over
    three tokens. How attention uses distances owns no parameters, and its work is not declared here.
    """
    distances = table("distances", Integer(512), "position") + layer_norm("norm_distances")
    convolution = over_time("conv", d_model, 3, 1, n_source).subs(n_source, n_seq) + layer_norm("norm_conv")
    first = table("token", n_vocab, "embedding") + layer_norm("norm_embedding")
    return Add(Block("Embed", first + distances), Block("Convolution", convolution), _layers(Run()))


DECODER: Expr = stacks.decoder({"tie_word_embeddings": True}, Run(), _layers(Run()), layer_norm, LEARNED)
ROBERTA: Expr = architecture({"model_type": "roberta"}).network
DEBERTA: Expr = deberta()
LORA: Expr = with_lora(DECODER, r_lora)
BITFIT: Expr = frozen(DECODER, frozenset({"bias"}))
ADAPTERS: Expr = frozen(DECODER) + n_layer * (bottleneck("attention") + bottleneck("feedforward"))
PREFIX_EMBED: Expr = frozen(DECODER) + Block("Prefix", table("prefix", n_prefix, "embedding"))
PREFIX_LAYER: Expr = frozen(DECODER) + n_layer * Block("Prefix", table("prefix", n_prefix, "embedding"))
NETWORKS = {
    "decoder": DECODER,
    "roberta": ROBERTA,
    "deberta": DEBERTA,
    "lora": LORA,
    "lora_roberta": with_lora(ROBERTA, r_lora),
    "lora_deberta": with_lora(DEBERTA, r_lora),
    "bitfit": BITFIT,
    "adapters": ADAPTERS,
    "prefix_embed": PREFIX_EMBED,
    "prefix_layer": PREFIX_LAYER,
}
_METHODS = (
    ("Fine-tuning", DECODER),
    ("BitFit", BITFIT),
    ("PreEmbed", PREFIX_EMBED),
    ("PreLayer", PREFIX_LAYER),
    ("Adapter-H", ADAPTERS),
    ("LoRA on queries and values", LORA),
)
_RANK, _PREFIX = 4, 16


def at_gpt3(form: Expr, **more: int) -> int:
    """A closed form of GPT-3 at rank 4, with 16 prefix tokens, in a batch of one sequence of 2048."""
    sizes = {**GPT3, r_lora: _RANK, n_prefix: _PREFIX, n_batch: 1, n_seq: 2048}
    return int(form.subs(sizes))


def derive() -> Study:
    """The source's page."""
    sections = (
        Section("Operations", _operations()),
        Section("Identities, each checked by machine", (Steps(_steps()),)),
        Section("Ratios", _ratios()),
        Section("What the counts leave out", (Remarks(_left_out()),)),
        *checked("lora2021"),
    )
    return Study("lora2021", "LoRA: trained parameters", CITATION, sections)


def _operations() -> tuple[Part, ...]:
    wide = {d_ff: 4 * d_model}
    rows = tuple(
        (name, factor(trainable_params(network).subs(wide)), f"{at_gpt3(trainable_params(network)):,}")
        for name, network in _METHODS
    )
    return (
        prose("A decoder with biases and tied embeddings, ", d_ff, " = ", 4 * d_model, ", and what each method ",
              f"trains; the last column is GPT-3 175B at rank {_RANK}, or with {_PREFIX} prefix tokens."),
        Table("", ("Method", "Trained parameters", "GPT-3"), rows),
    )  # fmt: skip


def _steps() -> tuple[Step, ...]:
    """The closed forms of section 5.1; an adapted matrix is counted with L_lora = 2 n_layer, an adapter likewise."""
    lora = start("LoRA", trainable_params(LORA), "A and B of queries and values")
    lora = rewrite(lora, 2 * (2 * n_layer) * d_model * r_lora, "2 L_lora d_model r, with L_lora = 2 n_layer")
    adapters = start("Adapter-H", trainable_params(ADAPTERS), "down and up with their biases, twice in a layer")
    stated = 2 * n_layer * (2 * d_model * r_lora + r_lora + d_model)
    adapters = rewrite(adapters, stated, "L_adpt (2 d_model r + r + d_model), with L_adpt = 2 n_layer")
    biases = 2 * n_layer * (r_lora + d_model)
    adapters = drop(adapters, biases, 4 * n_layer * d_model * r_lora, "without biases an adapter is LoRA on one matrix")
    prefix = start("PreLayer", trainable_params(PREFIX_LAYER), "a vector for each layer and prefix token")
    bias = start("BitFit", trainable_params(BITFIT), "every bias, norms' among them")
    bias = rewrite(bias, n_layer * (7 * d_model + d_ff) + d_model, "query, key, value, output, down, two norms; up")
    return (*lora, *adapters, *prefix, *bias)


def _ratios() -> tuple[Part, ...]:
    adapted = share(trainable_params(LORA), 2 * n_layer * d_model**2)
    forward, full, lora = (at_gpt3(flops(*asked).expr) for asked in (
        (DECODER, "torch"), (DECODER, "torch", "training"), (LORA, "torch", "training")))  # fmt: skip
    merge = at_gpt3(flops(merging(DECODER, r_lora), "torch").expr)
    whole, part = at_gpt3(params(DECODER)), at_gpt3(trainable_params(LORA))
    return (
        prose("Of the matrices that it adapts, LoRA trains ", adapted, "."),
        prose(f"GPT-3 at rank {_RANK} trains {part:,} of {whole:,} parameters, one in {whole // part:,}. With two ",
              f"bytes for each a checkpoint falls from {2 * whole / 1e9:.1f} GB to {2 * part / 1e6:.1f} MB."),
        prose(f"Training takes {full / forward:.2f} forward passes with all parameters and {lora / forward:.2f} with ",
              "LoRA: no gradient of a frozen weight is computed, but gradients still pass through all layers. ",
              f"Merging B A into the weights takes {merge:.2e} FLOPs once, {merge / forward:.2%} of a forward pass of ",
              "2048 tokens."),
    )  # fmt: skip


def _left_out() -> tuple[tuple[str, str], ...]:
    thousandth = {"M": 354_920_000, "L": 774_030_000}
    counted = {
        name: int(trainable_params(LORA).subs({n_layer: layers, d_model: width, r_lora: _RANK}))
        for name, layers, width in (("M", 24, 1024), ("L", 36, 1280))
    }
    said = "; ".join(
        f"GPT-2 {name} trains {counted[name]:,}, a thousandth of its printed {whole / 1e6:.2f}M is {whole // 1000:,}"
        for name, whole in thousandth.items()
    )
    return (
        ("Heads of tasks", "a classifier that is trained beside the adapters is in none of the counts."),
        ("Table 3", f"prints 0.35M and 0.77M. {said}: both cells look like a tenth of a percent, not like a count."),
    )
