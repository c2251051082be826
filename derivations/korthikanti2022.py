"""Korthikanti et al. 2022: what a layer keeps for its backward pass, and what it costs to compute some of it again.

The paper adds up the bytes of one transformer layer, s*b*h*(34 + 5*a*s/h), shares them among tensor-parallel ranks, and
finds that the attention core, which keeps most of them, is cheap to run again. Here each of those bytes is of a tensor
that the gradient of a declared operation needs, and equations 7 and 8 are measures of the declared network.

>>> bytes_of(Rank(), kept)
34*d_model*n_batch*n_seq + 5*n_batch*n_head*n_seq**2
>>> bytes_of(Rank(n_tensor, n_seq / n_tensor), lambda rank: selective(kept(rank)))
34*d_model*n_batch*n_seq/n_tensor
>>> extra_flops()
4*d_model*n_batch*n_layer*n_seq**2
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from sympy import Add, Expr, Float, Integer, Rational, expand

from derivations import _korthikanti_layer as layer
from derivations._korthikanti_layer import Kept, Rank, kept, masks, parts, selective, small, stream_dropout, total
from symflops.claims import shipped
from symflops.claims.sections import checked
from symflops.conventions import MEGATRON, Convention, convention
from symflops.derivation import Derivation, derive_network, drop, rewrite, share, start
from symflops.documents import Block as Part
from symflops.documents import Prose, Section, Steps, Table, prose
from symflops.layers.embedding import LEARNED, de_embedding, embedding
from symflops.layers.linear import linear
from symflops.layers.norm import layer_norm
from symflops.layers.stream import Stream
from symflops.measures import flops
from symflops.networks import Block, Recomputed, Tied
from symflops.notation import d_model, n_batch, n_head, n_layer, n_seq, n_vocab, symbol
from symflops.steps import Step
from symflops.training.activations import MASK_BYTES

CITATION = (
    "Korthikanti et al., Reducing Activation Recomputation in Large Transformer Models, 2022, arXiv:2205.05198, "
    "sections 4 to 6 and appendix A"
)
n_tensor, n_pipeline, n_interleave = map(symbol, ("n_tensor", "n_pipeline", "n_interleave"))
_AROUND: Expr = (
    embedding(LEARNED, rows=n_seq)
    + Block("Dropouts", stream_dropout("embedding"))
    + Block("Norms", layer_norm("norm_final"))
    + Tied(de_embedding())
)
_PARTS, _SPLIT = parts(Rank()), parts(Rank(split=n_tensor))
NETWORK: Expr = _AROUND + n_layer * Add(*_PARTS)
NETWORKS: dict[str, Expr] = {
    "selective": _AROUND + n_layer * Add(*(Recomputed(e) if e.name == "Attention: Mask" else e for e in _PARTS)),
    "full": _AROUND + n_layer * Add(*map(Recomputed, _PARTS)),
    "layer": Add(*_PARTS),
    "masks": masks(_PARTS),
    "split": Add(*_SPLIT),
    "split_masks": masks(_SPLIT),
}

# As printed; compared with the algebra, never used in its place.
_WORK: Expr = 72 * n_batch * n_layer * n_seq * d_model**2
_VOCAB: Expr = n_vocab / (12 * d_model * n_layer)
EQUATION_7: Expr = _WORK * (1 + n_seq / (6 * d_model) + _VOCAB)
EQUATION_8: Expr = _WORK * (1 + n_seq / (3 * d_model) + _VOCAB)
_UNIT: Expr = n_seq * n_batch * d_model
_PAIRS: Expr = 5 * n_head * n_seq / d_model
_ROW = re.compile(r"row_\d")
_ROWS: dict[str, Expr] = {"a": n_head, "h": d_model, "L": n_layer, "b": n_batch}


def derive(given: str | Convention = MEGATRON) -> Derivation:
    """The table of operations, the bytes of a layer in six ways, and the FLOPs of recomputation."""
    chosen = convention(given)
    base = derive_network("korthikanti2022", "Korthikanti et al. 2022: activation memory", CITATION, NETWORK, chosen)
    own = (_tensors(), _ways(), _savings(), _stage(), _work()) if chosen == MEGATRON else ()
    return replace(base, sections=(*own, *checked("korthikanti2022")))


def bytes_of(rank: Rank, of: Callable[[Rank], tuple[Kept, ...]]) -> Expr:
    """The bytes of one layer on a rank, without the mean and variance of each token."""
    tensors = of(rank)
    return expand(total(tensors) - total(small(tensors)))


def extra_flops() -> Expr:
    """What selective recomputation adds to a training step's FLOPs."""
    return expand(flops(NETWORKS["selective"], MEGATRON, "training").expr - flops(NETWORK, MEGATRON, "training").expr)


