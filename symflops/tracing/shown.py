"""A trace as a page: what was found, where it holds and what it rests on, in every format that symflops prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from sympy import Symbol

from symflops.conventions import TORCH, Convention
from symflops.notation import TERMS
from symflops.render import render_document
from symflops.render.document import Block, Code, Document, Facts, Forms, Prose, Table, readable
from symflops.render.document_latex import fragment
from symflops.tracing.against import Comparison, against, opposite
from symflops.tracing.costs import Costs, Row, costs

if TYPE_CHECKING:
    from symflops.tracing.trace import Trace

_INPUT = "of the input"


class Shown:
    """How a trace shows itself and is compared, in a notebook too."""

    def show(self, form: str = "text", convention: str | Convention = TORCH) -> str:
        """Everything found, as text, markdown, latex, html or json, priced by a convention.

        Raises `UnknownName` for another format or convention.
        """
        return render_document(document(cast("Trace", self), convention), form)

    def latex(self) -> str:
        """A LaTeX document that compiles as it stands."""
        return self.show("latex")

    def against(self, name: str) -> Comparison:
        """The code's closed forms against a network written by hand: a family, a preset or a config.json.

        Raises `UnknownName` for a name that is none, `ConfigError` for a config that cannot be read.
        """
        found = cast("Trace", self)
        return against(found, opposite(found, name))

    def _repr_html_(self) -> str:
        return self.show("html")

    def _repr_markdown_(self) -> str:
        return self.show("markdown")

    def _repr_latex_(self) -> str:
        return fragment(document(cast("Trace", self)))


def document(found: Trace, convention: str | Convention = TORCH, proof: Comparison | None = None) -> Document:
    """A trace as a page, priced by a convention, with a comparison where there is one.

    Raises `UnknownName` for an unknown convention.
    """
    priced = costs(found, convention)
    blocks = (*_costs(found, priced), *_grounds(found, priced), *(proof.blocks() if proof else ()))
    return Document(f"{found.target}: closed forms from its code", blocks, _data(found, priced, proof))


def _costs(found: Trace, priced: Costs) -> Iterator[Block]:
    chosen = priced.convention
    yield Prose(f"every size symbolic, for a batch; convention {chosen.name}: {chosen.title}, in {chosen.unit}s")
    forms = {
        "params": found.params,
        "N": found.N,
        "C_forward": priced.C_forward,
        "C_backward": priced.C_backward,
        "saved_bytes": found.saved_bytes,
        **({} if found.bytes_read is None else {"bytes_read": found.bytes_read}),
        **({} if found.bytes_written is None else {"bytes_written": found.bytes_written}),
    }
    yield Forms(tuple((name, readable(form)) for name, form in forms.items()))
    yield Table("", ("module", "operation", f"forward {chosen.unit}s"), tuple(_rows(priced.operations)))
    yield Table("", ("size", "in the config", "meaning"), tuple(_sizes(found)))


def _rows(operations: tuple[Row, ...]) -> Iterator[tuple[Any, ...]]:
    """Operations with each module's path at its first one."""
    before = None
    for module, name, form in operations:
        yield Code(module) if module != before else "", Code(name), readable(form)
        before = module


def _sizes(found: Trace) -> Iterator[tuple[Any, ...]]:
    used = {each for form in (found.params, found.C_forward, found.saved_bytes) for each in form.free_symbols}
    inputs = sorted({str(each) for each in used} - set(found.dimensions))
    for name in (*found.dimensions, *inputs):
        where = Code(found.dimensions[name]) if name in found.dimensions else _INPUT
        term = TERMS.get(name)
        yield (term.symbol if term else Symbol(name)), where, (term.meaning if term else "")


def _grounds(found: Trace, priced: Costs) -> Iterator[Block]:
    notes = (*found.notes, *priced.notes)
    yield Facts("holds for sizes of at least 2 where", found.domain)
    yield Facts("saved_bytes also needs", found.saved_domain)
    yield Facts("recovered", tuple(map(str, found.recovered)))
    yield Facts("notes", notes)
    points = found.certificate.points
    verdict = "equal to" if found.certificate.equal else "NOT equal to"
    yield Prose(f"certified: {verdict} the concrete module at {points} random sizes")


def _data(found: Trace, priced: Costs, proof: Comparison | None) -> dict[str, Any]:
    rows = [{"module": path, "operator": name, "flops": str(form)} for path, name, form in priced.operations]
    return {
        "target": found.target,
        "params": str(found.params),
        "N": str(found.N),
        "C_forward": str(priced.C_forward),
        "C_backward": str(priced.C_backward),
        "saved_bytes": str(found.saved_bytes),
        "bytes_read": None if found.bytes_read is None else str(found.bytes_read),
        "bytes_written": None if found.bytes_written is None else str(found.bytes_written),
        "convention": priced.convention.name,
        "unit": priced.convention.unit,
        "operations": rows,
        "dimensions": dict(found.dimensions),
        "domain": [str(condition) for condition in found.domain],
        "saved_domain": [str(condition) for condition in found.saved_domain],
        "recovered": [str(each) for each in getattr(found, "recovered", ())],
        "notes": [str(each) for each in (*found.notes, *priced.notes)],
        "certificate": {"points": found.certificate.points, "equal": found.certificate.equal},
        **({"against": proof.as_json()} if proof else {}),
    }
