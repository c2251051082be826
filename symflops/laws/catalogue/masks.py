"""How many pairs of tokens a mask lets through: counts that loops confirm, and what lies between which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from sympy import Expr, Integer

from symflops.laws.catalogue.asking import at_most, of_flops
from symflops.laws.catalogue.predicted import predicted
from symflops.laws.catalogue.subjects import attends, over
from symflops.laws.cost import Case, Cost
from symflops.laws.law import Instance, Law, counted, proved, same
from symflops.masks import AttendedPairs, Causal, CausalTopLeft, Full, Prefix, SlidingWindow
from symflops.networks import uses
from symflops.notation import n_past, n_prefix, n_query, n_seq, n_window

Mask = type[AttendedPairs]
MASKS: tuple[Mask, ...] = (Full, Causal, CausalTopLeft, SlidingWindow, Prefix)
_SIZES, _EXTRA = range(1, 6), range(1, 8)
_OVER_PAIRS = frozenset({"scores", "softmax", "mix"})


@dataclass(frozen=True)
class Masks:
    """A law shown of masks: what it says ``of`` one, and which ones it is about. Called, it is shown of all of them."""

    of: Callable[[Mask], Iterable[Instance]]
    masks: tuple[Mask, ...]

    def __call__(self) -> Iterator[Instance]:
        for mask in self.masks:
            yield from self.of(mask)


def of_masks(core: Callable[[Mask], Iterable[Instance]], *masks: Mask) -> Masks:
    """What a law says of each mask, by default of all there are."""
    return Masks(core, masks or MASKS)


def looped(mask: Mask) -> Iterator[Instance]:
    """The closed form counts the pairs that the mask's own question lets through, one by one."""
    for query, key in product(_SIZES, _SIZES):
        for extra in product(*(_EXTRA for _ in mask.extra)):
            pairs = mask(query, key, *extra)
            found = sum(pairs.attends(i, j) for i, j in product(range(query), range(key)))
            yield counted(str(pairs), pairs.doit(), found)


def within(mask: Mask) -> Iterator[Instance]:
    """No more pairs than there are, at least one key for each query."""
    length = n_prefix + n_past if mask is Prefix else n_window + n_past
    pairs = mask(length, length, *({"n_window": n_window, "n_prefix": n_prefix}[name] for name in mask.extra))
    yield proved(f"{mask.__name__}: at most dense", pairs.doit() <= pairs.dense)
    yield proved(f"{mask.__name__}: at least one key each", pairs.doit() >= length)


def ask_within(cost: Cost, case: Case) -> Iterator[Instance]:
    """A cost over fewer pairs is no more than one over all of them."""
    dense = predicted(replace(cost.claims, pairs="dense"), case)
    yield at_most(cost, case, cost.of(case), dense, f"{cost.claims.pairs} pairs against all of them")


def diagonal(mask: Mask) -> Iterator[Instance]:
    """Twice the causal pairs are all pairs and the diagonal again, and what is masked is half of the rest."""
    pairs = mask(n_seq, n_seq)
    yield same(f"{mask.__name__}: twice", 2 * pairs.doit(), pairs.dense + n_seq)
    yield same(f"{mask.__name__}: masked", pairs.dense - pairs.doit(), n_seq * (n_seq - 1) / 2)


def wide(mask: Mask) -> Iterator[Instance]:
    """A window as long as the sequence, or longer, masks nothing more."""
    for more in (Integer(0), n_past):
        pairs = mask(n_seq, n_seq, n_seq + more)
        yield same(str(pairs), pairs.doit(), Causal(n_seq, n_seq).doit())


def narrow(mask: Mask) -> Iterator[Instance]:
    """A window inside the sequence: a triangle at its start, then as many keys for each query as it is long."""
    pairs = mask(n_window + n_past, n_window + n_past, n_window)
    yield same(str(pairs), pairs.doit(), n_window * (n_window + 1) / 2 + n_past * n_window)


def growing(mask: Mask) -> Iterator[Instance]:
    """A longer window lets through no fewer pairs, and never more than causal ones."""
    length = n_window + n_past
    pairs, more = (mask(length, length, size).doit() for size in (n_window, n_window + 1))
    yield proved(f"{mask.__name__}: longer", pairs <= more)
    yield proved(f"{mask.__name__}: causal", pairs <= Causal(length, length).doit())


def between(mask: Mask) -> Iterator[Instance]:
    """A prefix lies between causal and dense: a prefix of one key is the one, of all keys the other."""
    length = n_prefix + n_past
    pairs, causal = mask(length, length, n_prefix), Causal(length, length)
    yield proved(f"{mask.__name__}: at least causal", causal.doit() <= pairs.doit())
    yield proved(f"{mask.__name__}: at most dense", pairs.doit() <= pairs.dense)
    yield same(f"{mask.__name__}: of one key", mask(n_seq, n_seq, 1).doit(), Causal(n_seq, n_seq).doit())
    yield same(f"{mask.__name__}: of all keys", mask(n_seq, n_seq, n_seq).doit(), n_seq**2)


def aligned(mask: Mask) -> Iterator[Instance]:
    """Where there are as many queries as keys, both alignments are one; else they are not."""
    yield same(f"{mask.__name__} on a square", mask(n_seq, n_seq).doit(), Causal(n_seq, n_seq).doit())
    found = mask(1, n_past + 1).doit() != Causal(1, n_past + 1).doit()
    yield Instance(f"{mask.__name__} of one query", bool(found), "proved", "1", "n_past + 1")