def _tensors() -> Section:
    """Every saved tensor, of a whole layer and on one of n_tensor ranks."""
    whole, split = kept(Rank()), kept(Rank(split=n_tensor))
    rows = tuple(
        (one.operation, _ROW.sub("row value", one.tensor), one.elements, one.bytes, other.bytes)
        for one, other in zip(whole, split, strict=True)
    )
    small_, totals = total(small(whole)), ("Total", "", "", total(whole), total(split))
    return Section(
        "What one layer keeps",
        (
            Prose(
                "Each operation keeps what its gradient needs: a matmul its input, attention's two matmuls both sides, "
                "a softmax its result, a GELU and a norm their inputs, a dropout its mask. Residual additions and "
                "biases keep nothing. An element takes two bytes, one of a mask takes one. The last column is one of "
                "n_tensor ranks, which split heads and hidden units; what the norms, dropouts and first matmuls read "
                "stays whole on each."
            ),
            Table("", ("Operation", "Tensor", "Elements", "Bytes", "Bytes on one of n_tensor"), rows, totals),
            prose("The two values that a norm keeps of each token, ", small_, " bytes, are dropped in the paper; they "
                  "are ", share(small_, 34 * _UNIT), " of the rest without its pairs."),
        ),
    )  # fmt: skip


def _way(name: str, rank: Rank, of: Callable[[Rank], tuple[Kept, ...]], printed: Expr, why: str) -> tuple[Step, ...]:
    """From the sum of the kept tensors to the form in which the paper prints it."""
    tensors = of(rank)
    chain = start(name, total(tensors), why)
    negligible = total(small(tensors))
    if negligible != 0:
        chain = drop(chain, negligible, bytes_of(rank, of), "without mean and variance")
    return rewrite(chain, printed, "as printed")


def _ways() -> Section:
    """The rows of the paper's Table 2."""
    sequence = Rank(n_tensor, n_seq / n_tensor)
    chains = (
        _way("serial", Rank(), kept, _UNIT * (34 + _PAIRS), "one device"),
        _way(
            "tensor",
            Rank(split=n_tensor),
            kept,
            _UNIT * (10 + 24 / n_tensor + _PAIRS / n_tensor),
            "heads and hidden units over all ranks",
        ),
        _way(
            "sequence",
            sequence,
            kept,
            _UNIT / n_tensor * (34 + _PAIRS),
            "norms and dropouts on n_seq/n_tensor tokens each",
        ),
        _way(
            "tensor_selective",
            Rank(split=n_tensor),
            _selective,
            _UNIT * (10 + 24 / n_tensor),
            "the core's own tensors dropped",
        ),
        _way("sequence_selective", sequence, _selective, 34 * _UNIT / n_tensor, "both"),
        _way("full", Rank(), lambda rank: layer.full(kept(rank)), 2 * _UNIT, "the layer's input alone"),
    )
    return Section(
        "Bytes of a layer, six ways",
        (
            Prose(
                "Tensor parallelism alone leaves ten of the 34 on every rank: two inputs of norms, two of the first "
                "matmuls, two masks. Sequence parallelism gives each rank its own tokens of them; the first matmuls "
                "need all tokens, which are gathered again in the backward pass, so that a rank keeps its part. "
                "Where the core is recomputed, queries, keys and values stay: it starts from them."
            ),
            Steps(tuple(step for chain in chains for step in chain)),
        ),
    )


def _selective(rank: Rank) -> tuple[Kept, ...]:
    return selective(kept(rank))


def _models() -> list[tuple[str, dict[Expr, Expr], dict[str, str]]]:
    """The four models of Table 3: name, sizes, cells."""
    table = shipped()["korthikanti2022_tables"]
    fixed = {n_seq: Integer(table.sizes["s"]), n_vocab: Integer(table.sizes["v"])}
    return [
        (row.label, fixed | {size: Integer(row.cells[letter]) for letter, size in _ROWS.items()}, dict(row.cells))
        for row in table.rows
    ]


def _percent(number: Expr) -> str:
    return f"{Float(100 * number, 15):.2f} %"


def _savings() -> Section:
    """What recomputing the core saves of the bytes, and what it costs in FLOPs."""
    saved = share(_UNIT * _PAIRS, _UNIT * (34 + _PAIRS))
    work = share(extra_flops(), EQUATION_7)
    rows = tuple((name, *(_percent(each.subs(sizes)) for each in (saved, work))) for name, sizes, _ in _models())
    return Section(
        "What selective recomputation saves and costs",
        (
            prose("Of a layer's bytes it saves ", saved, ", and adds to a training step's FLOPs ", work, "."),
            Table("", ("Model", "bytes saved", "FLOPs added"), rows),
        ),
    )


