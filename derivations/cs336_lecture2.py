"""CS336 (spring 2025), lecture 2: the worked figures of resource accounting, each from what it is computed of.

The lecture (lecture_02.py of github.com/stanford-cs336/spring2025-lectures) counts memory and FLOPs of linear models
and makes estimates from them: 6*N*D, bytes for each parameter, 2*B*D*K. Its linear models are networks here, B being
n_batch, D d_model and K d_ff, so that what it says of them is proved or corrected.

>>> flops(NETWORKS["two_layers"], TORCH, "backward").expr
4*d_ff*d_model*n_batch + 2*d_model**2*n_batch
>>> assignment_xl().params()
2127057600
"""

from __future__ import annotations

from fractions import Fraction

from sympy import Expr, Integer, Rational

from derivations import kaplan2020
from symflops.architectures import Architecture, architecture
from symflops.claims.sections import checked
from symflops.conventions import TORCH
from symflops.derivation import Section, Study, drop, rewrite, start
from symflops.documents import Code, Prose, Remarks, Steps, Table, prose
from symflops.measures import Phase, flops, params, saved_elements
from symflops.notation import d_ff, d_model, n_batch, n_layer
from symflops.operations import Contraction
from symflops.steps import share
from symflops.training.formats_known import BF16, E4M3, E5M2, FP16, FP32

CITATION = (
    "Liang and Hashimoto, CS336: Language Modeling from Scratch, Stanford, spring 2025, lecture 2, lecture_02.py of "
    "github.com/stanford-cs336/spring2025-lectures, and assignment 1"
)


def _linear(name: str, d_in: Expr, d_out: Expr, constants: tuple[str, ...] = ()) -> Contraction:
    """A matrix of parameters, applied to each point of a batch; ``constants`` are operands that need no gradient."""
    sizes = {"point": n_batch, "d_in": d_in, "d_out": d_out}
    sentence = "x[point d_in] weight[d_in d_out] -> y[point d_out]"
    return Contraction(name, sentence, sizes, "feedforward", constants=constants)


_FIRST, _NEXT = _linear("w1", d_model, d_model, ("x",)), _linear("w2", d_model, d_ff)
_HIDDEN, _HEAD = _linear("layers", d_model, d_model), _linear("final", d_model, Integer(1))
NETWORKS: dict[str, Expr] = {
    "linear": _linear("w", d_model, d_ff),
    "two_layers": _FIRST + _NEXT,
    "cruncher": _linear("first", d_model, d_model, ("x",)) + (n_layer - 1) * _HIDDEN + _HEAD,
}
"""The linear model, the two layers, and the deep linear model of the lecture. Data need no gradient."""
_GPU = {n_batch: 16384, d_model: 32768, d_ff: 8192}


def derive() -> Study:
    """The lecture's figures, in its order."""
    sections = (
        _operations(), _identity(), _estimates(), _memory(), _dropped(), _formats(), _kaplan(), _assignment(),
        *checked("cs336_lecture2"),
    )  # fmt: skip
    return Study("cs336_lecture2", "CS336, lecture 2: resource accounting", CITATION, sections)


def _work(network: Expr, phase: Phase = "forward") -> Expr:
    return flops(network, TORCH, phase).expr


def _operations() -> Section:
    rows = tuple(
        (name, params(each).factor(), _work(each).factor(), _work(each, "backward").factor())
        for name, each in NETWORKS.items()
    )
    head = ("network", "parameters", "forward FLOPs", "backward FLOPs")
    said = prose("A point is a row of n_batch; a multiplication and an addition for each (i, j, k), 2*B*D*K in all.")
    return Section("Operations", (said, Table("", head, rows)))


def _identity() -> Section:
    """Forward and backward of the two layers, with and without the gradient that nobody needs."""
    network = NETWORKS["two_layers"]
    forward, backward, total = _work(network), _work(network, "backward"), params(network)
    unneeded = 2 * n_batch * d_model**2
    steps = rewrite(start("C_forward", forward, "two matmuls"), 2 * n_batch * total, "2 for each point and parameter")
    wanted = start("C_backward", backward + unneeded, "both gradients of both layers, as the lecture adds them up")
    wanted = rewrite(wanted, 4 * n_batch * total, "4 for each point and parameter")
    steps = (
        *steps,
        *drop(wanted, unneeded, backward, "x is data: nothing asks for its gradient, a matmul of w1's size"),
    )
    ratio = (backward / forward).factor()
    text = prose(
        "The lecture says beside the sum that x.grad is not needed, and adds 4*B*D*D for w1 all the same. Executed, "
        "the backward pass is ", ratio, " forward passes: at B = 16384, D = 32768, K = 8192 ",
        f"{int(backward.subs(_GPU)):.3e}" " FLOPs, not ", f"{int((backward + unneeded).subs(_GPU)):.3e}",
        ", a ratio of ", f"{float(ratio.subs(_GPU)):.2f}", " where 2 is said. In a deep network the first layer is "
        "one of many, so that 6*B*N holds to first order; a transformer starts with a lookup, which has no such "
        "gradient.",
    )  # fmt: skip
    return Section("Identity", (Steps(steps), text))