def chunked(mask: Mask) -> Iterator[Instance]:
    """The pairs of some tokens, and of those after them, are the pairs of all: so of any cut."""
    extra = tuple(n_window for _ in mask.extra)
    first, rest = mask(n_past, n_past, *extra), mask(n_query, n_past + n_query, *extra)
    whole = mask(n_past + n_query, n_past + n_query, *extra)
    yield same(mask.__name__, first.doit() + rest.doit(), whole.doit())


def shared(name: str, whole: Expr) -> Iterator[Instance]:
    """In an attention, scores, softmax and mix are over the same pairs."""
    masks: dict[str, set[AttendedPairs]] = {}
    for use in uses(whole):
        if use.operation.mask is not None and use.operation.role in _OVER_PAIRS:
            masks.setdefault(f"{use.path.rpartition('/')[0]}, {use.runs}", set()).add(use.operation.mask)
    for place, found in masks.items():
        yield Instance(f"{name}: {place}", len(found) == 1, "proved", ", ".join(sorted(map(str, found))))


LAWS: tuple[Law, ...] = (
    Law(
        "mask-counts-are-loops",
        r"|\{(i, j)\}| = \sum_i \sum_j [j \text{ attends to } i]",
        "The closed form of a mask counts the pairs that its own question lets through.",
        "counting one by one",
        "1 to 5 queries and keys, windows and prefixes of 1 to 7",
        "every mask",
        of_masks(looped),
        by="oracle",
    ),
    Law(
        "masked-at-most-dense",
        r"n \le |\mathrm{pairs}| \le n^2",
        "A mask lets through no more pairs than there are, and each query sees a key.",
        "counting",
        "all lengths from the window's or prefix's own on",
        "every mask on whole sequences; any cost over fewer than all pairs",
        of_masks(within),
        ask_within,
        lambda claims: of_flops(claims) and claims.pairs != "dense",
    ),
    Law(
        "causal-is-half-and-the-diagonal",
        r"n^2 - \tfrac{n(n+1)}{2} = \tfrac{n(n-1)}{2}",
        "Causal pairs are half of all pairs and half of the diagonal.",
        "triangular numbers; the halves that Megatron and MaxText print leave out the diagonal",
        "all lengths",
        "causal masks of both alignments",
        of_masks(diagonal, Causal, CausalTopLeft),
    ),
    Law(
        "wide-window-is-causal",
        r"n_\mathrm{window} \ge n \Rightarrow |\mathrm{window}| = |\mathrm{causal}|",
        "A window as long as the sequence, or longer, is a causal mask.",
        "Beltagy et al. 2020, arXiv:2004.05150: a window reaches back so many keys",
        "all lengths",
        "sliding windows",
        of_masks(wide, SlidingWindow),
    ),
    Law(
        "narrow-window-is-a-band",
        r"|\mathrm{window}| = \tfrac{w(w+1)}{2} + (n - w)\,w",
        "A window inside the sequence is a triangle, then as many keys for each query as it is long.",
        "counting the band below the diagonal",
        "n_window <= n_seq",
        "sliding windows",
        of_masks(narrow, SlidingWindow),
    ),
    Law(
        "window-grows-to-causal",
        r"|\mathrm{window}_w| \le |\mathrm{window}_{w+1}| \le |\mathrm{causal}|",
        "A longer window lets through no fewer pairs, and never more than a causal mask.",
        "counting",
        "n_window <= n_seq",
        "sliding windows",
        of_masks(growing, SlidingWindow),
    ),
    Law(
        "prefix-between-causal-and-dense",
        r"|\mathrm{causal}| \le |\mathrm{prefix}| \le n^2",
        "A prefix lies between a causal mask, which it is with one key, and none at all, which it is with all keys.",
        "Raffel et al. 2020, arXiv:1910.10683, section 3.2.1: causal with a prefix",
        "n_prefix <= n_seq",
        "prefix masks",
        of_masks(between, Prefix),
    ),
    Law(
        "alignments-agree-on-squares",
        r"n_\mathrm{query} = n_\mathrm{key} \Rightarrow |\mathrm{top\ left}| = |\mathrm{bottom\ right}|",
        "Where there are as many queries as keys, both alignments of a causal mask are one; else they are not.",
        "torch's is_causal against FlashAttention 2.1",
        "all lengths",
        "causal masks from the top left",
        of_masks(aligned, CausalTopLeft),
    ),
    Law(
        "pairs-add-over-chunks",
        r"|\mathrm{pairs}(a, a)| + |\mathrm{pairs}(b, a + b)| = |\mathrm{pairs}(a + b, a + b)|",
        "The pairs of some tokens, and of those after them, are the pairs of all, so that any cut counts the same.",
        "each query sees the same keys, whichever chunk it is in",
        "all lengths and windows",
        "causal masks and sliding windows",
        of_masks(chunked, Causal, SlidingWindow),
    ),
    Law(
        "one-mask-for-scores-and-mix",
        r"|\mathrm{pairs}_{QK^T}| = |\mathrm{pairs}_{AV}|",
        "Scores, softmax and mix of an attention run over the same pairs.",
        "xformers#1402 counted different pairs for the two matmuls",
        "all sizes",
        "every attention of every family",
        over(shared, attends),
    ),
)
