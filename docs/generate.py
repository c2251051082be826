"""The pages of the docs that are made from the code: conventions, notation, models, derivations, verdicts.

Run as `python docs/generate.py` to write them anew; a test fails where a page is not what this makes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from derivations import SOURCES, derived
from symflops.architectures import FAMILIES, architecture, presets
from symflops.certified import Entry, certified
from symflops.claims import verify
from symflops.claims.overview import overview
from symflops.conventions import CONVENTIONS, Convention
from symflops.explain.page import listing
from symflops.laws.catalogue import LAWS
from symflops.laws.law import HOW, Law
from symflops.laws.mutation.record import told
from symflops.laws.mutation.running import Mutated
from symflops.measures import PASSES, flops
from symflops.notation import TERMS
from symflops.proved import HEAD, MEANT, proofs
from symflops.proved import rows as proved_rows
from symflops.render import render, render_document

HERE = Path(__file__).parent
_MADE = "<!-- made by docs/generate.py -->\n"


def rows(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *body])


def conventions() -> str:
    """Every convention: source, domain, prices, and what it makes of GPT-2."""
    parts = ["# Conventions", "Each is a value of `symflops.conventions`; `--convention NAME` chooses one.", _gpt2()]
    return "\n\n".join([*parts, *(_convention(each) for each in CONVENTIONS.values())])


def _gpt2() -> str:
    gpt2 = architecture("gpt2")
    body = [
        [name, each.unit, *(f"{gpt2.flops(1, 1024, each, phase):,}" for phase in PASSES)]
        for name, each in CONVENTIONS.items()
    ]
    head = ["GPT-2, one sequence of 1024 tokens", "unit", *PASSES]
    return rows(head, body)


_READING = "The first line that fits is the price."


def _convention(each: Convention) -> str:
    network = architecture("gpt2").network
    prices = [[line.kind, line.pass_, line.role, str(line.price)] for line in each.prices]
    facts = [
        f"- source: {each.citation}",
        f"- domain: {each.domain}",
        f"- attended pairs: {each.pairs}; backward: {each.backward}",
        f"- left out of totals: {', '.join(sorted(each.left_out)) or 'nothing'}",
        f"- GPT-2 forward: `{flops(network, each).expr}`",
    ]
    table = rows(["kind", "pass", "role", f"price in {each.unit}"], prices)
    return f"## {each.name}: {each.title}\n\n" + "\n".join(facts) + f"\n\n{table}\n\n{_READING}"


def notation() -> str:
    """Every symbol with its meaning, unit and other names."""
    body = [
        [f"`{term.name}`", term.meaning, term.unit, ", ".join(f"{who}: `{name}`" for who, name in term.aliases.items())]
        for term in TERMS.values()
    ]
    return "# Notation\n\n" + rows(["symbol", "meaning", "unit", "elsewhere"], body)


def models() -> str:
    """Every preset with its exact counts."""
    body = []
    for name, entry in presets().items():
        model = architecture(name)
        published = entry.get("params") or entry.get("non_embedding") or entry.get("printed", "")
        shown = f"{published:,}" if isinstance(published, int) else str(published)
        counts = (f"{model.params(which):,}" for which in ("all", "non_embedding", "active"))
        body.append([name, model.family.name, *counts, shown])
    head = ["name", "family", "parameters", "N (without embeddings)", "for one token", "published"]
    return "# Models known by name\n\n" + rows(head, body) + f"\n\n{_published()}"


def _published() -> str:
    xl = architecture("gpt3-xl")
    return (
        "*Published* is the exact count of the released tensors, for Pythia partly the non-embedding count of its "
        "Table 1, and for GPT-3 the rounded figure of its Table 2.1, whose sizes are used as printed. As printed, "
        f"GPT-3 XL (24 heads of 128 at d_model 2048) has {xl.params():,} parameters, not 1.3 billion; with 16 heads of "
        f"128 it would have {xl.with_sizes(n_head=16).params():,}."
    )


def derivation(source: str) -> str:
    """A source, as `symflops derive` renders it."""
    return render(derived(source), "markdown").rstrip()


def verdicts() -> str:
    """Every table that ships, and the mistakes that were found."""
    return overview(verify()).show("markdown").rstrip()


def formulas() -> str:
    """Every convention and published formula that can be explained against another."""
    return render_document(listing(), "markdown").rstrip()


def laws() -> str:
    """Every law with its statement, and how it is established."""
    said = (
        f"{len(LAWS)} laws. On symflops' own declarations a law is *proved* ({HOW['proved']}) or by an *oracle* "
        f"({HOW['oracle']}); `symflops laws --run` does it anew. *Tested*: asked of any cost function, and "
        f"{HOW['tested']}; see [asking.md](asking.md)."
    )
    return "\n\n".join(["# Cost laws", said, *map(_law, LAWS.values())])


def _law(law: Law) -> str:
    facts = [f"- holds for: {law.domain}", f"- of: {law.scope}", f"- {law.ways}; source: {law.source}"]
    return f"## {law.name}\n\n{law.prose}\n\n$${law.statement}$$\n\n" + "\n".join(facts)


def mutation() -> str:
    """What came of the faults planted in symflops' own declarations, from the record of the last run."""
    read = json.loads((HERE.parent / "benchmarks" / "records" / "mutation.json").read_text(encoding="utf-8"))
    record = told(**read)
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    said = (
        "Faults are planted by rule in symflops' own declarations, one at a time: in the networks of all families, in "
        "masks and in conventions. Each is then shown to the laws ([laws.md](laws.md)), and to oracles: closed forms "
        "derived from the code of families, pairs counted by loops, printed formulas, steps evaluated in numbers, and "
        "reading set against writing. A fault that nobody finds is compared with the original in every measure: "
        "parameters, work by kind, pass and role, saved elements, bytes, steps of decoding, cache. If none differs it "
        "is equivalent; if one does, it survives. A law is asked of a mutant if the family as declared is in its scope."
        " These are some of the faults that the rules make of each family, the same ones each time, and the oracles of "
        "reading, roles and steps were completed on them: of the others, which are not in the record, a few survive."
    )
    when = (
        f"Run on {record['date']} in {record['cpu_seconds'] / 60:.0f} minutes of one core with {versions}; anew: "
        "`python benchmarks/mutate.py`, or `symflops laws --mutate [NAME …]` for some families, masks or conventions."
    )
    body = render_document(Mutated(record).document(), "markdown").partition("\n")[2].strip()
    return "\n\n".join(["# Mutation", said, when, body])


