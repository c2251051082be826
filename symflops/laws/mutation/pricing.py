"""Who finds a fault of a convention: laws of conventions, printed formulas, closed forms of code, and loops.

>>> from symflops.conventions import CONVENTIONS
>>> [name for name, _ in priced_laws("palm", CONVENTIONS["palm"])]
['palm-is-six-n-and-attention']
>>> [instance.subject for instance in printed("kaplan", CONVENTIONS["torch"]) if not instance.holds][:2]
['kaplan: embedding, position', 'kaplan: embedding, position, trained']
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import product

from sympy import Add, Expr, Integer, Lambda, Max, Symbol, cos, erf, exp, expand, log, sin, sqrt, tanh

from symflops.architectures.architecture import Attention
from symflops.conventions import CONVENTIONS, Convention
from symflops.elementwise import Elementwise
from symflops.explain.published import Formula, known_phase, published, written
from symflops.expressions import expression
from symflops.laws.catalogue import LAWS, algebra, closed_forms, matmuls, prices, training
from symflops.laws.catalogue.prices import recomputed_gpt
from symflops.laws.catalogue.subjects import Families, families, few, model, network
from symflops.laws.law import Instance, counted, same
from symflops.laws.mutation.oracles import code_form, in_code
from symflops.layers.attention import NO_BIAS, Causal, Heads, attention_core, fused_qkv, project
from symflops.layers.embedding import LEARNED, de_embedding, embedding
from symflops.layers.feedforward import plain_feedforward
from symflops.measures import Phase, flops, flops_of_all
from symflops.networks import Recomputed, Tied, of_role, uses
from symflops.notation import d_ff, d_head, n_batch, n_head, n_layer, n_seq
from symflops.operations import Contraction, Lookup

Says = Callable[[], Iterable[Instance]]
Core = Callable[[str, Expr, Convention], Iterable[Instance]]
TOKENS = n_batch * n_seq
_ASKED = ("gpt2", "llama", "bert")
ABOUT: Mapping[str, Mapping[str, Core]] = {
    "kaplan": {"kaplan-leaves-out-mix-and-logits": prices.kaplan_leaves_out},
    "chinchilla": {"chinchilla-adds-embedding-and-softmax": prices.chinchilla_adds},
    "palm": {"palm-is-six-n-and-attention": prices.palm_is_six_n},
    "megatron": {"megatron-equation-three": lambda name, whole, given: prices.megatron_equation(
        recomputed_gpt(), given)},
    "torch": {
        "flops-are-two-macs": lambda name, whole, given: matmuls.twice_macs(name, whole, given),
        "training-is-three-forwards": training.thrice,
        "full-recompute-is-one-forward-more": lambda name, whole, given: training.one_forward_more(
            name, whole, given=given),
        "work-of-what-is-counted": closed_forms.as_torch,
    },
    "macs": {"flops-are-two-macs": lambda name, whole, given: matmuls.twice_macs(name, whole, "torch", given)},
    "exact": {
        "recompute-is-no-model-work": lambda name, whole, given: training.no_model_work(name, whole, given=given),
        "cost-is-not-negative": algebra.not_negative,
        "cost-is-whole": algebra.whole_number,
        "model-at-most-hardware": lambda name, whole, given: training.model_at_most_hardware(
            name, whole, model=given),
    },
    "all-operations": {
        "matmuls-at-most-all-operations": lambda name, whole, given: prices.exact_at_most_all(
            name, whole, more=given),
    },
}  # fmt: skip
"""The laws about a convention, and what they say of one network under it."""


def priced_laws(name: str, given: Convention) -> Iterator[tuple[str, Says]]:
    """The laws that are about a convention, under another price list."""
    for law, core in ABOUT[name].items():
        yield law, _under(law, core, given)


def _under(law: str, core: Core, given: Convention) -> Says:
    def says() -> Iterator[Instance]:
        for family in _scope(law):
            yield from core(family, network(family), given)

    return says


@cache
def _scope(law: str) -> tuple[str, ...]:
    """Families that the law is about; it is asked of few of them, as prices are the same for all."""
    show = LAWS[law].show
    return tuple(name for name in _ASKED if not isinstance(show, Families) or show.about(name))


_KAPLAN: Mapping[str, str] = {
    "embedding, position": "4*d_model",
    "qkv": "2*n_layer*d_model*3*d_attn",
    "scores": "2*n_layer*n_ctx*d_attn",
    "mix": "0",
    "project": "2*n_layer*d_attn*d_model",
    "feedforward": "2*n_layer*2*d_model*d_ff",
    "logits": "2*d_model*n_vocab",
}
"""Kaplan et al. 2020, arXiv:2001.08361, Table 1: FLOPs per token of each row; the one row Mask is the scores."""
_KAPLAN_TOTAL = "2*(2*d_model*n_layer*(2*d_attn + d_ff)) + 2*n_layer*n_ctx*d_attn"


@cache
def plain_gpt() -> Expr:
    """The network that papers count: plain attention and feed-forward, no biases."""
    heads = Heads(n_head, n_head, d_head)
    parts = (fused_qkv(heads, NO_BIAS), attention_core(heads, Causal(n_seq, n_seq)), project(heads, NO_BIAS),
             plain_feedforward("gelu", NO_BIAS, d_ff))  # fmt: skip
    return Add(embedding(LEARNED), n_layer * Add(*parts), Tied(de_embedding()))


def _roles(whole: Expr, text: str) -> Expr:
    return Add(*(of_role(whole, role.strip()) for role in text.split(",")))


def kaplan(given: Convention) -> Iterator[Instance]:
    """Table 1, row by row, and its total."""
    letters = {expression("d_attn"): n_head * d_head, expression("n_ctx"): n_seq}
    for role, text in _KAPLAN.items():
        row = expression(text).subs(letters) if text != "0" else Integer(0)
        part = _roles(plain_gpt(), role)
        yield same(f"kaplan: {role}", flops_of_all(part, given).expr, TOKENS * row)
        yield same(f"kaplan: {role}, trained", flops_of_all(part, given, "training").expr, 3 * TOKENS * row)
    total = TOKENS * expression(_KAPLAN_TOTAL).subs(letters)
    yield same("kaplan: total", flops(plain_gpt(), given).expr, total)
    yield same("kaplan: training", flops(plain_gpt(), given, "training").expr, 3 * total)


def terms(formula: Formula, whole: Expr, given: Convention, letters: Mapping[Expr, Expr]) -> Iterator[Instance]:
    """A published formula, term by term, in each phase that it states."""
    for phase, factor in formula.phases.items():
        total = Integer(0)
        for term in (each for each in formula.terms if not each.apart):
            form = written(term, formula.notation, {}).subs(dict(letters)) * factor.numerator / factor.denominator
            form = form if formula.per == "batch" else TOKENS * form
            total += form
            mine = flops(_roles(whole, term.roles.text), given, known_phase(phase)).expr
            yield same(f"{formula.name}: {term.roles.text}, {phase}", mine, form)
        if not any(each.apart for each in formula.terms):
            yield same(f"{formula.name}: {phase}", flops(whole, given, known_phase(phase)).expr, total)


def chinchilla(given: Convention) -> Iterator[Instance]:
    """Appendix F as printed."""
    yield from terms(published()["chinchilla-appendix-f"], plain_gpt(), given, {})


def palm(given: Convention) -> Iterator[Instance]:
    """Appendix B: 6N and 12LHQT for each token; a tied table is in N once."""
    formula = published()["palm-appendix-b"]
    yield from terms(formula, plain_gpt(), given, {})
    for phase, factor in (("forward", 2), ("training", 6)):
        # 4*d_model more of attention: 12LHQT in training, a third of it forward.
        whole = flops(plain_gpt(), given, known_phase(phase)).expr
        core = 2 * factor * n_layer * n_head * d_head * n_seq
        stored = expression("n_vocab*d_model + n_ctx*d_model + n_layer*(4*n_head*d_head*d_model + 2*d_model*d_ff)")
        yield same(f"palm: {phase}", whole, TOKENS * (factor * stored + core))


def megatron(given: Convention) -> Iterator[Instance]:
    """Equation 3, term by term."""
    yield from terms(published()["narayanan2021"], recomputed_gpt(), given, {})


_FORMS: tuple[tuple[str, Phase], ...] = (("C_forward", "forward"), ("C_backward", "backward"))
_CORES: tuple[Attention, ...] = ("eager", "flash")


def torch(given: Convention, share: int = 1) -> Iterator[Instance]:
    """What the code of families runs, with plain and with fused attention; of multiply-accumulates half."""
    for family in ("gpt2", "llama", "bert"):
        for attention in _CORES:
            whole = model(family, attention).network
            for form, phase in _FORMS:
                code = code_form(family, form, "eager" if attention == "eager" else "sdpa")
                mine = in_code(family, share * flops(whole, given, phase).expr)
                yield same(f"{form}, {family}, {attention}", mine, code)


def exact(given: Convention) -> Iterator[Instance]:
    """The code's work with n(n+1)/2 pairs for each square of a causal sequence; what runs again is not counted."""
    for family in ("gpt2", "llama", "vit"):
        for attention in _CORES:
            for form, phase in _FORMS:
                code = code_form(family, form, "eager")
                pairs = code.coeff(n_seq, 2)
                # An image's patches see each other, and its first layer has no gradient of the image.
                masked = expand(code - pairs * n_seq**2 + pairs * n_seq * (n_seq + 1) / 2)
                whole = model(family, attention).network
                mine = flops(whole, given, phase).expr
                yield same(f"{form}, {family}, {attention}", in_code(family, mine), masked)


