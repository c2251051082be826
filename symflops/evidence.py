"""What a check found: comparisons of a closed form with the thing itself, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from symflops.render.plain import columns


@dataclass(frozen=True)
class Line:
    """One comparison: what, by the formula, in the module; where in the module's code, and the closed form.

    >>> Line("parameters", 12, 12).equal, Line("parameters", 12, 13).equal
    (True, False)
    """

    name: str
    formula: Any
    model: Any
    where: str = ""
    form: str = ""

    @property
    def equal(self) -> bool:
        """Whether both are the same, exactly."""
        return bool(self.formula == self.model)

    def as_json(self) -> dict[str, Any]:
        """Both sides, the verdict, the closed form and the module's path."""
        named = {"name": self.name, "module": self.where, "closed_form": self.form}
        return {**named, **self.verdict()}

    def verdict(self) -> dict[str, Any]:
        """Both sides and whether they are equal."""
        return {"formula": self.formula, "model": self.model, "equal": self.equal}


@dataclass(frozen=True)
class Proof:
    """Closed forms written by hand against those derived from the code of ``target``, for all sizes.

    ``apart`` are the comparisons that leave something over, of so many ``compared``; ``why`` there is no proof.
    """

    target: str
    apart: tuple[Line, ...]
    why: str = ""
    compared: int = 0

    @property
    def evidence(self) -> str:
        """``proved``, ``refuted``, or ``none`` where the code gave no closed form to compare with."""
        return "none" if self.why else ("refuted" if self.apart else "proved")

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        apart = [{"what": each.name, "module": each.where, "residual": each.form} for each in self.apart]
        made = {"evidence": self.evidence, "target": self.target, "compared": self.compared, "apart": apart}
        return {**made, "why": self.why}

    def text(self) -> str:
        """What was compared, and what is left over where."""
        if self.why:
            return f"no proof for all sizes: {self.why}"
        equal = self.compared - len(self.apart)
        head = (
            f"proof: {equal} of {self.compared} comparisons with closed forms derived from the code of {self.target} "
            f"(parameters tensor by tensor, FLOPs module by module, both passes) are equal for all sizes"
        )
        return "\n".join([head, *(f"  DIFFERS: {each.name} at {each.where} by {each.form}" for each in self.apart)])


@dataclass(frozen=True)
class Report:
    """What was compared.

    ``uncounted`` are operators, with their FLOPs, that torch's own counter takes for nothing; ``overcounted`` are those
    that it takes for so much more than they are.
    """

    name: str
    module: str
    batch: int
    seq: int
    params: Line
    tensors: tuple[Line, ...]
    forward: Line
    backward: Line
    operations: tuple[Line, ...]
    flop_counter: Line
    uncounted: Mapping[str, int]
    proof: Proof | None = None
    overcounted: Mapping[str, int] = field(default_factory=dict)

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every comparison that must hold."""
        return (self.params, *self.tensors, self.forward, self.backward, *self.operations, self.flop_counter)

    @property
    def holds(self) -> bool:
        """Whether all of them do, and no proof for all sizes failed."""
        return all(line.equal for line in self.lines) and not (self.proof is not None and self.proof.apart)

    @property
    def evidence(self) -> str:
        """``counted`` where formula and module agree in everything; else ``refuted``."""
        return "counted" if self.holds else "refuted"

    def as_json(self) -> dict[str, Any]:
        """Plain values; integers exact."""
        where = {"batch": self.batch, "seq": self.seq}
        return {
            "name": self.name,
            "module": self.module,
            "params": self.params.verdict(),
            "flops": {**self.forward.verdict(), **where},
            "backward": {**self.backward.verdict(), **where},
            "operations": [line.as_json() for line in self.operations],
            "tensors": [line.as_json() for line in self.tensors],
            "flop_counter": {"counted": self.flop_counter.formula, "with_uncounted": self.flop_counter.model},
            "uncounted": dict(self.uncounted),
            "overcounted": dict(self.overcounted),
            "proof": None if self.proof is None else self.proof.as_json(),
            "evidence": self.evidence,
        }

    def text(self) -> str:
        """A table for a terminal."""
        totals = (self.params, self.forward, self.backward)
        wrong_tensors = [line for line in self.tensors if not line.equal]
        rows = [_row(line, "see below" if line in totals else line.form) for line in (*totals, *self.operations)]
        rows += [_row(line, "") for line in wrong_tensors]
        count = sum(line.formula[0] for line in self.tensors if line.formula)
        agree = "DIFFERENT, see above" if wrong_tensors else "all equal"
        return "\n".join(
            [
                f"{self.name}: closed form against {self.module}, {self.batch} x {self.seq} tokens",
                "",
                columns(["", "closed form", "value", "module", ""], rows),
                "",
                *(f"{line.name} = {line.form}" for line in totals),
                "",
                f"{count} parameter tensors by name and shape: {agree}",
                self._peer(),
                *([] if self.proof is None else [self.proof.text()]),
                f"evidence: {self.evidence}",
            ]
        )

    def _repr_markdown_(self) -> str:
        return f"```text\n{self.text()}\n```"

    def _peer(self) -> str:
        left_out, added = map(_listed, (self.uncounted, self.overcounted))
        said = f"leaves out {left_out}" if left_out else "leaves nothing out here"
        said += f" and counts too much for {added}" if added else ""
        agree = "its total and ours agree" if self.flop_counter.equal else "with that, it still DIFFERS from ours"
        return f"torch's FlopCounterMode {said}; {agree}"


def _listed(operators: Mapping[str, int]) -> str:
    return ", ".join(f"{operator} ({flops:,} FLOPs)" for operator, flops in operators.items())


def _row(line: Line, form: str) -> list[str]:
    mark = "=" if line.equal else f"DIFFERS at {line.where or line.name}"
    return [line.name, form, _grouped(line.formula), _grouped(line.model), mark]


def _grouped(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
