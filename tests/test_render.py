"""Every format of every source: LaTeX that compiles without a warning, well-formed HTML, JSON, Markdown, text."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from documents import EVERYTHING, HARMFUL, HOSTILE, UNICODE, WHY, any_tables, formulas
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from sympy import Expr

import derivations
from symflops import derive
from symflops.cli import run
from symflops.derivation import Derivation
from symflops.documents import Document, Listing, Prose, Table, plain
from symflops.errors import UnknownName
from symflops.render import FORMATS, render, render_document
from symflops.render.document_markdown import markdown
from symflops.render.document_text import text
from symflops.render.plain import wrapped

NAMES = ("kaplan2020", "gpt2", "llama3-8b", "pythia-70m")
CONVENTIONS = ("kaplan", "all-operations")
LATEX = pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex, and there is none")


def derived() -> list[Derivation]:
    return [derive(name, convention) for name in NAMES for convention in CONVENTIONS]


def documents() -> dict[str, Document]:
    """Every source, models under two conventions, and two pages made for the tests."""
    sources = {name: derive(name).document() for name in derivations.SOURCES}
    models = {f"{each.name} {each.convention.name}": each.document() for each in derived()}
    return {**sources, **models, "everything": EVERYTHING, "harmful": HARMFUL}


PAGES = documents()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", derivations.SOURCES)
def test_every_source_renders_in_every_format(name: str, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["derive", name, "--format", form]) == 0
    assert capsys.readouterr().out.rstrip() == render(derive(name), form).rstrip() != ""


@LATEX
@pytest.mark.parametrize("name", PAGES)
def test_latex_compiles_without_overfull_boxes_or_warnings(name: str, tmp_path: Path) -> None:
    source = tmp_path / "page.tex"
    source.write_text(render_document(PAGES[name], "latex"), encoding="utf-8", errors="replace")
    assert compiled(source) == []
    assert source.with_suffix(".pdf").stat().st_size > 1000


PLANTED = {
    "a rule that is none": (r"\toprule", r"\toprul", "Undefined control sequence"),
    "a bare ampersand": (r"\&", "&", "Misplaced alignment tab"),
    "a letter TeX does not know": ("Embed", "中", "Unicode character"),
    "a word longer than a line": ("Embed", r"\mbox{" + "x" * 200 + "}", "Overfull"),
    "a reference to nothing": ("Embed", r"\ref{nothing}", "Warning"),
}


@LATEX
@pytest.mark.parametrize("name", PLANTED)
def test_a_broken_document_is_noticed(name: str, tmp_path: Path) -> None:
    before, after, complaint = PLANTED[name]
    source, page = tmp_path / "broken.tex", render_document(EVERYTHING, "latex")
    assert before in page
    source.write_text(page.replace(before, after), encoding="utf-8")
    assert any(complaint in each for each in compiled(source))


def compiled(source: Path) -> list[str]:
    """Compile a document; the complaints of its log that a reader would see."""
    command = ["pdflatex", "-interaction=nonstopmode", f"-output-directory={source.parent}", str(source)]
    log = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
    return re.findall(r"^(?:!.*|Overfull.*|Underfull.*|.*Warning.*|Missing character.*)$", log, re.MULTILINE)


def test_latex_shows_what_tex_would_take_for_its_own() -> None:
    page = render_document(HARMFUL, "latex")
    assert r"\textbackslash{}input\{/\allowbreak{}etc" in page and r"50\% of R\&D \#1" in page
    assert r"\input" not in page.replace(r"\textbackslash{}input", "")
    assert page.count(r"\end{document}") == 1


def faults_of_html(page: str, document: Document) -> list[str]:
    """What is wrong with a page: no XML, something fetched or run, a formula without MathML."""
    try:
        root = ElementTree.fromstring(page)
    except ElementTree.ParseError as error:
        return [f"not well-formed: {error}"]
    elements = [each.tag for each in root.iter()]
    fetching = [each for each in elements if each in ("script", "link", "img", "iframe", "object", "embed", "base")]
    attributes = {name for each in root.iter() for name in each.attrib}
    nested = root.findall(".//p//table") + root.findall(".//p//div") + root.findall(".//p//p")
    style = "".join(root.itertext()) if root.find(".//style") is None else str(root.findtext(".//style"))
    missing = elements.count("math") < len(list(formulas(document)))
    named = {"lang", "charset", "name", "content", "class", "scope"}
    return [
        *fetching,
        *(name for name in attributes if name in ("src", "href") or name.startswith("on")),
        *(f"unexpected attribute {name}" for name in attributes - named if name not in MATHML),
        *(["a block inside a paragraph"] if nested else []),
        *(["brackets that browsers do not know"] if "mfenced" in elements else []),
        *(["the style fetches"] if re.search(r"@import|url\(", style) else []),
        *(["a formula without MathML"] if missing else []),
    ]


MATHML = {"mathvariant", "separator", "columnalign", "accent", "dir"}


@pytest.mark.parametrize("name", PAGES)
def test_html_is_well_formed_has_every_formula_and_needs_no_network(name: str) -> None:
    assert faults_of_html(render_document(PAGES[name], "html"), PAGES[name]) == []


HTML_FAULTS = {
    "a bare ampersand": ("&amp;", "&", "not well-formed"),
    "an open cell": ("</td>", "", "not well-formed"),
    "a script from elsewhere": ("<h1>", '<script src="https://x.org/m.js"></script><h1>', "src"),
    "a formula without MathML": ("<math>", "<span>", "a formula without MathML"),
    "brackets of an older sympy": ("<mo>(</mo>", "<mfenced></mfenced>", "brackets that browsers do not know"),
    "a font from elsewhere": ("caption{", "@import url(https://x.org);caption{", "the style fetches"),
    "a table in a paragraph": ('<div class="scroll">', "<p>", "a block inside a paragraph"),
}


@pytest.mark.parametrize("name", HTML_FAULTS)
def test_a_fault_of_html_is_noticed(name: str) -> None:
    before, after, complaint = HTML_FAULTS[name]
    page = render_document(EVERYTHING, "html")
    assert before in page
    broken = page.replace(before, after)
    closed = {"<span>": ("</math>", "</span>"), "<p>": ("</div>", "</p>")}
    assert any(complaint in each for each in faults_of_html(broken.replace(*closed.get(after, ("\0", ""))), EVERYTHING))


def test_html_says_every_hostile_word() -> None:
    root = ElementTree.fromstring(render_document(HARMFUL, "html"))
    paragraphs = ["".join(each.itertext()) for each in root.findall("./body/p")]
    assert paragraphs[: len(HOSTILE)] == list(HOSTILE)
    assert all("".join(each.itertext()) for each in root.iter("math"))


def spoken(source: str) -> list[str]:
    """What a reader sees of each line of Markdown, by a parser that is not ours."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    found = []
    for token in parser.parse(source):
        if token.type == "inline":
            found.append("".join(each.content for each in token.children or [] if each.type in ("text", "code_inline")))
    return found


