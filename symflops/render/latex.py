r"""Words and formulas in LaTeX, with nothing but amsmath: whatever the text holds, it compiles and shows it.

>>> from symflops.notation import d_model, n_layer
>>> print(breakable(12 * n_layer * d_model))
12 \,\allowbreak{} d_{\mathrm{model}} \,\allowbreak{} n_{\mathrm{layer}}
"""

from __future__ import annotations

import re
import unicodedata

from sympy import Basic, Expr, S, Symbol, fraction
from sympy.core.alphabets import greeks
from sympy.printing.latex import LatexPrinter, latex, translate

from symflops.documents import Code
from symflops.render.wording import is_symbol, name_parts, spelled

_SPECIAL = {
    **{letter: rf"\{letter}" for letter in "_%&#${}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "\xa0": "~",
    "\xad": r"\-",
    "\x00": r"\allowbreak{}",
}
_SIGNS = {
    "≤": "leq", "≥": "geq", "≈": "approx", "≠": "neq", "≡": "equiv", "∼": "sim", "∝": "propto", "≪": "ll", "≫": "gg",
    "→": "to", "←": "leftarrow", "↔": "leftrightarrow", "⇒": "Rightarrow", "↦": "mapsto", "∞": "infty", "∑": "sum",
    "∏": "prod", "√": "surd", "∂": "partial", "∇": "nabla", "∈": "in", "∀": "forall", "∃": "exists", "⋅": "cdot",
    "·": "cdot", "×": "times", "÷": "div", "±": "pm", "∓": "mp", "−": "mathord{-}", "∗": "ast", "⌈": "lceil",
    "⌉": "rceil", "⌊": "lfloor", "⌋": "rfloor", "⟨": "langle", "⟩": "rangle", "′": "prime", "ℓ": "ell", "⊙": "odot",
    "⊕": "oplus", "⊗": "otimes", "∪": "cup", "∩": "cap", "⊂": "subset", "∧": "wedge", "∨": "vee", "¬": "neg",
    "✓": "surd", "✗": "times", "⋯": "cdots", "ϵ": "epsilon", "µ": "mu",
}  # fmt: skip
_LETTERS = "àáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿßăąćčďđęěğıľłńňőŕřśšşťţůűźžżœ–—‘’“”…•§¡¿„‚«»€"
_TYPED = frozenset(_LETTERS + _LETTERS.upper())
"""What the encodings of the page set as they are."""
_BREAK = "\x00"
_LONG_WORD, _PIECES = re.compile(r"[^\s*./:_,(]{24,}"), re.compile(r"\S{1,8}")
_LIGATURES = re.compile(r"(?<=-)(?=-)|(?<=,)(?=,)|(?<=')(?=')")
_GREEK = re.compile(r"GREEK (CAPITAL|SMALL) LETTER (\w+)")
LONG_FRACTION = 24
"""Letters of a numerator or denominator in ASCII that are too many for a fraction that does not break."""
QUANTITIES = {
    "N": "N",
    "C": "C",
    "C_forward": r"C_{\mathrm{forward}}",
    "C_backward": r"C_{\mathrm{backward}}",
}
"""How quantities that a sentence may name are set."""


def formula(expression: Basic) -> str:
    """An expression in the notation's LaTeX.

    >>> from symflops.notation import d_model
    >>> formula(4 * d_model)
    '4 d_{\\\\mathrm{model}}'
    """
    return str(latex(expression, symbol_names=_symbol_names(expression)))


def breakable(expression: Basic) -> str:
    """An expression in the notation's LaTeX that may break between any two factors or terms, so no line is too long."""
    settings = {"symbol_names": _symbol_names(expression), "mul_symbol": r" \,\allowbreak{} "}
    shown = str(_Breakable(settings).doprint(expression)).replace(", ", r",\allowbreak{} ")
    return shown.replace(r"\left(", "(").replace(r"\right)", ")")


class _Breakable(LatexPrinter):
    """sympy's printer, but for fractions: a long numerator or denominator would be a line that does not break."""

    def _print_Mul(self, expr: Expr) -> str:
        numerator, denominator = fraction(expr, exact=True)
        if denominator is S.One or max(len(str(numerator)), len(str(denominator))) <= LONG_FRACTION:
            return str(super()._print_Mul(expr))
        if expr.could_extract_minus_sign():
            return f"- {self._print_Mul(-expr)}"
        if len(str(denominator)) > LONG_FRACTION:
            return rf"{self._in_brackets(numerator)} / \allowbreak{{}} ({self._print(denominator)})"
        below = self._print(denominator)
        return rf"\frac{{1}}{{{below}}} \,\allowbreak{{}} {self._in_brackets(numerator)}"

    def _in_brackets(self, expression: Expr) -> str:
        shown = str(self._print(expression))
        return f"({shown})" if expression.is_Add else shown


def _symbol_names(expression: Basic) -> dict[Basic, str]:
    return {each: named(each.name) for each in expression.atoms(Symbol)}


def named(name: str) -> str:
    """The name of a size or a quantity as a formula: a letter in italics, words upright, the rest below it.

    >>> print(named("C_forward"), named("saved_bytes"), named("Psi"), named("n_layer_dense"))
    C_{\\mathrm{forward}} \\mathrm{saved\\ bytes} \\Psi n_{\\mathrm{dense\\ layer}}
    """
    letter, below = name_parts(name)
    if len(letter) > 1 and letter.lower() not in greeks:
        return _upright(f"{letter} {below}".strip())
    shown = str(translate(letter)) if letter.isascii() and letter.isalpha() else rf"\text{{{escaped(letter)}}}"
    if not below:
        return shown
    return f"{shown}_{{{below if below.isdigit() or len(below) == 1 else _upright(below)}}}"


def quantity(name: str) -> str:
    """The name of a quantity, as a formula or in words.

    >>> print(quantity("N"), quantity("bytes of a cache"))
    $N$ bytes of a cache
    """
    return f"${named(name)}$" if is_symbol(name) else prose(name)


def _upright(words: str) -> str:
    """
    >>> print(_upright("a b"), _upright("50%"))
    \\mathrm{a\\ b} \\text{50\\%}
    """
    plain = all(each.isascii() and (each.isalnum() or each in " ,") for each in words)
    return rf"\mathrm{{{words.replace(' ', chr(92) + ' ')}}}" if plain else rf"\text{{{escaped(words)}}}"


def prose(text: str) -> str:
    """A sentence with its special characters escaped; names of the notation are set in typewriter.

    >>> prose("5% of d_model*n_ctx")
    '5\\\\% of \\\\texttt{d\\\\_\\\\allowbreak{}model*\\\\allowbreak{}n\\\\_\\\\allowbreak{}ctx}'
    """
    return "".join(verbatim(part.text) if isinstance(part, Code) else _words(part) for part in spelled(text))


def _words(text: str) -> str:
    return escaped(text).replace("/", r"/\allowbreak{}")


def verbatim(text: str) -> str:
    """Text in typewriter, letter by letter, that may break after ``*``, ``.``, ``/``, ``:`` and ``_``.

    >>> verbatim("mlp.up_proj")
    '\\\\texttt{mlp.\\\\allowbreak{}up\\\\_\\\\allowbreak{}proj}'
    """
    shown = escaped(text).replace("'", r"\textquotesingle{}")
    return r"\texttt{" + re.sub(r"(\*|\.|/|:|,|\(|\\_)(?=\S)", r"\1\\allowbreak{}", shown) + "}"


def escaped(text: str) -> str:
    """Letters as they are; what TeX takes for a command is escaped, and a word longer than a line may break.

    >>> print(escaped("50% of a_b, x² ≤ Θ(n) -- naïve"))
    50\\% of a\\_b, x\\textsuperscript{2} \\ensuremath{\\leq} \\ensuremath{\\Theta}(n) -{}- naïve
    """
    broken = _LONG_WORD.sub(lambda word: _BREAK.join(_PIECES.findall(word.group())), text)
    return _LIGATURES.sub("{}", "".join(map(_letter, broken)))


def _letter(letter: str) -> str:
    if letter in _SPECIAL:
        return _SPECIAL[letter]
    if letter in _SIGNS:
        return rf"\ensuremath{{\{_SIGNS[letter]}}}"
    if " " <= letter <= "~" or letter in _TYPED:
        return letter
    return _rare(letter)


def _rare(letter: str) -> str:
    """A letter by its name or by what it is composed of; the number of one that has neither."""
    kind = unicodedata.decomposition(letter).partition(" ")[0]
    base = unicodedata.normalize("NFKD", letter)
    if kind in ("<super>", "<sub>"):
        return rf"\text{kind.strip('<>')}script{{{escaped(base)}}}"
    greek = _GREEK.fullmatch(unicodedata.name(base[0], ""))
    if greek is not None:
        return rf"\ensuremath{{{translate(greek[2].capitalize() if greek[1] == 'CAPITAL' else greek[2].lower())}}}"
    if letter.isspace():
        return " "
    if base != letter:
        return "".join(escaped(each) for each in base if not unicodedata.combining(each))
    return f"[U+{ord(letter):04X}]" if letter.isprintable() else ""
