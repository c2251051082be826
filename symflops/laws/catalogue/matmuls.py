"""A matmul's weight costs two FLOPs for each token, and four more for its gradients: the root of 6N."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sympy import Add, Expr, Symbol

from symflops.conventions import Convention
from symflops.laws.catalogue.asking import Ask, on_tokens, steps, tested
from symflops.laws.catalogue.predicted import at, on_weights, passed, tokens_of, weighed
from symflops.laws.catalogue.subjects import matmuls, one_stream, operations, over
from symflops.laws.cost import Case, Cost
from symflops.laws.law import Instance, Law, same
from symflops.layers.convolution import Convolution
from symflops.measures import Phase, flops
from symflops.notation import d_ff, n_active, n_batch, n_kv_head, n_seq, n_vocab
from symflops.operations import Contraction, Operation

_PHASES: tuple[Phase, ...] = ("forward", "backward", "training")
Given = str | Convention
"""A convention, or its name."""


def twice_macs(name: str, whole: Expr, flop: Given = "torch", mac: Given = "macs") -> Iterator[Instance]:
    """FLOPs are twice the multiply-accumulates, in each phase."""
    for phase in _PHASES:
        yield same(f"{phase}, {name}", flops(whole, flop, phase).expr, 2 * flops(whole, mac, phase).expr)


def forward_two(name: str, whole: Expr) -> Iterator[Instance]:
    """Each weight of a matmul is met once by each vector that passes it."""
    for each in matmuls(whole):
        if not isinstance(each, Convolution):
            yield met_once(f"{each.name}, {name}", each)


def met_once(subject: str, operation: Operation) -> Instance:
    """Of one matmul: its multiply-accumulates are its weights times the points that its other axes span."""
    (weight,) = (each for each in operation.sentence.operands if each.name == "weight")
    other = frozenset(axis for each in operation.sentence.operands for axis in each.axes) - frozenset(weight.axes)
    return same(subject, operation.work["mac", "forward"], operation.numel(weight) * operation.elements(other))


def backward_two(name: str, whole: Expr) -> Iterator[Instance]:
    """Each operand that needs a gradient takes one forward pass of its matmul; what nobody needs is not computed."""
    for each in operations(whole):
        if isinstance(each, Contraction):
            yield gradients(f"{each.name}, {name}", each)


def gradients(subject: str, operation: Operation) -> Instance:
    """Of one matmul."""
    needed = len([factor for factor in operation.sentence.factors if factor.name not in operation.constants])
    backward = Add(*(amount for (kind, _), amount in operation.gradient_work.items() if kind == "mac"))
    return same(subject, backward, needed * operation.forward_work["mac", "forward"])


def slope(size: Symbol, role: str) -> Callable[[str, Expr], Iterator[Instance]]:
    """What one more of a size costs: two FLOPs for each token and each weight that there is more."""

    def core(name: str, whole: Expr) -> Iterator[Instance]:
        form = flops(whole, "exact").expr
        if size in form.free_symbols:
            weights = passed(whole, frozenset({role}))
            yield same(name, form.diff(size), 2 * n_batch * n_seq * weights.diff(size))

    return core


def ask_slope(size: Symbol) -> Ask:
    """The same of a cost function: other weights, and nothing else, make another cost."""

    def ask(cost: Cost, case: Case) -> Iterator[Instance]:
        pair = steps(case, size.name, _step(case, size), 2)
        if len(pair) == 2 and pair[0].sizes != pair[1].sizes:
            yield _slope(cost, *pair, size)

    return ask


def _slope(cost: Cost, less: Case, more: Case, size: Symbol) -> Instance:
    each = at(weighed(more.model.network, cost.claims), more) - at(weighed(less.model.network, cost.claims), less)
    about = f"{size} = {less.sizes[size.name]} and {more.sizes[size.name]}: {each} more for each token"
    return tested(cost, less, cost.of(more) - cost.of(less), each * tokens_of(cost.claims, less), about)


def _step(case: Case, size: Symbol) -> int:
    """A step to twice the size; of active experts to one more, of heads of keys and values to all there are."""
    if size == n_kv_head:
        return case.sizes.get("n_head", 1) - case.sizes.get("n_kv_head", 1)
    return 1 if size == n_active else case.sizes.get(size.name, 1)


LAWS: tuple[Law, ...] = (
    Law(
        "flops-are-two-macs",
        r"C_\mathrm{FLOP} = 2\,C_\mathrm{MAC}",
        "Where matmuls alone are counted, FLOPs are twice the multiply-accumulates.",
        "a multiply and an add; torch.utils.flop_counter against fvcore, ptflops and thop",
        "all sizes",
        "conventions torch and macs; every family and phase",
        over(twice_macs),
    ),
    Law(
        "weight-two-flops-forward",
        r"C_\mathrm{matmul} = 2\,N_\mathrm{weight}\,n_\mathrm{vectors}",
        "Each weight of a matmul is met once by each vector: one multiply-accumulate, two FLOPs.",
        "Kaplan et al. 2020, arXiv:2001.08361, section 2.1",
        "all sizes",
        "every matmul with a weight, of every family; of convolutions, whose weights meet many vectors, none",
        over(forward_two),
    ),
    Law(
        "backward-one-forward-each-gradient",
        r"C_\mathrm{backward} = n_\mathrm{gradients}\,C_\mathrm{forward}",
        "The gradient of each operand costs its matmul's forward pass: twice in all, less what nobody needs.",
        "the gradient of an einsum exchanges an operand and the result; Kaplan et al. 2020, section 2.1",
        "all sizes",
        "every matmul of every family, those without gradients among them",
        over(backward_two),
    ),
    Law(
        "feedforward-slope",
        r"\Delta C = 2\,\Delta N_\mathrm{feedforward}\ \text{for each token, thrice in training}",
        "A wider feed-forward layer costs two FLOPs for each token and weight that it has more, and nothing else does.",
        "dFLOPs/dparams; the cookbook's calculator ignored its own feed-forward width",
        "all sizes",
        "forward, backward and training; feed-forward layers that are matmuls over all tokens",
        over(slope(d_ff, "feedforward"), one_stream),
        on_tokens(ask_slope(d_ff)),
        on_weights,
    ),
    Law(
        "vocabulary-slope",
        r"\partial C/\partial n_\mathrm{vocab} = 2\,d_\mathrm{model}\ \text{for each token}",
        "One more token in the vocabulary costs one more row of logits, tied or not, and nothing else.",
        "dFLOPs/dparams of the logits; a token table is looked up unless it is claimed as a matmul or as parameters",
        "all sizes",
        "forward, backward and training; families with logits",
        over(slope(n_vocab, "logits"), one_stream),
        on_tokens(ask_slope(n_vocab)),
        on_weights,
    ),
    Law(
        "key-value-slope",
        r"\Delta C = 2\,\Delta N_{kv}\ \text{for each token}",
        "More heads of keys and values cost their two projections; scores, mix and output projection stay.",
        "Ainslie et al. 2023, arXiv:2305.13245: query heads share keys and values",
        "n_kv_head divides n_head",
        "forward, backward and training; families with grouped heads",
        over(slope(n_kv_head, "qkv"), one_stream),
        on_tokens(ask_slope(n_kv_head)),
        on_weights,
    ),
)
