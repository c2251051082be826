"""Each convention against the formulas of its own source, written down here a second time, and totals that mix none."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Expr, Integer, Rational, Symbol, expand

from symflops import CONVENTIONS, Recomputed, SymflopsError, Total, architecture, flops, params
from symflops.conventions import EXACT, KAPLAN, MACS, TORCH, convention
from symflops.errors import ConventionMismatch
from symflops.layers.attention import Heads, attention_core, fused_qkv, project
from symflops.layers.embedding import LEARNED, ROTARY, de_embedding, embedding
from symflops.layers.feedforward import plain_feedforward
from symflops.layers.linear import BIAS, NO_BIAS
from symflops.layers.norm import rms_norm
from symflops.masks import Causal
from symflops.measures import flops_of_all, params_without
from symflops.networks import Tied
from symflops.notation import d_ff, d_head, d_model, n_batch, n_ctx, n_head, n_layer, n_seq, n_vocab
from symflops.proof import at_most

SIZES = (n_layer, d_model, d_ff, n_head, d_head, n_vocab, n_batch, n_seq, n_ctx)
HEADS = Heads(n_head, n_head, d_head)
CORE = attention_core(HEADS, Causal(n_seq, n_seq))
QKV = fused_qkv(HEADS, NO_BIAS)
BACK = project(HEADS, NO_BIAS)
LAYER = QKV + CORE + BACK + plain_feedforward("gelu", NO_BIAS)
PLAIN = embedding(LEARNED) + n_layer * LAYER + Tied(de_embedding())
drawn = st.fixed_dictionaries({size: st.integers(1, 9) for size in SIZES})
PHASES = ("forward", "backward", "training")


def at(sizes: dict[Symbol, int]) -> dict[str, int]:
    return {size.name: value for size, value in sizes.items()}


def table1(n_layer: int, d_model: int, d_ff: int, d_attn: int, n_ctx: int, n_vocab: int) -> dict[str, tuple[int, int]]:
    """Kaplan et al. 2020, arXiv:2001.08361, Table 1: parameters, and FLOPs per token of the forward pass."""
    return {
        "Embed": ((n_vocab + n_ctx) * d_model, 4 * d_model),
        "Attention: QKV": (n_layer * d_model * 3 * d_attn, 2 * n_layer * d_model * 3 * d_attn),
        "Attention: Mask": (0, 2 * n_layer * n_ctx * d_attn),
        "Attention: Project": (n_layer * d_attn * d_model, 2 * n_layer * d_attn * d_model),
        "Feedforward": (n_layer * 2 * d_model * d_ff, 2 * n_layer * 2 * d_model * d_ff),
        "De-embed": (0, 2 * d_model * n_vocab),
    }


def rows(network: Expr, chosen: str, sizes: dict[Symbol, int]) -> dict[str, tuple[Expr, Expr]]:
    from symflops.networks import blocks

    tokens = sizes[n_batch] * sizes[n_seq]
    return {
        name: (params(part).subs(sizes), flops_of_all(part, chosen).expr.subs(sizes) / tokens)
        for name, part in blocks(network).items()
    }


@settings(deadline=None, max_examples=25)
@given(drawn)
def test_kaplan_table_1_row_by_row(sizes: dict[Symbol, int]) -> None:
    sizes[n_seq] = sizes[n_ctx]
    its = at(sizes)
    d_attn = its["n_head"] * its["d_head"]
    printed = table1(its["n_layer"], its["d_model"], its["d_ff"], d_attn, its["n_ctx"], its["n_vocab"])
    assert rows(PLAIN, "kaplan", sizes) == printed
    inside = [printed[name] for name in printed if name not in ("Embed", "De-embed")]
    assert params_without(PLAIN).subs(sizes) == sum(row[0] for row in inside)
    total = sum(row[1] for row in inside) * its["n_batch"] * its["n_ctx"]
    assert [flops(PLAIN, "kaplan", phase).subs(sizes).expr for phase in PHASES] == [total, 2 * total, 3 * total]


def test_a_row_without_its_scores_is_told_apart() -> None:
    sizes = dict.fromkeys(SIZES, 3)
    assert rows(PLAIN, "torch", sizes)["Attention: Mask"] != table1(3, 3, 3, 9, 3, 3)["Attention: Mask"]


def chinchilla(seq: int, vocab: int, d: int, key: int, heads: int, ffw: int, layers: int) -> int:
    """Hoffmann et al. 2022, arXiv:2203.15556, appendix F: FLOPs of one forward pass over one sequence."""
    embeddings = 2 * seq * vocab * d
    attention = (
        2 * 3 * seq * d * (key * heads)  # key, query and value projections
        + 2 * seq * seq * (key * heads)  # key @ query logits
        + 3 * heads * seq * seq  # softmax
        + 2 * seq * seq * (key * heads)  # softmax @ query reductions
        + 2 * seq * (key * heads) * d  # final linear
    )
    dense = 2 * seq * (d * ffw + d * ffw)
    return embeddings + layers * (attention + dense) + 2 * seq * d * vocab


@settings(deadline=None, max_examples=25)
@given(drawn)
def test_chinchilla_appendix_f(sizes: dict[Symbol, int]) -> None:
    its = at(sizes)
    names = ("n_seq", "n_vocab", "d_model", "d_head", "n_head", "d_ff", "n_layer")
    forward = its["n_batch"] * chinchilla(*(its[name] for name in names))
    assert [flops(PLAIN, "chinchilla", phase).subs(sizes).expr for phase in PHASES] == [
        forward, 2 * forward, 3 * forward,
    ]  # fmt: skip


# Karpathy, nanoGPT, transformer_sizing.ipynb at 3adf61e: GPT-2 without biases, and N without position embeddings.
_NORMED = LAYER + rms_norm("ln_1") + rms_norm("ln_2")  # a LayerNorm without bias has the parameters of an RMSNorm
NANOGPT = embedding(ROTARY) + n_layer * _NORMED + rms_norm("ln_f") + Tied(de_embedding())
GPT2 = {
    n_layer: 12, d_model: 768, d_ff: 3072, n_head: 12, d_head: 64, n_vocab: 50257, n_batch: 1, n_seq: 1024,
}  # fmt: skip


def test_palm_is_6n_and_12lhqt_as_nanogpt_prints_it() -> None:
    assert params(NANOGPT).subs(GPT2) == 124337664 - 786432
    assert flops(NANOGPT, "palm", "training").subs(GPT2) == 875062886400
    closed = n_batch * n_seq * (6 * params(NANOGPT) + 12 * n_layer * n_head * d_head * n_seq)
    assert expand(flops(NANOGPT, "palm", "training").expr - closed) == 0


def test_torch_is_the_sum_that_nanogpt_prints() -> None:
    printed = {"forward": 291648307200, "backward": 583296614400, "training": 874944921600}
    assert {phase: int(flops(NANOGPT, "torch", phase).subs(GPT2)) for phase in PHASES} == printed
    parts = rows(NANOGPT, "torch", GPT2)
    by_part = {name: int(parts[name][1] * 1024 / 12) for name in parts if name != "De-embed"}
    assert by_part["Attention: QKV"] == 3623878656 and by_part["Attention: Mask"] == 2 * 1610612736
    assert by_part["Attention: Project"] == 1207959552 and by_part["Feedforward"] == 2 * 4831838208


MEGATRON = {d_ff: 4 * d_model, d_head: d_model / n_head}
B, S, L, H, V = n_batch, n_seq, n_layer, d_model, n_vocab


def test_megatron_equation_3_with_every_layer_recomputed() -> None:
    """Narayanan et al. 2021, arXiv:2104.04473, equation 3."""
    network = embedding(LEARNED) + n_layer * Recomputed(LAYER) + Tied(de_embedding())
    ours = flops(network, "megatron", "training").expr.subs(MEGATRON)
    printed = 96 * B * S * L * H**2 * (1 + S / (6 * H) + V / (16 * L * H))
    assert expand(ours - printed) == 0
    without = flops(PLAIN, "megatron", "training").expr.subs(MEGATRON)
    assert expand(ours - without - flops(n_layer * LAYER, "megatron").expr.subs(MEGATRON)) == 0
    assert expand(without - printed) != 0


def test_megatron_equation_2_lacks_the_final_norm() -> None:
    """The same, equation 2: the exact count of the GPT-2 architecture has one LayerNorm more."""
    exact = params(architecture("gpt2").network).subs(MEGATRON)
    printed = 12 * L * H**2 * (1 + Rational(13, 12) / H + (V + n_ctx) / (12 * L * H))
    assert expand(exact - printed) == 2 * H


def module_flops(backward: bool) -> int:
    """What torch's FlopCounterMode counts on a decoder written in plain torch, with the sizes of `MODULE`."""
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    batch, seq, width, heads, head, hidden, vocab = 2, 5, 7, 3, 4, 11, 13
    table, qkv = torch.nn.Embedding(vocab, width), torch.nn.Linear(width, 3 * heads * head)
    back, up, down = (torch.nn.Linear(*io) for io in ((heads * head, width), (width, hidden), (hidden, width)))
    with FlopCounterMode(display=False) as counter:
        x = table(torch.zeros(batch, seq, dtype=torch.long))
        q, k, v = qkv(x).reshape(batch, seq, 3, heads, head).permute(2, 0, 3, 1, 4)
        mix = torch.softmax(q @ k.mT, dim=-1) @ v
        x = x + back(mix.transpose(1, 2).reshape(batch, seq, heads * head))
        logits = (x + down(torch.relu(up(x)))) @ torch.randn(width, vocab, requires_grad=True)
        if backward:
            logits.sum().backward()
    return int(counter.get_total_flops())


