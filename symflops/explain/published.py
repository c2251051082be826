"""Published formulas as data: what a paper or a tool counts, term by term, each term of operations by their roles.

>>> found = published()["palm-appendix-b"]
>>> found.title, found.phases
('PaLM, appendix B: 6N + 12LHQT', {'training': Fraction(1, 1)})
>>> [(term.roles.text, term.text) for term in found.terms]
[('every', '6*params'), ('scores, mix', '12*L*H*Q*T')]
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, cast

from sympy import Expr, Rational

from symflops.arithmetic import as_expression
from symflops.derivation import READING_ORDER
from symflops.errors import SymflopsError, UnknownName
from symflops.explain.quantities import QUANTITIES, TOKENS
from symflops.expressions import expression
from symflops.grammar import FormulaError, Tree, parse
from symflops.measures import Phase
from symflops.notation import d_model

FOLDER = Path(__file__).with_name("formulas")
ROLES = (*READING_ORDER, "softcap", "bias", "patch", "class", "head", "adapter")
"""The roles of operations that a term may name."""
PHASES = ("forward", "training")
PER = ("token", "batch")
CITED = ("authors", "year", "arxiv", "repository", "file", "function", "commit", "where")
_KEYS = ("id", "source", "title", "citation", "per", "phases", "recompute", "notation", "terms", "notes")
_TERM = ("of", "each", "formula")
_BUT = "every but "


class ExplainError(SymflopsError):
    """A formula that does not fit its schema, the phase or the architecture."""


@dataclass(frozen=True)
class Roles:
    """Which operations a term is of: those of some roles, or every one but some."""

    text: str
    named: tuple[str, ...]
    all_but: bool = False

    def among(self, roles: Iterable[str]) -> tuple[str, ...]:
        """Those of an architecture's roles that are meant."""
        return tuple(each for each in roles if (each in self.named) != self.all_but)


@dataclass(frozen=True)
class FormulaTerm:
    """A formula: of each operation by itself (``apart``), or of all of its operations together."""

    roles: Roles
    text: str
    tree: Tree
    apart: bool


@dataclass(frozen=True)
class Formula:
    """What a paper or tool counts. ``source`` is the derivation whose own formula it is, if any.

    ``phases`` says which phases it states, and how often its terms count in each.

    ``per`` is ``token`` or ``batch``; ``recompute`` says what of the forward pass is counted again, if anything.
    """

    name: str
    title: str
    citation: str
    per: str
    phases: Mapping[str, Fraction]
    notation: Mapping[str, Expr]
    terms: tuple[FormulaTerm, ...]
    recompute: str = "nothing"
    notes: str = ""
    source: str = ""

    def per_token(self, form: Expr, phase: str) -> Expr:
        """A term's form for one token, as often as it counts in a phase."""
        return form * Rational(self.phases[phase]) / (TOKENS if self.per == "batch" else 1)


def known_phase(phase: str) -> Phase:
    """A phase that formulas state. Raises `UnknownName` for another."""
    if phase not in PHASES:
        raise UnknownName("phase", phase, PHASES)
    return cast(Phase, phase)


@cache
def published() -> Mapping[str, Formula]:
    """Every formula that is shipped, by id.

    >>> sorted(published())[:3]
    ['chinchilla-6nd', 'chinchilla-appendix-f', 'chinchilla-table-a4']
    """
    read = [read_formula(path) for path in sorted(FOLDER.glob("*.yaml"))]
    return {each.name: each for each in read}


