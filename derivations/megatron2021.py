"""Narayanan et al. 2021 (PTD-P): parameters and FLOPs of a GPT, and the days of training from 8TP/(nX).

The paper counts the matmuls of one iteration, the layers' forward passes twice because their activations are recomputed
(equation 3), and makes of it a rule for the time of a whole training (equation 4). Here both follow from a declared
network, and what the rule leaves out is computed for each of the paper's ten models.

>>> result = derive()
>>> [(step.quantity, step.dropped) for step in result.steps if step.dropped != 0]
[('P', 2*d_model)]
>>> [float(share) for size, *_, share in left_out(shipped()["narayanan2021_table1"]) if size == "1008.0"]
[0.0128...]
"""

from __future__ import annotations

from dataclasses import replace

from sympy import Add, Expr, Float, Integer, Rational, Symbol, expand

from symflops.claims import Table as ClaimTable
from symflops.claims import shipped
from symflops.claims.sections import checked
from symflops.conventions import EXACT, MEGATRON, Convention, convention
from symflops.derivation import Derivation, Note, Step, derive_network, drop, rewrite, share, start
from symflops.documents import Prose, Section, Steps, Table, prose
from symflops.layers.attention import Causal, Heads, attention_core, fused_qkv, project
from symflops.layers.embedding import LEARNED, de_embedding, embedding
from symflops.layers.feedforward import plain_feedforward
from symflops.layers.linear import BIAS
from symflops.layers.norm import layer_norm, residual
from symflops.measures import flops, params
from symflops.networks import Block, Recomputed, Tied
from symflops.notation import d_model, n_batch, n_head, n_layer, n_seq, n_vocab, symbol
from symflops.proof import residual as difference

CITATION = (
    "Narayanan et al., Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM, 2021, "
    "arXiv:2104.04473, section 5.1"
)

# A layer of the paper's GPT: heads share d_model, the hidden layer is four times as wide, every matmul has a bias.
_HEADS = Heads(n_head, n_head, d_model / n_head)
_PARTS = (
    Block("Norms", layer_norm("norm_attention") + layer_norm("norm_feedforward")),
    fused_qkv(_HEADS, BIAS),
    attention_core(_HEADS, Causal(n_seq, n_seq)),
    project(_HEADS, BIAS),
    plain_feedforward("gelu", BIAS, 4 * d_model),
    Block("Residuals", residual("add_attention") + residual("add_feedforward")),
)
_AROUND: Expr = embedding(LEARNED, rows=n_seq) + Block("Norms", layer_norm("norm_final")) + Tied(de_embedding())

# The paper trains with activation recomputation: each layer's forward pass runs again before its backward pass.
NETWORK: Expr = _AROUND + n_layer * Add(*(Recomputed(part) for part in _PARTS))
NETWORKS: dict[str, Expr] = {"stored": _AROUND + n_layer * Add(*_PARTS), "layer": Add(*_PARTS)}

# The formulas as printed. They are compared with the algebra, never used in its place.
EQUATION_2: Expr = 12 * n_layer * d_model**2 * (1 + 13 / (12 * d_model) + (n_vocab + n_seq) / (12 * n_layer * d_model))
EQUATION_3: Expr = (
    96 * n_batch * n_seq * n_layer * d_model**2 * (1 + n_seq / (6 * d_model) + n_vocab / (16 * n_layer * d_model))
)
n_device, n_token = symbol("n_device"), symbol("n_token")
_RATE = Symbol("X", positive=True)
_TOKENS: Expr = n_batch * n_seq
_SIZES = {"h": d_model, "l": n_layer}


def derive(given: str | Convention = MEGATRON) -> Derivation:
    """The operations, equations 2 to 4, and what equation 4 leaves out; by default as the paper prices work."""
    chosen = convention(given)
    base = derive_network(
        "megatron2021", "Narayanan et al. 2021, PTD-P: parameters, FLOPs and training time", CITATION, NETWORK, chosen
    )
    own = (_time(), _dropped(), _days()) if chosen == MEGATRON else ()
    steps = (*base.steps, *_parameters(), *_training()) if chosen == MEGATRON else base.steps
    return replace(base, steps=steps, notes=_notes(), sections=(*own, *checked("megatron2021")))


def _parameters() -> tuple[Step, ...]:
    """Equation 2: all parameters, less the last LayerNorm's."""
    chain = start("P", params(NETWORK), "every parameter of the network, the de-embedding being tied")
    chain = rewrite(chain, EQUATION_2 + 2 * d_model, "12*n_layer*d_model**2 in front")
    return drop(chain, 2 * d_model, EQUATION_2, "equation 2 leaves out the LayerNorm after the last layer")


def _training() -> tuple[Step, ...]:
    """Equation 3: an iteration's matmuls, the layers' forward passes twice."""
    stored = flops(NETWORKS["stored"], MEGATRON, "training").expr
    again = flops(n_layer * NETWORKS["layer"], MEGATRON).expr
    chain = start("F", stored + again, "three forward passes, and the layers' once more: recomputed")
    chain = rewrite(chain, flops(NETWORK, MEGATRON, "training").expr, "the same from the declared recomputation")
    return rewrite(chain, EQUATION_3, "96*n_batch*n_seq*n_layer*d_model**2 in front: equation 3")