MODULE = {
    n_layer: 1, n_batch: 2, n_seq: 5, d_model: 7, n_head: 3, d_head: 4, d_ff: 11, n_vocab: 13, n_ctx: 5,
}  # fmt: skip
BIASED = embedding(ROTARY) + fused_qkv(HEADS, BIAS) + CORE + de_embedding()
BIASED += project(HEADS, BIAS) + plain_feedforward("relu", BIAS)


def test_torch_is_flop_counter_mode_and_macs_are_half() -> None:
    assert flops(BIASED, "torch").subs(MODULE) == module_flops(backward=False)
    assert flops(BIASED, "torch", "training").subs(MODULE) == module_flops(backward=True)
    for phase in PHASES:
        assert expand(flops(BIASED, "torch", phase).expr - 2 * flops(BIASED, "macs", phase).expr) == 0
    assert MACS.unit == "MAC" and TORCH.unit == "FLOP"


@pytest.mark.parametrize("name", ["gpt2", "llama3-8b", "pythia-1b"])
@pytest.mark.parametrize("phase", ["forward", "training"])
def test_all_operations_are_at_least_the_exact_matmuls(name: str, phase: Any) -> None:
    network = architecture(name).network
    exact, everything = (flops(network, each, phase).expr for each in ("exact", "all-operations"))
    dense = flops(network, "torch", phase).expr
    assert at_most(exact, everything) and not at_most(everything, exact)
    assert at_most(exact, dense) and not at_most(dense, exact)


