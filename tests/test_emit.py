"""Each emitted language, run, against sympy's own substitution."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sympy import Max, Min, Mod, Piecewise, Rational, Symbol, ceiling, floor

from symflops.emit import LANGUAGES, emit
from symflops.emit.program import UnsupportedFormula
from symflops.errors import SizeError, UnknownName
from symflops.notation import d_model, n_batch, n_head, n_layer, n_seq, n_window

SYMBOLS = (n_head, n_layer, n_seq, n_window)
FORMULAS: tuple[Any, ...] = (
    6 * n_layer * n_seq + 0 * n_head,
    n_seq * (n_seq + 1) / 2 - n_window * (n_window - 1) / 2,
    n_head * Max(0, n_seq - n_window) * (Max(0, n_seq - n_window) + 1) / 2,
    Min(n_seq, n_window, 3 * n_head) ** 3 - 7 * n_layer,
    floor((n_seq - 3 * n_window) / 4) + ceiling(n_layer / n_head),
    Mod(n_seq - 50, 7) * n_head - 10**20,
    Piecewise((n_seq * n_window / 2, n_seq < n_window), (n_head, True)),
    n_seq / n_head + Rational(1, 3),
    n_head / (n_seq - n_window),
    Rational(5, 7) * n_seq**5 + n_layer**2 / 4 - n_head**3 * 10**30 / 9,
)
POINTS = ((1, 1, 1, 2), (4, 3, 8, 5), (2, 9, 100, 17), (7, 12, 33, 66), (3, 6, 9, 8))
HUGE = (10**30, 10**30 + 1, 10**30 + 2, 10**29)
NAMES = [f"f{number}" for number in range(len(FORMULAS))]


def right(formula: Any, point: tuple[int, ...]) -> Fraction | None:
    """The value by sympy alone; None where the formula divides by zero."""
    found = formula.subs(dict(zip(SYMBOLS, point, strict=True)))
    return Fraction(int(found.p), int(found.q)) if found.is_finite else None


def arguments(formula: Any, point: tuple[int, ...]) -> list[int]:
    """The sizes that a formula has, in the order of an emitted function."""
    return [size for symbol, size in zip(SYMBOLS, point, strict=True) if symbol in formula.free_symbols]


def defined(text: str, name: str) -> Any:
    """The Python function that a text defines."""
    space: dict[str, Any] = {}
    exec(compile(text, name, "exec"), space)
    return space[name]


@pytest.mark.parametrize(("name", "formula"), list(zip(NAMES, FORMULAS, strict=True)))
def test_python(name: str, formula: Any) -> None:
    function = defined(emit(formula, "python", name), name)
    assert str(formula) in function.__doc__
    for point in (*POINTS, HUGE):
        if right(formula, point) is not None:
            found = function(*arguments(formula, point))
            assert type(found) in (int, Fraction) and found == right(formula, point)


@pytest.mark.parametrize(("name", "formula"), list(zip(NAMES, FORMULAS, strict=True)))
def test_numpy(name: str, formula: Any) -> None:
    function = defined(emit(formula, "numpy", name), name)
    for point in (*POINTS, HUGE):
        value, wide = right(formula, point), max(point) >= 2**63
        arrays = [np.array([size] * 2, object if wide else np.int32) for size in arguments(formula, point)]
        if value is None or value.denominator > 1:
            with pytest.raises((ValueError, FloatingPointError, OverflowError)):
                function(*arrays)
            continue
        try:
            found = function(*arrays)
        except OverflowError:
            found = function(*(array.astype(object) for array in arrays))
        assert found.tolist() == [value] * 2


def test_numpy_reports_a_planted_overflow() -> None:
    trap = defined(emit(6 * n_layer * n_seq, "numpy"), "cost")
    assert trap(np.array([2]), np.array([3, 4])).tolist() == [36, 48]
    with pytest.raises(OverflowError, match="dtype object"):
        trap(np.array([405 * 10**9]), np.array([15 * 10**12]))
    with pytest.raises(OverflowError):
        trap(np.array([2**63], np.uint64), 1)
    exact = trap(np.array([405 * 10**9], object), np.array([15 * 10**12]))
    assert exact.tolist() == [36_450_000_000_000_000_000_000_000]


@pytest.mark.parametrize(("bad", "error"), [([1.5], TypeError), ([0], ValueError), ([-1], ValueError)])
def test_numpy_refuses_bad_sizes(bad: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        defined(emit(6 * n_seq, "numpy"), "cost")(bad)


@pytest.fixture(scope="module")
def c_answers(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, tuple[int, ...]], tuple[int, int]]:
    """Status and value of every emitted C function at every point, and at planted overflows, from one program."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed, so the emitted C cannot be run")
    folder = tmp_path_factory.mktemp("c")
    queries = [(n, a) for n, f, a in _c_queries()]
    calls = "".join(
        f"    status = {n}({', '.join(map(_c_integer, a))}, &v);\n    show(status, v);\n    v = 0;\n"
        for n, a in queries
    )
    functions = "".join(emit(formula, "c", name) for name, formula in zip(NAMES, FORMULAS, strict=True))
    text = f"#include <stdio.h>\n{functions}{_SHOW}{_MAIN.format(calls=calls)}"
    (folder / "all.c").write_text(text)
    build = ["gcc", "-std=gnu99", "-Wall", "-Werror", "-O1", "-fsanitize=undefined", "all.c", "-o", "all"]
    subprocess.run(build, cwd=folder, check=True)
    lines = subprocess.run([folder / "all"], check=True, capture_output=True, text=True).stdout.splitlines()
    return {query: tuple(map(int, line.split())) for query, line in zip(queries, lines, strict=True)}  # type: ignore[misc]