_X, _Y = (Symbol(name, real=True) for name in ("x", "y"))
_STEPS: Mapping[str, Expr] = {
    "add": _X + _Y, "mul": _X * _Y, "div": _X / _Y, "exp": exp(_X) , "erf": erf(_X), "tanh": tanh(_X), "log": log(_X),
    "sin": sin(_X), "cos": cos(_X), "sqrt": sqrt(_X), "compare": Max(_X, _Y),
}  # fmt: skip
_PASSES: tuple[tuple[Phase, int], ...] = (("forward", 1), ("backward", 2))
_GRADIENT: Mapping[str, int] = {"exp": 1, "add": 0}
"""Operations of a gradient: of exp, upstream times the value that is there; of a sum, none."""


def elementary(given: Convention) -> Iterator[Instance]:
    """One of each elementary operation over five elements, a matmul and a bias, counted one by one."""
    for kind, form in _STEPS.items():
        operands = sorted(map(str, form.free_symbols))
        sentence = " ".join(f"{name}[a]" for name in operands) + " -> z[a]"
        step = Elementwise(kind, sentence, {"a": 5}, formula=Lambda(tuple(map(_named, operands)), form))
        yield counted(f"five of {kind}", flops(step, given).expr, sum(1 for _ in range(5)))
        yield counted(f"five of {kind} again", flops(Recomputed(step), given).expr, sum(1 for _ in range(5)))
        if kind in _GRADIENT:
            found = flops(step, given, "backward").expr
            yield counted(f"the gradient of {kind}", found, 5 * _GRADIENT[kind])
            yield counted(f"the gradient of {kind} again", flops(Recomputed(step), given, "backward").expr, found)
    yield from _biased(given)


