"""A document as text, Markdown, LaTeX, HTML or JSON. Each format is one function of the same value.

>>> from derivations.kaplan2020 import derive
>>> print(render(derive(), "text").splitlines()[0])
Kaplan et al. 2020, Table 1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from symflops.derivation import Page
from symflops.documents import Document
from symflops.errors import UnknownName
from symflops.render import document_html, document_latex, document_markdown, document_text

FORMATS: Mapping[str, Callable[[Document], str]] = {
    "text": document_text.text,
    "markdown": document_markdown.markdown,
    "latex": document_latex.article,
    "html": document_html.page,
    "json": document_text.json_text,
}
"""Every format, by the name that ``--format`` takes."""


def render(page: Page, form: str) -> str:
    """A derivation, or whatever else has a document, in a format.

    Raises `UnknownName` for a format that is none.
    """
    return render_document(page.document(), form)


def render_document(document: Document, form: str) -> str:
    """The document in a format.

    >>> render_document(Document("A model", (), {"N": "1"}), "markdown")
    '# A model\\n'

    Raises `UnknownName` for a format that is none.
    """
    return FORMATS[known_format(form)](document)


def known_format(form: str) -> str:
    """The format itself.

    Raises `UnknownName` for one that is none.
    """
    if form not in FORMATS:
        raise UnknownName("format", form, FORMATS)
    return form