_SHOW = """
static void show(int status, __int128 v)
{
    char digits[64];
    int n = 0;
    unsigned __int128 left = v < 0 ? -(unsigned __int128)v : (unsigned __int128)v;
    do { digits[n++] = '0' + (int)(left % 10); left /= 10; } while (left);
    printf("%d %s", status, v < 0 ? "-" : "");
    while (n) putchar(digits[--n]);
    putchar('\\n');
}
"""


_MAIN = """
int main(void)
{{
    __int128 v = 0;
    int status;
{calls}    return 0;
}}
"""


def _c_integer(size: int) -> str:
    return f"((__int128){size // 10**18}LL * 1000000000000000000LL + {size % 10**18}LL)"


def _c_queries() -> list[tuple[str, Any, tuple[int, ...]]]:
    points = (*POINTS, HUGE, (1, 1, 0, 1))
    return [(n, f, tuple(arguments(f, p))) for n, f in zip(NAMES, FORMULAS, strict=True) for p in points]


def test_c(c_answers: dict[tuple[str, tuple[int, ...]], tuple[int, int]]) -> None:
    seen = set()
    for (name, sizes), (status, found) in c_answers.items():
        formula = FORMULAS[NAMES.index(name)]
        names = sorted(symbol.name for symbol in formula.free_symbols)
        point = tuple(dict(zip(names, sizes, strict=True)).get(symbol.name, 1) for symbol in SYMBOLS)
        value = right(formula, point)
        seen.add(status)
        if min(sizes) < 1:
            assert status == 3
        elif value is None:
            assert status in (1, 4)
        elif status == 1:
            assert max(sizes) > 10**9 or name == NAMES[-1]
        elif value.denominator > 1:
            assert status == 2
        else:
            assert status == 0 and found == value
    assert seen >= {0, 1, 2, 3}


def test_c_reports_a_planted_overflow(c_answers: dict[tuple[str, tuple[int, ...]], tuple[int, int]]) -> None:
    layers, tokens = HUGE[1], HUGE[2]
    assert 6 * layers * tokens >= 2**127
    assert c_answers[NAMES[0], (layers, tokens)] == (1, 0)