def test_markdown_says_every_hostile_word_and_nothing_else_happens() -> None:
    page = markdown(
        Document("Title", (*map(Prose, HOSTILE), Table("", ("a", "b"), tuple(zip(HOSTILE, HOSTILE, strict=True)))), {})
    )
    said = [each.replace("\x00", "") for each in spoken(page)]
    assert said == ["Title", *HOSTILE, "a", "b", *(each for each in HOSTILE for _ in range(2))]
    html = MarkdownIt("commonmark").enable("table").render(page)
    assert not re.search(r"<(script|em|strong|a|blockquote|ul|ol|h2|code|s)\b", html.replace("<a_b", ""))


def test_markdown_unescaped_is_noticed() -> None:
    assert spoken("a *d* `e`\n") != ["a *d* `e`"]


def test_markdown_lists_remarks_and_steps() -> None:
    html = MarkdownIt("commonmark").enable("table").render(render_document(EVERYTHING, "markdown"))
    assert html.count("<li>") == 4 + 3 + 3 and html.count("<table>") == 3 and html.count("<pre>") == 1
    assert "<strong>Embed</strong>: <code>2</code> for each element" in html and UNICODE in html


def test_text_and_markdown_have_every_row_and_step() -> None:
    for derivation in derived():
        for form in ("text", "markdown"):
            shown = render(derivation, form)
            assert all(row.name in shown and str(row.flops) in shown for row in derivation.rows)
            assert all(str(step.expression) in shown for step in derivation.steps)


@pytest.mark.parametrize("width", [40, 80, 110, 200])
def test_text_wraps_words_to_the_width_and_keeps_formulas_whole(width: int) -> None:
    why = Document(
        "Claims", (Prose(WHY), Table("", ("row", "ratio", "why"), (("one", "1.0", WHY), ("two", "2.0", WHY)))), {}
    )
    lines = text(why, width).splitlines()
    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()).startswith(f"Claims {WHY}")
    assert all(str(each) in text(EVERYTHING, width) for each in formulas(EVERYTHING) if isinstance(each, Expr))


@given(st.text(alphabet="ab_*+ ", max_size=60), st.integers(1, 40))
def test_wrapping_loses_no_word(said: str, width: int) -> None:
    assert " ".join(wrapped(said, width)).split() == said.split()


def test_the_width_is_the_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Document("T", (Prose(WHY),), {})
    assert max(map(len, text(page).splitlines())) > 80
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "50")
    assert max(map(len, text(page).splitlines())) <= 50


def test_text_has_no_escape_sequence_of_a_terminal() -> None:
    assert "\x1b" not in render_document(Document("\x1b[31m", (Prose("\x1b]0;x\x07"), Listing("\x1b[2J")), {}), "text")


def test_json_is_json() -> None:
    for derivation in derived():
        data = json.loads(render(derivation, "json"))
        assert data["N"] == str(derivation.N) and len(data["operations"]) == len(derivation.rows)
        assert [step["expression"] for step in data["steps"]] == [str(step.expression) for step in derivation.steps]


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UnknownName, match="html"):
        render(derive("kaplan2020"), "docx")
    assert run(["derive", "no such model", "--format", "docx"]) == 2
    assert set(FORMATS) == {"text", "markdown", "latex", "html", "json"}
    assert plain(("a", "b")) == "ab"


@LATEX
def test_tables_of_any_shape_fit_the_page(tmp_path: Path) -> None:
    source = tmp_path / "tables.tex"
    source.write_text(render_document(Document("Tables", tuple(any_tables()), {}), "latex"), encoding="utf-8")
    assert compiled(source) == []