def families() -> str:
    """Every family written by hand, and how each of its closed forms is known to be its code's."""
    found = list(proofs())
    record = certified()
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    said = (
        f"Networks written by hand, set against the closed forms that were derived from the unmodified code of "
        f"transformers and certified on {record.date} with {versions}. {MEANT[0].upper()}{MEANT[1:]}. "
        "`symflops check --all` prints this table; `symflops check NAME` derives the code's forms anew for a model, "
        "compares module by module, and counts the real module at the model's sizes."
    )
    compositions = [
        [name, str(len({proof.entry.kernels for proof in found if proof.entry.family == name})), family.citation]
        for name, family in FAMILIES.items()
    ]
    known = rows(["family", "kernels compared", "source"], compositions)
    return "\n\n".join(["# Families and their evidence", said, rows(HEAD, list(proved_rows(found))), known])


def gallery() -> str:
    """The closed forms of every family in the record of what was certified."""
    record = certified()
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    said = (
        f"Derived from the unmodified code of transformers, certified at random sizes on {record.date} with "
        f"{versions}. Eager attention; FLOPs are those that ran, for a batch. What else was certified stands "
        "below each family."
    )
    families = dict.fromkeys(entry.family for entry in record.entries)
    parts = [_family([entry for entry in record.entries if entry.family == name]) for name in families]
    return "\n\n".join(["# Formulas of families", said, *parts])


def _family(entries: Sequence[Entry]) -> str:
    """One family: its sizes and formulas with eager attention, and what else was certified."""
    first = next(entry for entry in entries if entry.attention == "eager" and entry.experts in ("", "grouped_mm"))
    body = [[name, f"`{form}`" if form else "no formula, see the notes"] for name, form in first.forms.items()]
    where = ", ".join(f"`{size}` = {text}" for size, text in first.dimensions.items())
    others = "; ".join(f"{entry.kernels} ({entry.points} sizes)" for entry in entries)
    recovered = ", ".join(f"`{name}`" for name in first.recovered if not name.startswith("n_layer"))
    facts = [
        f"- sizes: {where}",
        f"- holds where: {', '.join(f'`{each}`' for each in first.domain) or 'everywhere'}",
        *([f"- recovered from runs at several numbers: {recovered}"] if recovered else []),
        *(f"- note: {note}" for note in first.notes),
        f"- certified: {others}",
    ]
    return f"## {first.family} ({first.target})\n\n{rows(['', 'closed form'], body)}\n\n" + "\n".join(facts)


PAGES: Mapping[str, Callable[[], str]] = {
    "conventions.md": conventions,
    "notation.md": notation,
    "models.md": models,
    "gallery.md": gallery,
    "families.md": families,
    "verdicts.md": verdicts,
    "formulas.md": formulas,
    "laws.md": laws,
    "mutation.md": mutation,
    **{f"sources/{source}.md": partial(derivation, source) for source in SOURCES},
}


def page(name: str) -> str:
    """A page as it should stand in the docs."""
    return f"{_MADE}\n{PAGES[name]()}\n"


if __name__ == "__main__":
    for name in PAGES:
        (HERE / name).write_text(page(name), encoding="utf-8")