def beside_layers() -> Expr:
    """The bytes beside the layers on a rank of one pipeline stage, by what their operations keep."""
    stream = Stream(seq=n_seq / n_tensor)  # the logits' input is gathered anew, as in a layer
    mask, norm = stream_dropout("embedding", stream).saved, layer_norm("norm_final", stream).saved
    logits = linear("logits", d_model, n_vocab / n_tensor, "logits", stream=stream)
    inputs = Add(*(size for name, size in (*norm, *logits.saved) if name == "x"))
    written = linear(
        "logits", d_model, n_vocab / n_tensor, "logits"
    ).elements_written  # the loss keeps them in four bytes
    return expand(MASK_BYTES * Add(*(size for _, size in mask)) + layer.ELEMENT * inputs + 4 * written)


def _stage() -> Section:
    """The first pipeline stage, the interleaved schedule, and what stands beside the layers."""
    name, sizes, cells = _models()[0]
    at = sizes | {n_tensor: Integer(cells["t"])}
    layers, extra = n_layer * _UNIT / n_tensor * (34 + _PAIRS), beside_layers()
    whole = n_layer * bytes_of(Rank(n_tensor, n_seq / n_tensor), kept)
    chain = start("first_stage", whole, "as many microbatches in flight as stages, each through a stage of layers")
    chain = rewrite(chain, layers, "equation 5")
    beside = start("extra", extra, "mask of the embedding's dropout; inputs of last norm and logits; logits in 4 bytes")
    form = _UNIT * n_layer / n_tensor * (1 / n_layer + 4 / n_layer * (1 + n_vocab / d_model))
    beside = rewrite(beside, form, "as printed, p = 1")
    shares = [_percent(share(extra, each).subs(at)) for each in (layers, 34 * n_layer * _UNIT / n_tensor)]
    flight = 2 * (n_pipeline - 1) + (n_interleave - 1) * n_pipeline + 1
    parts_ = start("interleaved", flight * n_layer / (n_pipeline * n_interleave), "layers of the parts in flight")
    parts_ = rewrite(parts_, n_layer * (1 + (n_pipeline - 1) / (n_pipeline * n_interleave)), "as printed")
    more = parts_[-1].expression.subs({n_pipeline: 35, n_interleave: 3}) / n_layer - 1
    return Section(
        "The first pipeline stage",
        (
            Steps((*chain, *beside, *parts_)),
            Prose(
                f"For the {name} model on one stage the terms beside the layers are {shares[0]} of the layers' bytes, "
                f"and {shares[1]} where the core is recomputed. The paper says less than 0.01 %; it would hold of the "
                "fraction 0.01. An interleaved schedule runs 2*(n_pipeline - 1) + (n_interleave - 1)*n_pipeline + 1 "
                f"parts of n_layer/(n_pipeline*n_interleave) layers ahead: {_percent(more)} more than all layers "
                "for the paper's 530B, of 35 stages with three parts each."
            ),
        ),
    )


def _work() -> Section:
    """Equations 7 to 9 and the utilisations of Table 5."""
    model = start("C_model", flops(NETWORK, MEGATRON, "training").expr, "three forward passes of every matmul")
    model = rewrite(model, EQUATION_7, "equation 7")
    again = flops(NETWORKS["selective"], MEGATRON, "training").expr
    hardware = start("C_hardware", again, "and the scores and the mix once more")
    hardware = rewrite(hardware, _WORK * (1 + 2 * n_seq / (9 * d_model) + _VOCAB), "in the form of equation 8")
    over = expand(EQUATION_8 - again)
    said: tuple[Part, ...] = (
        Steps((*model, *hardware)),
        prose("Equation 8 prints ", n_seq / (3 * d_model), " in place of ", 2 * n_seq / (9 * d_model), ": ", over,
              " too many. The text before it adds one forward pass of the core, ", extra_flops(), "; the printed form "
              "has three, as in a whole training step. The overheads of 2.7 % and 1.6 % and the hardware utilisations "
              "of Table 5 follow from the printed form. An author says 2/9 too (NVIDIA/Megatron-LM, issue 523)."),
        _utilisation(),
    )  # fmt: skip
    return Section("FLOPs of the model and of the hardware", said)


def _utilisation() -> Table:
    hardware = flops(NETWORKS["selective"], MEGATRON, "training").expr
    rows = tuple(
        (name, cells["mfu"], *(_percent(each.subs(at) / done) for each in (EQUATION_7, hardware)), cells["hfu"])
        for name, sizes, cells in _models()
        for at in [sizes | {n_batch: Integer(cells["B"])}]
        for done in [Rational(cells["present"]) * int(cells["gpus"]) * 312 * 10**12]
    )
    return Table("", ("Model", "MFU printed", "MFU", "HFU", "HFU printed, by equation 8"), rows)


__all__ = [
    "CITATION",
    "EQUATION_7",
    "EQUATION_8",
    "NETWORK",
    "NETWORKS",
    "beside_layers",
    "bytes_of",
    "derive",
    "extra_flops",
]
