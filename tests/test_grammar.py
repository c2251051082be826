"""The grammar of formulas from outside: what it reads, what it refuses, and that nothing else ever happens."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sympy import Rational, expand

from symflops.arithmetic import Value, as_expression, at_most, inexact, value
from symflops.errors import SymflopsError
from symflops.grammar import FUNCTIONS, FormulaError, names, parse
from symflops.notation import symbol

NAMES = {"a": Fraction(7), "b": Fraction(3, 2), "c": Fraction(1, 5)}
LEAVES = st.sampled_from([(name, number) for name, number in NAMES.items()]) | st.integers(0, 99).map(
    lambda number: (str(number), Fraction(number))
) | st.decimals(0, 99, places=2).map(lambda number: (str(number), Fraction(number)))  # fmt: skip
Written = tuple[str, Fraction]


def joined(two: tuple[Written, Written], operator: str) -> Written:
    """A text and its value, by Python's own fractions."""
    (left, one), (right, other) = two
    found = {"+": one + other, "-": one - other, "*": one * other}
    return f"({left}) {operator} ({right})", found[operator]


FORMULAS: st.SearchStrategy[Written] = st.recursive(
    LEAVES,
    lambda part: (
        st.tuples(st.tuples(part, part), st.sampled_from("+-*")).map(lambda each: joined(*each))
        | st.tuples(part, LEAVES.filter(lambda each: each[1] != 0)).map(
            lambda two: (f"({two[0][0]}) / {two[1][0]}", two[0][1] / two[1][1])
        )
        | st.tuples(part, st.integers(0, 3)).map(lambda two: (f"({two[0][0]})**{two[1]}", two[0][1] ** two[1]))
        | part.map(lambda one: (f"-({one[0]})", -one[1]))
    ),
    max_leaves=6,
)  # fmt: skip


@given(FORMULAS.filter(lambda each: "0)**0" not in each[0]))
def test_a_formula_is_worth_what_fractions_say(written: Written) -> None:
    text, expected = written
    try:
        found = value(parse(text), NAMES)
    except FormulaError as refused:
        assert "raises zero" in str(refused)
    else:
        assert found == expected


@given(FORMULAS)
def test_the_closed_form_has_the_same_value(written: Written) -> None:
    text, expected = written
    sizes = {"a": symbol("n_layer"), "b": symbol("d_model"), "c": symbol("n_head")}
    try:
        form = as_expression(parse(text), sizes.__getitem__)
    except FormulaError:
        return
    numbers = {sizes[name]: Rational(each.numerator, each.denominator) for name, each in NAMES.items()}
    assert expand(form).subs(numbers) == Rational(expected.numerator, expected.denominator)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 - 3 - 4", -5), ("2 - (3 - 4)", 3), ("12/2/3", 2), ("2*3**2", 18), ("-2**2", -4), ("2**-1", Fraction(1, 2)),
        ("2**3**2", 512), ("2^10", 1024), ("3 − 1", 2), ("3 × 2 · 4", 24), ("1.5e3", 1500), (".5", Fraction(1, 2)),
        ("ceil(8*4096/3/256)*256", 11008), ("floor(-1/2)", -1), ("round(5/2)", 3), ("round(2.4)", 2), ("sqrt(144)", 12),
        ("sqrt(9/4)", Fraction(3, 2)), ("max(1, 2, 3) - min(4, 5)", -1), ("abs(-7)", 7), ("log2(8) - log10(1000)", 0),
        ("exp(0)", 1), ("312e12", 312 * 10**12),
    ],
)  # fmt: skip
def test_what_formulas_say(text: str, expected: int | Fraction) -> None:
    assert float(value(parse(text), {})) == float(expected)


def test_irrational_values_have_fifty_digits() -> None:
    found: Value = value(parse("sqrt(2)*sqrt(2) - 2"), {})
    assert at_most(found, Fraction(1, 10**45)) and at_most(Fraction(-1, 10**45), found)
    assert str(inexact(Fraction(1, 3)))[:40] == "0.33333333333333333333333333333333333333"


REFUSED = (
    "", " ", "2 +", "(2", "2)", "2 3", "a b", "f(1)", "__import__('os')", "a..b", "1..2", "2**", "sqrt()",
    "sqrt(1, 2)", "lambda: 0", "a[0]", "a = b", "'a'", "a if b else c", "1e99999", "1" * 200,
    "(" * 60 + "1" + ")" * 60, "-" * 60 + "1", "2" + "**2" * 60, "a,b", "max(", "é", "a;b", "a\x00b", "0x10", "1_000",
    "1 // 2", "5 % 2",
)  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_formula_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(FormulaError, match="is no formula") as refused:
        parse(text)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 600


@pytest.mark.parametrize(
    "text",
    ["9**9**9**9", "2**100000", "exp(1e9)", "exp(exp(100))", "1/0", "0**-1", "0**0", "(-1)**0.5", "log(0)", "log2(-1)",
     "sqrt(-1)", "(1e300)**(1e300)", "x", "a.__class__", "ceil", "10**400*10**400*10**400" + "*10**400" * 20],
)  # fmt: skip
def test_what_has_no_value_is_refused_at_once(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(FormulaError):
        value(parse(text), {})
    assert time.perf_counter() - started < 2


def test_a_degree_that_no_cost_has_is_refused_before_it_is_multiplied_out() -> None:
    for text in ("(n_layer + d_model)**99", "((n_layer + d_ff)**8)**8", "*".join(["(n_layer + d_model)"] * 30)):
        with pytest.raises(FormulaError, match="degree"):
            as_expression(parse(text), symbol)


@given(
    st.text(alphabet="abc_.0123456789+-*/^() ,e−×·%é'\"[]{}=\n\\lgmaxinsqrtceil", max_size=60) | st.text(max_size=40)
)
@example("a" * 2001)
@example("+".join("a" * 1000))
@example("max(" * 41)
def test_any_text_is_a_formula_or_refused(text: str) -> None:
    try:
        tree = parse(text)
        found = value(tree, {name: Fraction(2) for name in names(tree)})
    except SymflopsError as refused:
        assert isinstance(refused, FormulaError) and "\n" not in str(refused).replace("\\n", "")
    else:
        assert found == found


def test_every_function_is_there_in_both_ways() -> None:
    for function in FUNCTIONS:
        text = f"{function}(2)"
        number, form = value(parse(text), {}), as_expression(parse(text), symbol)
        assert abs(float(number) - float(form)) < 1e-12
