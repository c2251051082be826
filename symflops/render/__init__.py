"""A derivation or a document as text, Markdown, LaTeX, HTML or JSON. Each format is one function of the same value.

>>> from derivations.kaplan2020 import derive
>>> print(render(derive(), "text").splitlines()[0])
Kaplan et al. 2020, Table 1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from symflops.derivation import Derivation
from symflops.errors import UnknownName
from symflops.render import document_html, document_latex, document_text, html, latex, plain
from symflops.render.document import Document

FORMATS: Mapping[str, Callable[[Derivation], str]] = {
    "text": plain.text,
    "markdown": plain.markdown,
    "latex": latex.document,
    "html": html.page,
    "json": plain.json_text,
}
"""Every format, by the name that ``--format`` takes."""
DOCUMENT_FORMATS: Mapping[str, Callable[[Document], str]] = {
    "text": document_text.text,
    "markdown": document_text.markdown,
    "latex": document_latex.article,
    "html": document_html.page,
    "json": document_text.json_text,
}
"""The same formats of a document."""


def render(derivation: Derivation, form: str) -> str:
    """The derivation in a format.

    Raises `UnknownName` for a format that is none.
    """
    return FORMATS[known_format(form)](derivation)


def render_document(document: Document, form: str) -> str:
    """The document in a format.

    >>> render_document(Document("A model", (), {"N": "1"}), "markdown")
    '# A model\\n'

    Raises `UnknownName` for a format that is none.
    """
    return DOCUMENT_FORMATS[known_format(form)](document)


def known_format(form: str) -> str:
    """The format itself.

    Raises `UnknownName` for one that is none.
    """
    if form not in FORMATS:
        raise UnknownName("format", form, FORMATS)
    return form