def test_exact_is_half_of_dense_but_for_the_diagonal() -> None:
    dense, exact = (flops(CORE, each).expr for each in ("torch", "exact"))
    assert expand(2 * exact - dense) == 4 * n_batch * n_head * d_head * n_seq


@pytest.mark.parametrize("name", CONVENTIONS)
def test_every_convention_is_cited_and_found_by_name(name: str) -> None:
    found = convention(name)
    assert found.name == name and found.citation and found.domain and convention(found) is found
    total = flops(PLAIN, name)
    assert pickle.loads(pickle.dumps(total)) == copy.deepcopy(total) == total


A, OTHER = Total(n_layer * 6, EXACT), Total(n_layer * 6, KAPLAN)
MIXED = {
    "add": lambda: A + OTHER, "subtract": lambda: A - OTHER, "divide": lambda: A / OTHER, "less": lambda: A < OTHER,
    "number": lambda: A + 1, "number first": lambda: 1 + A, "symbol": lambda: n_layer + A,
    "sum": lambda: sum([A, OTHER]),
    "product": lambda: A * A, "at least": lambda: A >= OTHER,
}  # fmt: skip


@pytest.mark.parametrize("how", MIXED)
def test_totals_of_two_conventions_do_not_mix(how: str) -> None:
    with pytest.raises(ConventionMismatch) as refusal:
        MIXED[how]()
    assert "\n" not in str(refusal.value) and A != OTHER


def test_totals_scale_add_and_stay_totals() -> None:
    for scaled in (n_layer * A, A * n_layer, Integer(2) * A, Rational(1, 2) * A, 3 * A, (n_layer + 1) * A):
        assert isinstance(scaled, Total) and scaled.convention is EXACT
    assert sum([A, A, A]) == 3 * A and A - A == 0 and A / A == 1 and (2 * A) / A == 2
    assert {A + A: "twice"}[2 * A] == "twice" and A.free_symbols == {n_layer}
    assert A.subs(n_layer, 2) == 12 and A.subs({n_layer: 2}) < 13 and A <= A + A and max(A, 2 * A) == 2 * A
    assert Total((n_layer + 1) * n_layer, EXACT) == Total(n_layer**2 + n_layer, EXACT)


def test_a_total_is_an_exact_number_where_its_sizes_are_given() -> None:
    huge = Total(Integer(10) ** 25 + 1, EXACT)
    assert int(huge) == 10**25 + 1 and f"{huge:,}" == "10,000,000,000,000,000,000,000,001"
    assert float(huge) == 1e25 and f"{huge:.2e}" == "1.00e+25" and f"{huge}".endswith("FLOP (exact)")
    with pytest.raises(TypeError, match="substitute"):
        int(A)


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(SymflopsError, match="did you mean 'kaplan'"):
        flops(PLAIN, "kaplen")
    with pytest.raises(SymflopsError, match="unknown phase"):
        flops(PLAIN, "torch", "sideways")  # type: ignore[arg-type]
