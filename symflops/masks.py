r"""How many (query, key) pairs an attention looks at: one unevaluated object, used by the scores and the mix alike.

A mask is declared by its predicate ``attends(i, j)``, whether query ``i`` sees key ``j``; its count is a closed form in
the number of queries and keys, exact for all positive sizes. All counts come from one staircase: the pairs with
:math:`j \le i + s` are ``T(q+s) - T(s) - T(q+s-k) + T(s-k)``, where ``T(x)`` is the triangular number of ``max(x, 0)``.

>>> from symflops.notation import n_seq
>>> Causal(n_seq, n_seq)
Causal(n_seq, n_seq)
>>> Causal(n_seq, n_seq).doit()
n_seq*(n_seq + 1)/2
>>> Causal(n_seq, n_seq).dense
n_seq**2
"""

from __future__ import annotations

from typing import Any

from sympy import Expr, Integer, Max, Min, Rational, sympify
from sympy.logic.boolalg import Boolean

from symflops.errors import SizeError


def triangular(count: Expr) -> Expr:
    """``1 + 2 + … + count``, and 0 where ``count`` is negative."""
    rows = Max(count, 0)
    return rows * (rows + 1) * Rational(1, 2)


def staircase(n_query: Expr, n_key: Expr, shift: Expr) -> Expr:
    """Pairs with ``0 <= i < n_query``, ``0 <= j < n_key`` and ``j <= i + shift``, for a shift of any sign.

    >>> staircase(Integer(3), Integer(5), Integer(2))
    12
    """
    top = n_query + shift
    return triangular(top) - triangular(shift) - triangular(top - n_key) + triangular(shift - n_key)


def _length(size: Any) -> Expr:
    value = size if isinstance(size, bool | str) or size is None else sympify(size, strict=True)
    if not isinstance(value, Expr) or (value.is_number and not (value.is_Integer and value >= 0)):
        raise SizeError(f"a mask over {size!r} positions; it must be a whole number of them, or symbols for one")
    return value


class AttendedPairs(Expr):
    """The number of attended pairs, unevaluated until a convention asks: ``doit()`` counts exactly, ``dense`` all.

    Arguments: query length, key length, then what the mask adds. A subclass gives ``attends`` and ``_exact``; here
    nothing is masked.
    """

    is_commutative = True
    is_integer = True
    is_nonnegative = True
    extra: tuple[str, ...] = ()

    def __new__(cls, *sizes: Any) -> AttendedPairs:
        if len(sizes) != 2 + len(cls.extra):
            raise SizeError(f"{cls.__name__} takes {', '.join(('n_query', 'n_key', *cls.extra))}, not {sizes}")
        return Expr.__new__(cls, *map(_length, sizes))  # type: ignore[no-any-return]

    @property
    def n_query(self) -> Expr:
        """Query positions."""
        return self.args[0]

    @property
    def n_key(self) -> Expr:
        """Key positions."""
        return self.args[1]

    @property
    def dense(self) -> Expr:
        """All pairs, as a kernel that skips nothing computes them."""
        return self.n_query * self.n_key

    @property
    def domain(self) -> tuple[Boolean, ...]:
        """The sizes for which the mask means something; the count itself is exact for all positive sizes."""
        return ()

    @property
    def reach(self) -> Expr:
        """Keys that the next query can still see: what a cache has to keep."""
        return self.n_key

    def __int__(self) -> int:
        return int(self._exact())

    def doit(self, **_: Any) -> Expr:
        """The exact count, in closed form."""
        return self._exact()

    def _eval_simplify(self, **_: Any) -> AttendedPairs:
        """Itself: a network that sympy simplifies keeps its mask."""
        return self

    def attends(self, i: int, j: int) -> bool:
        """Whether query ``i`` sees key ``j`` (both from 0), at concrete sizes: the definition of the mask."""
        return True

    def _exact(self) -> Expr:
        return self.dense


class Full(AttendedPairs):
    """Every query sees every key.

    >>> Full(3, 5).doit()
    15
    """

    def attends(self, i: int, j: int) -> bool:
        return True


class Causal(AttendedPairs):
    """Query ``i`` sees the keys up to its own position, the last query being at the last key (bottom-right).

    This is the alignment of decoding with a cache and of FlashAttention 2.1 and later.

    >>> Causal(1, 8).doit(), Causal(3, 5).doit()
    (8, 12)
    """

    @property
    def shift(self) -> Expr:
        """The last key that query 0 sees."""
        return self.n_key - self.n_query

    @property
    def domain(self) -> tuple[Boolean, ...]:
        return (self.n_key >= self.n_query,)

    def attends(self, i: int, j: int) -> bool:
        return bool(j <= i + self.shift)

    def _exact(self) -> Expr:
        return staircase(self.n_query, self.n_key, self.shift)


class CausalTopLeft(Causal):
    """Query ``i`` sees the keys ``0 … i``, the first query being at the first key.

    This is the alignment of ``is_causal=True`` in torch's ``scaled_dot_product_attention``.

    >>> CausalTopLeft(3, 5).doit()
    6
    """

    @property
    def shift(self) -> Expr:
        return Integer(0)

    @property
    def domain(self) -> tuple[Boolean, ...]:
        return ()


class SlidingWindow(Causal):
    """Causal (bottom-right), and no further back than ``n_window`` keys, the query's own among them.

    >>> SlidingWindow(6, 6, 2).doit(), SlidingWindow(6, 6, 2).reach
    (11, 2)
    >>> SlidingWindow(6, 6, 9).doit() == Causal(6, 6).doit()
    True
    """

    extra = ("n_window",)

    @property
    def reach(self) -> Expr:
        return Min(self.n_key, self.args[2])

    def attends(self, i: int, j: int) -> bool:
        return super().attends(i, j) and bool(j > i + self.shift - self.args[2])

    def _exact(self) -> Expr:
        return super()._exact() - staircase(self.n_query, self.n_key, self.shift - self.args[2])


class Prefix(Causal):
    """Causal (bottom-right), and every query sees the first ``n_prefix`` keys.

    >>> Prefix(6, 6, 3).doit()
    24
    """

    extra = ("n_prefix",)

    @property
    def domain(self) -> tuple[Boolean, ...]:
        return (*super().domain, self.args[2] <= self.n_key)

    def attends(self, i: int, j: int) -> bool:
        return bool(j < self.args[2]) or super().attends(i, j)

    def _exact(self) -> Expr:
        prefix = Min(self.args[2], self.n_key)
        return super()._exact() + self.n_query * prefix - staircase(self.n_query, prefix, self.shift)
