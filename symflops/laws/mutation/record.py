"""What came of all mutants, as a record in plain values: shown by the command, written by `benchmarks/mutate.py`.

>>> one = {"kind": "bias", "status": "killed", "by_law": "cost-is-whole", "by_oracle": ""}
>>> counts([one])["by_laws"], killers([one], "by_law")
(1, {'cost-is-whole': 1})
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from symflops.architectures import Architecture
from symflops.conventions import Convention
from symflops.laws.mutation.killing import Outcome
from symflops.laws.mutation.mutant import KINDS, Mutant

Told = Mapping[str, Any]
"""A record in plain values."""


def plain(outcome: Outcome) -> dict[str, Any]:
    """A mutant and what came of it, in plain values."""
    mutant = outcome.mutant
    return {
        "kind": mutant.kind, "of": mutant.of, "where": mutant.where, "what": mutant.what, "status": outcome.status,
        "by_law": outcome.by_law, "by_oracle": outcome.by_oracle, "changed": list(outcome.changed[:6]),
        "why": _why(mutant) if outcome.status == "equivalent" else "",
    }  # fmt: skip


def _why(mutant: Mutant) -> str:
    """Why a mutant that nobody finds is equivalent: what was compared."""
    if isinstance(mutant.subject, Architecture):
        return "parameters, work, saved elements, bytes, steps and cache are the same for all sizes"
    if isinstance(mutant.subject, Convention):
        return "a family of each kind and the networks of papers, also recomputed, cost the same in every phase"
    return "it counts, asks and keeps the same at 1 to 5 queries and keys"


def told(outcomes: Iterable[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """The record of outcomes: counts by kind, killers, what survives and what is equivalent."""
    found = list(outcomes)
    kinds = {kind: counts([each for each in found if each["kind"] == kind]) for kind in KINDS}
    return {
        **more,
        "mutants": counts(found),
        "kinds": {kind: each for kind, each in kinds.items() if each["planted"]},
        "laws": killers(found, "by_law"),
        "oracles": killers(found, "by_oracle"),
        "surviving": [each for each in found if each["status"] == "survives"],
        "equivalent": [each for each in found if each["status"] == "equivalent"],
        "outcomes": found,
    }


def counts(found: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many were planted, killed and by whom, are equivalent, and survive."""
    by_law = sum(bool(each["by_law"]) for each in found)
    by_oracle = sum(bool(each["by_oracle"]) for each in found)
    status = Counter(each["status"] for each in found)
    return {
        "planted": len(found), "killed": status["killed"], "by_laws": by_law, "by_oracles": by_oracle,
        "by_both": by_law + by_oracle - status["killed"], "equivalent": status["equivalent"],
        "surviving": status["survives"],
    }  # fmt: skip


def killers(found: Iterable[Mapping[str, Any]], by: str) -> dict[str, int]:
    """How many each killer finds first."""
    return dict(Counter(each[by] for each in found if each[by]).most_common())
