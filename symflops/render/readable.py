"""Which of several ways to write an expression is the shortest to read."""

from __future__ import annotations

from collections import Counter

from sympy import Add, Expr, Mul, expand, factor_terms


def readable(expression: Expr) -> Expr:
    """The same expression, in the shortest of a few ways to write it; what comes in each layer stands together.

    >>> from symflops.notation import d_ff, d_head, d_model, n_head, n_kv_head, n_layer, n_vocab
    >>> layer = 3 * d_ff * d_model + 2 * d_head * d_model * n_head + 2 * d_head * d_model * n_kv_head
    >>> readable(n_layer * layer + d_model * n_vocab)
    d_model*(n_layer*(3*d_ff + 2*d_head*(n_head + n_kv_head)) + n_vocab)
    """
    expanded = expand(expression)
    return min((_nested(expanded), factor_terms(expanded), expanded), key=lambda each: len(str(each)))


def _nested(expanded: Expr) -> Expr:
    """What all terms share taken out; terms that share a size apart from the others, numbers of layers first."""
    if not isinstance(expanded, Add):
        return expanded
    factors = Mul.make_args(factor_terms(expanded))
    outside = [each for each in factors if not isinstance(each, Add)]
    sums = [_split(expand(each)) for each in factors if isinstance(each, Add)]
    # A number times a sum would be multiplied out.
    return Mul(*outside, *sums, evaluate=not (len(outside) == 1 and outside[0].is_number))


def _split(total: Expr) -> Expr:
    terms = Add.make_args(total)
    counts = Counter(each for term in terms for each in _bases(term) if each.is_Symbol)
    shared = [each for each, count in counts.items() if 1 < count < len(terms)]
    if not shared:
        return total
    chosen = max(sorted(shared, key=str), key=lambda each: (each.name.startswith("n_layer"), counts[each]))
    having = [term for term in terms if chosen in _bases(term)]
    return _nested(Add(*having)) + _nested(Add(*(term for term in terms if term not in having)))


def _bases(term: Expr) -> set[Expr]:
    return {factor.as_base_exp()[0] for factor in Mul.make_args(term)}