def _time() -> Section:
    """From F to 8TP/(nX)."""
    whole = 8 * params(NETWORK)
    over = expand(EQUATION_3 / _TOKENS - whole)
    chain = start(
        "time",
        n_token * EQUATION_3 / (_TOKENS * n_device * _RATE),
        "n_token tokens in iterations of F FLOPs, each device at X",
    )
    chain = rewrite(chain, n_token * (whole + over) / (n_device * _RATE), "against eight for each parameter and token")
    reason = "equation 4, 8*T*P/(n*X), with all parameters, those of the token table too"
    chain = drop(chain, n_token * over / (n_device * _RATE), n_token * whole / (n_device * _RATE), reason)
    rule = 8 * n_token * Symbol("P") / (n_device * _RATE)
    chain = (*chain[:-1], chain[-1].written(rule, P=params(NETWORK)))
    return Section(
        "From one iteration to the whole training",
        (
            prose(
                "Two FLOPs for each weight and token forward, four backward and two for the recomputation make eight. ",
                "Over n_token tokens, on n_device GPUs that each do X FLOPs in a second, it takes so many seconds:",
            ),
            Steps(chain),
            prose("What is dropped for each token is ", over, ": the attention's two matmuls over all pairs, less "
                  "eight for each parameter that is in no matmul, and less two for each of the token table, which "
                  "the de-embedding multiplies: it is not recomputed, and costs six."),
            prose(
                "The paper's conditions for it are 6h >> s, 16lh >> V + s and 12lh >> V. By its own two equations "
                "the second is about V alone and the third about V + s: the two seem to be exchanged."
            ),
        ),
    )  # fmt: skip


def left_out(table: ClaimTable) -> tuple[tuple[str, Expr, Expr, Expr], ...]:
    """For each model of Table 1: its size as printed, and what 8P leaves out of F for each token, in shares of 8P.

    The shares are of the attention, of everything else, and of both together.
    """
    whole = 8 * params(NETWORK)
    attention = 16 * n_layer * n_seq * d_model
    return tuple(
        (row.label, *(part / whole.subs(sizes) for part in (attention.subs(sizes), rest, attention.subs(sizes) + rest)))
        for row in table.rows
        for sizes in [_sizes(table, row.cells)]
        for rest in [expand(EQUATION_3 / _TOKENS - whole - attention).subs(sizes)]
    )


def _sizes(table: ClaimTable, cells: object) -> dict[Expr, Expr]:
    assert isinstance(cells, dict)
    of_row = {size: Integer(cells[letter]) for letter, size in _SIZES.items()}
    return {**of_row, n_vocab: Integer(table.sizes["V"]), n_seq: Integer(table.sizes["s"])}


def _percent(number: Expr) -> str:
    return f"{Float(100 * number, 15):.2f} %"


def _dropped() -> Section:
    """How large the terms are that equation 4 drops."""
    lines = left_out(shipped()["narayanan2021_table1"])
    rows = tuple((label, *map(_percent, shares)) for label, *shares in lines)
    first, last = rows[0], rows[-1]
    return Section(
        "What equation 4 drops, and how large it is",
        (
            Prose(
                f"Equation 3 is {first[3]} of equation 4 above it for the paper's {first[0]} billion parameters, and "
                f"{last[3]} for its {last[0]} billion: nearly all of it attention, whose work grows with the width, "
                "and that of the parameters with the width's square."
            ),
            Table("", ("Billion parameters", "attention", "all else", "together, of 8TP/(nX)"), rows),
        ),
    )


def _days() -> Section:
    """The trillion's 84 days, three ways."""
    table = shipped()["narayanan2021_table1"]
    sizes = _sizes(table, table.rows[-1].cells)
    tokens, rate = 450 * 10**9, Rational(3072 * 163 * 10**12)
    exact_params = int(params(NETWORK).subs(sizes))
    ways = (
        ("8TP/(nX), P a trillion", Integer(8 * 10**12)),
        ("8TP/(nX), P of the network", Integer(8 * exact_params)),
        ("F of equation 3", (EQUATION_3 / _TOKENS).subs(sizes)),
    )
    rows = tuple((name, f"{Float(tokens * each / rate / 86400, 15):.2f}") for name, each in ways)
    return Section(
        "The 84 days of a trillion parameters",
        (
            prose(
                "The text takes a trillion parameters, 450 billion tokens, 3072 GPUs and 163 TFLOP/s. Its 84 days "
                f"follow from the {exact_params:,} parameters of the network in Table 1, not from a round trillion:"
            ),
            Table("", ("Way", "Days"), rows),
        ),
    )


def _notes() -> tuple[Note, ...]:
    dense, causal = (
        expand(flops(n_layer * NETWORKS["layer"], each).expr / _TOKENS) for each in (MEGATRON, EXACT)
    )  # fmt: skip
    last = difference(params(NETWORK), EQUATION_2)
    return (
        Note("Equation 2", f"leaves out {last}, the gain and bias of the last LayerNorm.", {"left out": last}),
        Note(
            "Equation 3",
            f"charges all pairs of tokens, those too that the causal mask hides: forward {dense} for each token, where "
            f"the pairs that are attended to take {causal}. Its attention is "
            f"{share(16 * n_layer * n_seq * d_model, 96 * n_layer * d_model**2)} of the layers' other matmuls.",
            {"all pairs": dense, "attended pairs": causal},
        ),
    )


__all__ = ["CITATION", "EQUATION_2", "EQUATION_3", "NETWORK", "NETWORKS", "derive", "left_out"]