def training_days(parameters: int, tokens: int, devices: int, peak: Fraction, used: Fraction) -> Fraction:
    """Days of 6*N*D on devices of a ``peak`` in FLOP/s, of which a part is ``used``.

    >>> float(training_days(70 * 10**9, 15 * 10**12, 1024, Fraction(1979 * 10**12, 2), Fraction(1, 2)))
    143.92...
    """
    return Fraction(6 * parameters * tokens) / (devices * peak * used * 86400)


def _estimates() -> Section:
    """The two motivating questions, and two weeks that are one."""
    h100 = Fraction(1979 * 10**12, 2)
    days = training_days(70 * 10**9, 15 * 10**12, 1024, h100, Fraction(1, 2))
    bytes_each = dict.fromkeys(("parameter", "gradient", "first moment", "second moment"), FP32)
    each = int(sum(form.bytes for form in bytes_each.values()))
    week = 8 * 60 * 60 * 24 * 7 * h100
    remarks = (
        ("70B on 15T tokens", f"6*N*D at half of the 1979e12/2 FLOP/s of each of 1024 H100s: {float(days):.1f} days."),
        (
            "the largest model on 8 H100s",
            f"{' + '.join(bytes_each)}, in float32 each, are {each} bytes, so {8 * 80 * 10**9 // each:,} parameters, "
            "activations not counted.",
        ),
        (
            "8 H100s for 2 weeks",
            f"the expression has 7 days in it, so {float(week):.3e} FLOPs are one week's; two weeks are "
            f"{float(2 * week):.3e}.",
        ),
    )
    return Section("Numbers: estimates on a napkin", (Remarks(remarks),))


def memory(outer: Expr | int = 1) -> Expr:
    """Bytes of the deep linear model in float32 with AdaGrad; ``outer`` is 4 where a 4 reaches all terms.

    >>> at = {n_batch: 2, d_model: 4, n_layer: 2}
    >>> memory(4).subs(at), memory().subs(at)
    (496, 232)
    """
    owned, activations = params(NETWORKS["cruncher"]), saved_elements(NETWORKS["cruncher"]) - n_batch * d_model
    return (4 * owned + outer * (activations + 2 * owned)).expand()


def _memory() -> Section:
    """Tensors, and the formula of the deep linear model."""
    matrix = 12288 * 4 * 12288 * int(FP32.bytes)
    at = {n_batch: 2, d_model: 4, n_layer: 2}
    tensors = (
        f"A 4x8 tensor of float32 has {4 * 8 * int(FP32.bytes)} bytes. One feed-forward matrix of GPT-3, 12288*4 by "
        f"12288, has {matrix:,} bytes: {Fraction(matrix, 2**20)} MiB exactly, as the lecture asserts, or "
        f"{matrix / 10**6:,.1f} MB; neither is the 2306 MB of some notes. The lecture's 2.3 GB are "
        f"{float(Fraction(matrix, 2**30))} GiB rounded, or {matrix / 10**9:.2f} GB."
    )
    formula = prose(
        "The deep linear model has ", params(NETWORKS["cruncher"]), " parameters, as many gradients, and as many "
        "states of AdaGrad, which keeps one sum of squares each (Adam keeps two). Its layers save ",
        saved_elements(NETWORKS["cruncher"]), " elements; the lecture counts ", n_batch * d_model * n_layer,
        ", the data left out. In float32 that is ", memory(4), " bytes. The 4 has to reach all four terms. Noted as ",
        Code("4 * num_parameters + num_activations + num_gradients + num_optimizer_states"), " it multiplies the first "
        f"alone: {memory().subs(at)} in place of {memory(4).subs(at)} bytes at B = 2, D = 4 and 2 layers. The "
        "lecture's code has the parentheses.",
    )  # fmt: skip
    return Section("Memory", (Prose(tensors), formula))


