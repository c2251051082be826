"""Every family written by hand against the certified closed forms of its code: proofs, without torch.

>>> from symflops.certified import certified
>>> llama = next(entry for entry in certified().entries if entry.family == "llama")
>>> proof = prove(llama)
>>> proof.equal, proof.evidence["C_forward"]
(True, 'proved')
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sympy import Expr, S, expand

from symflops.architectures import FAMILIES, Architecture
from symflops.architectures.architecture import Attention
from symflops.architectures.corresponding import corresponding
from symflops.architectures.fields import Config, completed
from symflops.architectures.names import Meanings
from symflops.certified import Entry, certified
from symflops.conventions import TORCH
from symflops.expressions import expression
from symflops.measures import flops, params, params_without
from symflops.notation import symbol
from symflops.render.plain import columns

FORMS = ("params", "N", "C_forward", "C_backward")
_LONGEST = 100_000


@dataclass(frozen=True)
class Code:
    """What a record says of the code: what fields of the ``config`` are in the notation."""

    meanings: Meanings
    config: Config


@dataclass(frozen=True)
class Proof:
    """One family and kernels: what is left of hand-written minus code-derived, form by form.

    ``core`` is how the network's attention runs: where the code asks torch for a fused kernel, torch may take the plain
    one (of keys with fewer heads than queries, say), and then so does the network.
    """

    entry: Entry
    core: Attention
    residuals: Mapping[str, Expr]

    @property
    def equal(self) -> bool:
        """Whether all of them are nothing, so that both are the same for all sizes."""
        return all(left == 0 for left in self.residuals.values())

    @property
    def evidence(self) -> dict[str, str]:
        """By form: ``proved``, or ``refuted``; saved bytes are the code's alone, compared with it at random sizes."""
        forms = {name: "proved" if left == 0 else "refuted" for name, left in self.residuals.items()}
        return {**forms, "saved_bytes": f"sampled at {self.entry.points}"}

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        about = {"family": self.entry.family, "target": self.entry.target}
        kernels = {"attention": self.entry.attention, "experts": self.entry.experts, "core": self.core}
        left = {name: str(each) for name, each in self.residuals.items() if each != 0}
        return {**about, **kernels, "evidence": self.evidence, "equal": self.equal, "residuals": left}


def prove(entry: Entry) -> Proof:
    """Expand the difference of a family's closed forms and those of a record, for all sizes."""
    cores: tuple[Attention, ...] = ("flash", "eager") if entry.attention == "sdpa" else ("eager",)
    found = [_proof(entry, core) for core in cores]
    return next((each for each in found if each.equal), found[0])


def _proof(entry: Entry, core: Attention) -> Proof:
    config = completed({"model_type": entry.family})
    model = Architecture(entry.family, FAMILIES[entry.family], config, "a bare config", {}, core)
    sizes = corresponding(model.table, Code(meanings(entry.dimensions), config), model.network.free_symbols)
    by_hand = {
        "params": params(model.network),
        "N": params_without(model.network),
        "C_forward": flops(model.network, TORCH).expr,
        "C_backward": flops(model.network, TORCH, "backward").expr,
    }
    return Proof(entry, core, {name: _left(by_hand[name], entry.forms[name], sizes) for name in FORMS})


def _left(by_hand: Expr, by_code: str | None, sizes: Mapping[Any, Expr]) -> Expr:
    return expand((S.Zero + by_hand).xreplace(sizes) - expression(by_code or "", _LONGEST))


def proofs() -> Iterator[Proof]:
    """All families of the record that are written by hand, with all kernels they were certified with."""
    yield from (prove(entry) for entry in certified().entries if entry.family in FAMILIES)


HEAD = ("family", "class", "attention, experts", "params", "N", "C_forward", "C_backward", "saved bytes")


MEANT = (
    "proved: what is written by hand minus what the code gives expands to nothing, so for all sizes; sampled at n: "
    "the code's form, with no other to compare with, equals the module at n random sizes"
)


def rows(found: Iterable[Proof]) -> Iterator[list[str]]:
    """A line of the table for each proof."""
    for proof in found:
        evidence = (proof.evidence[name] for name in (*FORMS, "saved_bytes"))
        yield [proof.entry.family, proof.entry.target, proof.entry.kernels, *evidence]


def table(found: Iterable[Proof]) -> str:
    """The table for a terminal, with the versions it holds for, and what is left over where something is."""
    listed, record = list(found), certified()
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    left = [
        f"{proof.entry.family}, {proof.entry.kernels}: {name} differs by {residual}"
        for proof in listed
        for name, residual in proof.residuals.items()
        if residual != 0
    ]
    head = (
        f"families written by hand against closed forms of their code, derived and certified {record.date} ({versions})"
    )
    return "\n".join([head, "", columns(list(HEAD), list(rows(listed))), "", MEANT, *left])


def meanings(dimensions: Mapping[str, str]) -> dict[str, Expr]:
    """What fields are in the notation, from what sizes are in the fields.

    >>> meanings({"n_head": "num_heads", "d_head": "hidden_size/num_heads"})
    {'num_heads': n_head, 'hidden_size': d_head*n_head}
    """
    plain = {text: symbol(name) for name, text in dimensions.items() if "/" not in text}
    shared = [(symbol(name), *text.split("/")) for name, text in dimensions.items() if "/" in text]
    return plain | {whole: size * plain[part] for size, whole, part in shared if part in plain}


__all__ = ["HEAD", "MEANT", "Code", "Proof", "meanings", "proofs", "prove", "rows", "table"]
