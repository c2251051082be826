"""A derivation as text, Markdown, LaTeX, HTML or JSON. Each format is one function of the same value.

>>> from derivations.kaplan2020 import derive
>>> print(render(derive(), "text").splitlines()[0])
Kaplan et al. 2020, Table 1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from symflops.derivation import Derivation
from symflops.errors import UnknownName
from symflops.render import html, latex, plain

FORMATS: Mapping[str, Callable[[Derivation], str]] = {
    "text": plain.text,
    "markdown": plain.markdown,
    "latex": latex.document,
    "html": html.page,
    "json": plain.json_text,
}
"""Every format, by the name that ``--format`` takes."""


def render(derivation: Derivation, form: str) -> str:
    """The derivation in a format.

    Raises `UnknownName` for a format that is none.
    """
    if form not in FORMATS:
        raise UnknownName("format", form, FORMATS)
    return FORMATS[form](derivation)
