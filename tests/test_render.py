"""Every format of a derivation: LaTeX that compiles without a warning, well-formed HTML, JSON, Markdown."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from symflops import derive
from symflops.derivation import Derivation
from symflops.errors import UnknownName
from symflops.render import FORMATS, render

NAMES = ("kaplan2020", "gpt2", "llama3-8b", "pythia-70m")
CONVENTIONS = ("kaplan", "all-operations")


def derivations() -> list[Derivation]:
    return [derive(name, convention) for name in NAMES for convention in CONVENTIONS]


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex, and there is none")
def test_latex_compiles_without_overfull_boxes_or_warnings(tmp_path: Path) -> None:
    for number, derivation in enumerate(derivations()):
        source = tmp_path / f"page{number}.tex"
        source.write_text(derivation.latex(), encoding="utf-8")
        assert compiled(source) == []
        assert source.with_suffix(".pdf").stat().st_size > 1000


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex, and there is none")
def test_a_broken_document_is_noticed(tmp_path: Path) -> None:
    source = tmp_path / "broken.tex"
    source.write_text(derive("kaplan2020").latex().replace(r"\toprule", r"\toprul"), encoding="utf-8")
    assert compiled(source)


def compiled(source: Path) -> list[str]:
    """Compile a document; the complaints of its log that a reader would see."""
    command = ["pdflatex", "-interaction=nonstopmode", f"-output-directory={source.parent}", str(source)]
    log = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
    return re.findall(r"^(?:!.*|Overfull.*|Underfull.*|.*Warning.*)$", log, re.MULTILINE)


def test_html_is_well_formed_and_needs_no_network() -> None:
    for derivation in derivations():
        page = render(derivation, "html")
        body = page[page.index("<body>") : page.index("</html>")]
        root = ElementTree.fromstring(body)
        assert len(root.findall(".//tr")) == len(derivation.rows) + 2 and len(root.findall(".//math")) > 10
        assert not re.search(r"(src|href)\s*=|<script|@import|url\(", page)


def test_text_and_markdown_have_every_row_and_step() -> None:
    for derivation in derivations():
        for form in ("text", "markdown"):
            shown = render(derivation, form)
            assert all(row.name in shown and str(row.flops) in shown for row in derivation.rows)
            assert all(str(step.expression) in shown for step in derivation.steps)


def test_json_is_json() -> None:
    for derivation in derivations():
        data = json.loads(render(derivation, "json"))
        assert data["N"] == str(derivation.N) and len(data["operations"]) == len(derivation.rows)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UnknownName, match="html"):
        render(derive("kaplan2020"), "docx")
    assert set(FORMATS) == {"text", "markdown", "latex", "html", "json"}
