"""What can be said of a printed cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

REPRODUCES = "reproduces"
DIFFERS = "differs"
ANOTHER = "reproduces under another convention"
INCONSISTENT = "inconsistent"
UNCHECKED = "unchecked"
VERDICTS: Mapping[str, str] = {
    REPRODUCES: "what is computed from the stated inputs is printed so, to the printed precision",
    DIFFERS: "what is computed from the stated inputs is printed otherwise",
    ANOTHER: "it is what another convention or reading, which is named, gives",
    INCONSISTENT: "no inputs that are printed like the source's own figures give it: two of its cells contradict",
    UNCHECKED: "an input is missing, which is named",
}
"""Every verdict and its meaning."""


@dataclass(frozen=True)
class Verdict:
    """The verdict on one cell (``row/column``), or on a formula or relation.

    ``computed`` and ``residual`` (printed less computed) are in the unit of the printed figure, or closed forms.
    ``declared`` says that the file names the cell as a known erratum; ``why`` what speaks for the verdict.
    """

    source: str
    table: str
    cell: str
    printed: str
    computed: str
    verdict: str
    convention: str = ""
    residual: str = ""
    why: str = ""
    declared: bool = False

    @property
    def fails(self) -> bool:
        """Whether it is a difference that the file does not declare, or a declared one that is none."""
        return self.verdict == REPRODUCES if self.declared else self.verdict in (DIFFERS, INCONSISTENT)

    def as_json(self) -> dict[str, str | None]:
        """The plain values that ``symflops verify --json`` lists.

        >>> Verdict("kaplan2020", "table1", "Embed/params", "1", "1", REPRODUCES).as_json()["residual"] is None
        True
        """
        names = ("source", "table", "cell", "printed", "computed", "verdict", "convention", "residual", "why")
        return {name: getattr(self, name) or None for name in names}