def test_c_refuses_coefficients_beyond_128_bits() -> None:
    with pytest.raises(UnsupportedFormula, match="128"):
        emit(10**40 * n_seq, "c")


def test_javascript(tmp_path: Path) -> None:
    if not shutil.which("node"):
        pytest.skip("node is not installed, so the emitted JavaScript cannot be run")
    functions = "".join(emit(formula, "javascript", name) for name, formula in zip(NAMES, FORMULAS, strict=True))
    queries = [
        (n, f, p, [str(size) for size in arguments(f, p)])
        for n, f in zip(NAMES, FORMULAS, strict=True)
        for p in (*POINTS, HUGE)
    ]
    given = json.dumps([(name, sizes) for name, _, _, sizes in queries])
    runner = (
        f"const all = {{{', '.join(NAMES)}}};\nconst run = ([name, sizes]) => {{ try {{ "
        "return String(all[name](...sizes.map(BigInt))); } catch (error) { return error.name; } };\n"
        f"console.log(JSON.stringify({given}.map(run)));\n"
    )
    (tmp_path / "all.mjs").write_text(functions + runner)
    done = subprocess.run(["node", tmp_path / "all.mjs"], check=True, capture_output=True, text=True)
    for (_, formula, point, _), found in zip(queries, json.loads(done.stdout), strict=True):
        value = right(formula, point)
        assert found == ("RangeError" if value is None or value.denominator > 1 else str(value))


def test_latex_is_balanced_and_needs_no_package() -> None:
    for formula in FORMULAS:
        text = emit(formula, "latex", "flops_forward")
        assert text.startswith(r"\[ \mathrm{flops\_forward} = ") and text.endswith(r" \]")
        braces = re.findall(r"(?<!\\)[{}]", text)
        assert braces.count("{") == braces.count("}")
        assert len(re.findall(r"\\left(?![a-z])", text)) == len(re.findall(r"\\right(?![a-z])", text))
        assert not re.search(r"\\(text|begin\{cases\}|operatorname)", text)
    assert r"n_{\mathrm{seq}}" in emit(n_seq, "latex")


def test_latex_compiles(tmp_path: Path) -> None:
    if not shutil.which("pdflatex"):
        pytest.skip("pdflatex is not installed, so the emitted LaTeX cannot be compiled")
    body = "\n".join(emit(formula, "latex") for formula in FORMULAS)
    article = f"\\documentclass{{article}}\\begin{{document}}\n{body}\n\\end{{document}}\n"
    (tmp_path / "all.tex").write_text(article)
    subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"], cwd=tmp_path, check=True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_meanings_and_names(language: str) -> None:
    text = emit(n_batch * d_model, language, "total")
    assert "total" in text
    if language != "latex":
        assert "sequences in a batch" in text and "width of the residual stream" in text
    with pytest.raises(SizeError):
        emit(n_seq, language, "not a name")


def test_reserved_names_are_refused() -> None:
    odd = Symbol("double", positive=True, integer=True)
    assert "double" in emit(odd, "python")
    with pytest.raises(SizeError, match="double"):
        emit(odd, "c")
    with pytest.raises(SizeError, match="lambda"):
        emit(Symbol("lambda"), "python")
    with pytest.raises(SizeError):
        emit(Symbol("x); import os; ("), "python")
    with pytest.raises(UnknownName):
        emit(n_seq, "cobol")


def test_temporaries_keep_clear_of_arguments() -> None:
    t0 = Symbol("t0", positive=True, integer=True)
    function = defined(emit(Max(t0 * n_seq, 5) ** 2, "python"), "cost")
    assert function(7, 3) == 25 or function(3, 7) == 441
    assert function(n_seq=3, t0=7) == 441


def test_constants_are_formulas_too() -> None:
    assert defined(emit(Rational(7, 2), "python"), "cost")() == Fraction(7, 2)
    assert defined(emit(7, "numpy"), "cost")() == 7