def _named(name: str) -> Symbol:
    return {"x": _X, "y": _Y}[name]


def _biased(given: Convention) -> Iterator[Instance]:
    said = "x[seq d] weight[d f] + bias[f] -> y[seq f]"
    layer = Contraction("up", said, {"seq": 3, "d": 2, "f": 5}, "feedforward")
    multiplied = [(row, out, into) for row in range(3) for out in range(5) for into in range(2)]
    added = [(row, out) for row in range(3) for out in range(5)]
    for phase, passes in _PASSES:
        # Backward: both operands' gradients; the bias's is a sum of three rows, two additions for each column.
        sums = len(added) if phase == "forward" else 2 * 5
        for way in (layer, Recomputed(layer)):
            found = flops(way, given, phase).expr
            yield counted(f"a linear layer, {phase}, {type(way).__name__}", found, 2 * passes * len(multiplied) + sums)
    masked = [(query, key) for query in range(4) for key in range(query + 1)]
    scores = Contraction("scores", "q[query d] k[key d] -> s[query key]", {"d": 2}, "scores", Causal(4, 4))
    yield counted("scores of four queries", flops(scores, given).expr, 2 * 2 * len(masked))
    for role in ("embedding", "position"):
        table = Lookup("table", "weight[row d] -> x[seq d]", {"row": 7, "d": 2, "seq": 3}, role)
        scattered = sum(1 for _ in product(range(3), range(2)))
        yield counted(f"gradient of {role}", flops(table, given, "backward").expr, scattered)
    table = network("gpt2")
    lookups = Add(*(of_role(table, role) for role in ("embedding", "position")))
    adding = Add(*(use.runs * use.operation.elements_written for use in uses(lookups) if "add" in use.operation.name))
    yield same("lookups", flops(lookups, given).expr, adding)


ORACLES: Mapping[str, Callable[[Convention], Iterator[Instance]]] = {
    "kaplan": kaplan, "chinchilla": chinchilla, "palm": palm, "megatron": megatron, "torch": torch,
    "macs": lambda given: torch(given, share=2), "exact": exact, "all-operations": elementary,
}  # fmt: skip
"""What each convention must give, known from elsewhere."""


def printed(name: str, given: Convention) -> Iterator[Instance]:
    """The printed formulas, or the closed forms of code, of a convention, under a price list."""
    yield from ORACLES[name](given)


_PHASES: tuple[Phase, ...] = ("forward", "backward", "training")


def other_totals(name: str, wrong: Convention) -> tuple[str, ...]:
    """The families and phases that cost another number under a price list: all, and papers' own networks."""
    return tuple(_other(CONVENTIONS[name], wrong))


def _other(given: Convention, wrong: Convention) -> Iterator[str]:
    if given.unit != wrong.unit:
        yield "unit"
    for about, whole in _subjects():
        for phase in _PHASES:
            for of in (flops, flops_of_all):
                one, two = (of(whole, each, phase).expr for each in (given, wrong))
                if one != two and expand(one - two) != 0:
                    yield f"{phase}, {about}"


@cache
def _subjects() -> tuple[tuple[str, Expr], ...]:
    """A family of each kind, plain and recomputed, and the networks of papers."""
    known = [(name, network(name)) for name in families(few)]
    again = [(f"{name}, recomputed", Recomputed(whole)) for name, whole in known]
    return (*known, *again, ("plain GPT", plain_gpt()), ("GPT, recomputed", recomputed_gpt()))


__all__ = ["ABOUT", "ORACLES", "other_totals", "plain_gpt", "priced_laws", "printed"]