def read_formula(path: Path) -> Formula:
    """The formula that a file holds.

    Raises `ExplainError` for a file that cannot be read or does not fit: it names the key, what is allowed, the file.
    """
    import yaml

    try:
        # Every scalar stays the text that was written, and nothing but text, lists and mappings can come out.
        held = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except OSError as error:
        raise ExplainError(f"cannot read {path}: {error.strerror or error}") from None
    except (UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        raise ExplainError(f"{path} is no YAML file: {error}") from None
    try:
        return formula(held)
    except SymflopsError as error:
        raise ExplainError(f"{path.name}: {error}") from None


def formula(held: Any) -> Formula:
    """The formula that plain values say.

    >>> formula({"id": "mine", "title": "mine", "citation": {"year": "2026"}, "phases": {"training": "1"},
    ...          "notation": {}, "terms": [{"of": "logit", "formula": "6*d_model*n_vocab"}]})
    Traceback (most recent call last):
    symflops.errors.UnknownName: unknown role 'logit'; did you mean 'logits'? (known: activation, adapter, ...

    Raises `ExplainError` and `UnknownName` for what does not fit.
    """
    whole = _mapping(held, "a formula", _KEYS, needed=("id", "title", "citation", "phases", "terms"))
    notation = _notation(whole.get("notation") or {})
    per = whole.get("per", "token")
    if per not in PER:
        raise UnknownName("per", per, PER)
    if not isinstance(whole["terms"], list) or not whole["terms"]:
        raise ExplainError("terms is a list of at least one term")
    return Formula(
        name=_text(whole["id"], "id"),
        title=_text(whole["title"], "title"),
        citation=_citation(whole["citation"]),
        per=per,
        phases=_phases(whole["phases"]),
        notation=notation,
        terms=tuple(_term(each, notation) for each in whole["terms"]),
        recompute=_text(whole.get("recompute", "nothing"), "recompute"),
        notes=_text(whole.get("notes", ""), "notes"),
        source=_text(whole.get("source", ""), "source"),
    )


def _mapping(held: Any, what: str, known: Iterable[str], needed: Iterable[str] = ()) -> Mapping[str, Any]:
    if not isinstance(held, dict):
        raise ExplainError(f"{what} is a mapping with the keys {', '.join(known)}, not {str(held)[:40]!r}")
    for key in held:
        if key not in known:
            raise UnknownName(f"key of {what}", key, known)
    for key in needed:
        if key not in held:
            raise ExplainError(f"{what} needs the key {key!r}")
    return held


def _text(held: Any, what: str) -> str:
    if not isinstance(held, str):
        raise ExplainError(f"{what} is text, not {str(held)[:40]!r}")
    return held


def _texts(held: Any, what: str) -> Mapping[str, str]:
    return {key: _text(value, f"{what} {key}") for key, value in _mapping(held, what, held).items()}


def _notation(held: Any) -> Mapping[str, Expr]:
    letters = _texts(held, "notation")
    for letter in letters:
        if letter in QUANTITIES:
            raise ExplainError(
                f"the letter {letter!r} is a quantity of an operation here; use another for the notation"
            )
    return {letter: expression(text) for letter, text in letters.items()}


def _citation(held: Any) -> str:
    cited = _texts(_mapping(held, "citation", CITED), "citation")
    shown = {**cited, **({"arxiv": f"arXiv:{cited['arxiv']}"} if "arxiv" in cited else {})}
    return ", ".join(shown[key] for key in CITED if key in shown)


def _phases(held: Any) -> Mapping[str, Fraction]:
    stated = _texts(_mapping(held, "phases", PHASES), "phases")
    if not stated:
        raise ExplainError(f"phases names at least one of {', '.join(PHASES)}, and how often the terms count in it")
    try:
        return {phase: Fraction(factor) for phase, factor in stated.items()}
    except (ValueError, ZeroDivisionError):
        raise ExplainError(f"phases holds numbers such as 3, not {', '.join(stated.values())[:40]!r}") from None


def _term(held: Any, notation: Mapping[str, Expr]) -> FormulaTerm:
    term = _mapping(held, "a term", _TERM, needed=("of",))
    if ("each" in term) == ("formula" in term):
        raise ExplainError(
            "a term has a formula of all its operations together, or one of each by itself, under 'each'"
        )
    apart = "each" in term
    text = _text(term["each" if apart else "formula"], "a formula")
    tree = parse(text)
    as_expression(tree, _resolver(notation, dict.fromkeys(QUANTITIES, d_model) if apart else {}))  # names are known
    return FormulaTerm(_roles(_text(term["of"], "of")), text, tree, apart)


def _roles(text: str) -> Roles:
    all_but = text == "every" or text.startswith(_BUT)
    listed = "" if text == "every" else text.removeprefix(_BUT)
    named = tuple(each.strip() for each in listed.split(",") if each.strip())
    for each in named:
        if each not in ROLES:
            raise UnknownName("role", each, ROLES)
    if not named and not all_but:
        raise ExplainError("of names roles, as in 'scores, mix', or is 'every' or 'every but embedding, position'")
    return Roles(text, named, all_but)


def _resolver(notation: Mapping[str, Expr], own: Mapping[str, Expr]) -> Callable[[str], Expr]:
    """What the names of a term stand for: letters of its source, sizes of the notation, quantities of one operation."""

    def resolve(name: str) -> Expr:
        if name in own:
            return own[name]
        if name in notation:
            return notation[name]
        try:
            return expression(name)
        except UnknownName as error:
            near = difflib.get_close_matches(name, [*notation, *own], n=3)
            hint = f"did you mean {near[0]!r} of " if near else ""
            raise FormulaError(f"{error}; {hint}the formula's own names: {', '.join([*notation, *own])}") from None

    return resolve


def written(term: FormulaTerm, notation: Mapping[str, Expr], own: Mapping[str, Expr]) -> Expr:
    """A term in the notation, with the quantities of one operation where it is of each by itself."""
    return as_expression(term.tree, _resolver(notation, own))


__all__ = [
    "PHASES", "ROLES", "ExplainError", "Formula", "FormulaTerm", "Roles", "formula", "known_phase", "published",
    "read_formula", "written",
]  # fmt: skip
