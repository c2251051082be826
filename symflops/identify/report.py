"""What was identified, as a page and as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from symflops.identify.choices import Option, Pricing
from symflops.identify.fits import Cell, Fit, Identified
from symflops.identify.symbolic import closed_form, counted_params
from symflops.render.document import Block, Document, Facts, Forms, Prose, Table, readable

_SHOWN_ROWS = 12
_DIGITS = 6


def document(found: Identified, title: str, limit: int) -> Document:
    """A page of the ``limit`` best fits."""
    shown = found.fits[:limit]
    blocks: list[Block] = [Prose(each) for each in (_headline(found), *_agreement(found))]
    if found.undecided:
        blocks.append(Table("", ("These figures do not tell", "Some fit has"), tuple(_undecided(found))))
    blocks += [block for number, fit in enumerate(shown, 1) for block in _fit(found, fit, number)]
    blocks += [Prose(f"{found.number - limit:,} more fits; see --limit.")] if found.number > limit else []
    blocks += [Facts("Notes", found.notes)] if found.notes else []
    return Document(title, tuple(blocks), as_json(found, limit))


def _headline(found: Identified) -> str:
    tried = f"{found.tried:,} combinations of choices were tried for {_rows(len(found.rows))} of {found.quantity.title}"
    if not found.fits:
        return f"{tried}; none reproduces any row."
    number = f"{'' if found.all_kept else 'over '}{found.number:,}"
    forms = f"{number} closed form{'s' * (found.number != 1)}"
    if found.everything:
        whole = "all of them" if len(found.rows) > 1 else "it"
        order = ", the nearest to the usual first" * (found.number != 1)
        return f"{tried}; {forms} reproduce{'s' * (found.number == 1)} {whole}{order}."
    most = len(found.rows) - len(found.fits[0].missed)
    return f"{tried}; none reproduces all of them. The best, {forms}, reproduce {most} of {len(found.rows)}."


def _rows(number: int) -> str:
    return f"{number} row{'s' * (number != 1)}"


def _agreement(found: Identified) -> Iterable[str]:
    """What holds for all fits, and for those nearest to the usual."""
    if not found.fits:
        return
    decided = [each.sentence for name, each in found.decided.items() if _tells(found, name, each, found.always)]
    if decided:
        yield f"In every fit: {'; '.join(decided)}."
    yield f"Counted in every fit: {_listed(found.always)}; in none: {_listed(found.never)}."
    near = [each for each in found.fits if each.departure == found.fits[0].departure]
    left_out = found.roles - found.never - frozenset().union(*(each.counts for each in near))
    if left_out:
        yield f"Left out as well where a fit is nearest to the usual ({len(near):,} of them): {_listed(left_out)}."


def _listed(roles: frozenset[str]) -> str:
    return ", ".join(sorted(each or "other steps" for each in roles)) or "nothing"


def _tells(found: Identified, name: str, option: Option, counted: frozenset[str]) -> bool:
    """Whether an option says more than that its work is as the price list has it, or of no account."""
    if not isinstance(option.effect, Pricing):
        return True
    usual = option.name == "usual" or (name in found.roles and name not in counted)
    return not usual


def _undecided(found: Identified) -> Iterable[tuple[str, str]]:
    for name, options in found.undecided.items():
        shown = [each.name for each in options]
        more = f" and {len(shown) - _SHOWN_ROWS} more" if len(shown) > _SHOWN_ROWS else ""
        yield found.titles.get(name, name), f"{' | '.join(shown[:_SHOWN_ROWS])}{more}"


def _fit(found: Identified, fit: Fit, number: int) -> Iterable[Block]:
    far = (
        f"{fit.departure} departure{'s' * (fit.departure != 1)} from the usual" if fit.departure else "nothing unusual"
    )
    yield Prose(f"Fit {number}, {far}. It counts {_listed(fit.counts)}; not {_listed(found.roles - fit.counts)}.")
    rows = tuple(_choice(found, fit, name, option) for name, option in fit.choices.items())
    yield Table(
        "", ("Choice", "Taken", "The same in these rows, alone or with another"), tuple(each for each in rows if each)
    )
    yield Forms(tuple(forms(found, fit)))
    if found.unknown:
        tried = [f"{name} = {size:,}" for name, size in fit.tried.items()]
        yield Prose("; ".join([*tried, f"{found.unknown}: {ranges_text(fit)}"]))
    cells = fit.cells if found.everything else fit.missed
    if not found.unknown or not found.everything:
        yield _values("" if found.everything else "Rows it misses", cells)


def _choice(found: Identified, fit: Fit, name: str, option: Option) -> tuple[str, ...]:
    others = [each.name for each in fit.others.get(name, ()) if _matters(found, fit, name)]
    if len(found.options[name]) == 1 or not (_tells(found, name, option, fit.counts) or others):
        return ()
    return (found.titles[name], option.sentence, " | ".join(others))


def _matters(found: Identified, fit: Fit, name: str) -> bool:
    """Whether a choice of price is about work that is counted at all."""
    return not (name in found.priced and not found.priced[name] & fit.counts)


def forms(found: Identified, fit: Fit) -> list[tuple[str, Any]]:
    """The closed form of a fit, and of N where it is divided by 6*N*D."""
    name = "parameters" if found.quantity.measure == "params" else "work of a sequence"
    made = [(name, readable(closed_form(fit.choices, found.space, found.quantity)))]
    if found.quantity.over:
        made.append(("N", readable(counted_params(fit.choices, found.space))))
    return made


def ranges_text(fit: Fit) -> str:
    """The values of the size that is asked for, in words."""
    if any(last is None for _, last in fit.ranges):
        first = fit.ranges[0][0]
        return "any value would do; it is not counted" if first == 1 else f"{first:,} or more"
    parts = [f"{first:,}" if first == last else f"{first:,} to {last:,}" for first, last in fit.ranges]
    known = [f"{value:,} ({whose})" for value, whose in fit.known]
    return " or ".join(parts) + (f"; well known among them: {'; '.join(known)}" if known else "")


def _values(title: str, cells: tuple[Cell, ...]) -> Table:
    shown = cells[:_SHOWN_ROWS]
    rows = tuple((each.label, each.figure.text, _number(each.value)) for each in shown)
    more = ((f"and {len(cells) - len(shown)} more rows", "", ""),) if len(cells) > len(shown) else ()
    return Table(title, ("Row", "Printed", "Exactly"), rows + more)


def _number(value: Fraction | None) -> str:
    if value is None:
        return "-"
    return f"{value.numerator:,}" if value.denominator == 1 else f"~{float(value):.{_DIGITS}g}"


def as_json(found: Identified, limit: int) -> dict[str, Any]:
    """The same as plain values; exact numbers as integers, or as fractions in text."""
    return {
        "quantity": found.quantity.name,
        "rows": [{"row": e.label, "printed": e.figure.text, "sizes": dict(e.sizes)} for e in found.rows],
        "reproduces_all": found.everything,
        "combinations": found.tried,
        "fits_found": found.number,
        "all_kept": found.all_kept,
        "in_every_fit": {name: each.name for name, each in found.decided.items()},
        "not_told": {name: [each.name for each in options] for name, options in found.undecided.items()},
        "counted_in_every_fit": sorted(found.always),
        "counted_in_no_fit": sorted(found.never),
        "fits": [_fit_json(found, fit) for fit in found.fits[:limit]],
        "notes": list(found.notes),
    }


def _fit_json(found: Identified, fit: Fit) -> dict[str, Any]:
    return {
        "departure": fit.departure,
        "choices": {name: each.name for name, each in fit.choices.items()},
        "means": {name: each.sentence for name, each in fit.choices.items()},
        "same_in_these_rows": {name: [each.name for each in options] for name, options in fit.others.items()},
        "counts": sorted(fit.counts),
        "closed_form": {name: str(form) for name, form in forms(found, fit)},
        "reproduces": [each.label for each in fit.cells if each.reproduced],
        "misses": [{"row": e.label, "printed": e.figure.text, "value": _exact(e.value)} for e in fit.missed],
        "values": [_exact(each.value) for each in fit.cells],
        "unknowns": _unknowns(found, fit),
    }


def _unknowns(found: Identified, fit: Fit) -> Mapping[str, Any]:
    if found.unknown is None:
        return {}
    known = [{"value": value, "whose": whose} for value, whose in fit.known]
    tried = {name: {"ranges": [[size, size]], "well_known": []} for name, size in fit.tried.items()}
    return {**tried, found.unknown: {"ranges": [list(each) for each in fit.ranges], "well_known": known}}


def _exact(value: Fraction | None) -> int | str | None:
    return None if value is None else value.numerator if value.denominator == 1 else str(value)