def _dropped() -> Section:
    """6*B*N of one step of the deep linear model."""
    network = NETWORKS["cruncher"]
    training, simple = flops(network, TORCH, "training").expr, 6 * n_batch * params(network)
    missing = (simple - training).factor()
    part = share(missing, simple)
    text = prose(
        "One step is put at 6*B*N FLOPs. Its matmuls take ", missing, " less, the gradient of the data, a share of ",
        part, f": {float(Rational(part.subs({d_model: 4, n_layer: 2}))):.0%} of the example, D = 4 and 2 layers, and "
        f"{float(Rational(part.subs({d_model: 4096, n_layer: 100}))):.2%} with D = 4096 and 100. The optimizer's "
        "own work, a few operations for each parameter and step, is in neither.",
    )  # fmt: skip
    return Section("What was dropped", (text,))


def _formats() -> Section:
    """The ranges of number formats, from their bits."""
    rows = tuple(
        (each.title, each.layout, _number(each.largest), _number(each.smallest_normal),
         _number(each.smallest))
        for each in (FP32, FP16, BF16, E4M3, E5M2)
    )  # fmt: skip
    head = ("format", "bits", "largest", "smallest normal", "smallest")
    tiny = Fraction(1, 10**8)
    lost = [each.title for each in (FP16, BF16) if not each.survives(tiny)]
    kept = [each.title for each in (FP16, BF16) if each.survives(tiny)]
    text = (
        "With e bits of exponent and m of mantissa the largest number is (2 - 2**-m)*2**(2**(e-1) - 1): the highest "
        "exponent is kept for infinities and NaN. E4M3 gives that up but for one NaN, so that its largest is "
        f"(2 - 2**(1-m))*2**(2**(e-1)). 1e-8 is under half the smallest number of {', '.join(lost)}, so that it "
        f"becomes zero there, and not in {', '.join(kept)}, which has the exponents of float32 and fewer digits."
    )
    return Section("Formats", (Table("", head, rows), Prose(text)))


def _number(exact: Fraction) -> str:
    whole = exact.denominator == 1 and exact.numerator < 10**6
    return f"{exact.numerator:,}" if whole else f"{float(exact):.4e}"


def _kaplan() -> Section:
    """Kaplan's table, which the same accounting leads to, and three remarks on it."""
    derived = kaplan2020.derive()
    about = {note.about: note.text for note in derived.notes}
    names = ("Embed", "Attention: Mask", "De-embed")
    rows = tuple((row.name, "-" if row.params == 0 else row.params, row.flops) for row in derived.rows)
    head = ("Operation", "Parameters", "FLOPs per token")
    said = prose(
        "2 for each point and parameter is what Kaplan et al. 2020, Table 1, says of a transformer: C_forward = 2*N "
        "and a term of the context, ", (derived.C_forward - 2 * derived.N).expand(), ".",
    )  # fmt: skip
    return Section(
        "Kaplan's table", (said, Table("", head, rows), Remarks(tuple((name, about[name]) for name in names)))
    )


def assignment_xl() -> Architecture:
    """Assignment 1's model of GPT-2 XL's shape: RMSNorm, rotary positions, gated feed-forward, no ties, no biases."""
    return architecture(
        {
            "model_type": "llama", "vocab_size": 50257, "max_position_embeddings": 1024, "num_hidden_layers": 48,
            "hidden_size": 1600, "num_attention_heads": 25, "num_key_value_heads": 25, "intermediate_size": 6400,
            "hidden_act": "silu", "tie_word_embeddings": False,
        }
    )  # fmt: skip


def _assignment() -> Section:
    """The parameters of assignment 1's model, against GPT-2 XL."""
    model, released = assignment_xl(), architecture("gpt2-xl")
    gated = 48 * 1600 * 6400
    untied = 50257 * 1600
    rest = model.params() - released.params() - gated - untied
    flop = model.flops(1, 1024, TORCH)
    text = (
        f"At GPT-2 XL's shape the model of assignment 1 has {model.params():,} parameters, {model.params() * 4:,} "
        f"bytes in float32, where GPT-2 XL has {released.params():,}. The difference is a third matrix in each "
        f"feed-forward layer, {gated:,}, a table of its own for the logits, {untied:,}, and {-rest:,} of positions, "
        "biases and norms less. SwiGLU with d_ff = 4*d_model is half as large again as a plain layer; 8*d_model/3 "
        f"would make it as large. A forward pass of one sequence takes {int(flop):,} FLOPs, "
        f"{float(Rational(int(flop), 2 * model.params() * 1024)):.3f} times 2 for each parameter and token."
    )
    return Section("Assignment 1: GPT-2 XL's shape", (Prose(text),))
