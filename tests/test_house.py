"""The rules of the house: who imports whom, what is never called, how long a file may be, pages that code makes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))
import generate  # noqa: E402 - it lies beside the pages that it makes

sys.path.pop(0)
SOURCES = sorted([*(ROOT / "symflops").rglob("*.py"), *(ROOT / "derivations").rglob("*.py")])
ORDER = (
    "errors", "notation", "grammar", "arithmetic", "expressions", "proof", "steps", "documents", "declarations",
    "formulas", "masks", "nodes", "operations", "elementwise", "networks", "conventions", "totals", "measures",
    "serving", "layers", "architectures", "derivation", "emit", "sizes", "sweeps", "evaluate", "render", "evidence",
    "catalogue", "certified", "proved", "questions", "claims", "explain", "identify", "laws", "training", "timing",
    "plans", "sweeping", "pictures", "plan_pictures", "timing_pictures", "tracing", "cli",
)  # fmt: skip
"""Imports run from right to left in this list, never the other way. `derivations` stands beside `catalogue`."""
COMPILES = {ROOT / "symflops" / "evaluate.py"}
"""Runs the source that symflops itself printed from a whitelist of nodes and checked names."""
LATE = {("derivation", "render")}
"""A derivation shows itself in a notebook: it asks for `render` when it is shown."""


def imported(path: Path) -> list[str]:
    """Every module that a file imports, by its full name."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def part(path: Path) -> str:
    """The part of the house that a file belongs to."""
    inside = path.relative_to(ROOT / "symflops")
    return inside.parts[0].removesuffix(".py")


def upward(path: Path) -> list[str]:
    """The imports of a file that run against the order."""
    own = part(path)
    names = [name.split(".")[1] for name in imported(path) if name.startswith("symflops.")]
    return [
        name for name in names if name in ORDER and ORDER.index(name) > ORDER.index(own) and (own, name) not in LATE
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_source_file_keeps_the_rules(path: Path) -> None:
    names = imported(path)
    if path.is_relative_to(ROOT / "symflops") and path.name != "__init__.py":
        assert upward(path) == []
    if "tracing" not in path.parts:
        assert not [name for name in names if name.split(".")[0] in ("torch", "transformers")]
        assert "cli" in path.parts or not [name for name in names if name.startswith("symflops.tracing")]
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
    assert dangerous(path) == []
    assert max((length for _, length in functions(path)), default=0) <= 60


PRIVATE = ("torch._", "torch.fx.experimental", "torch.utils._", "torch.nested._")


def private(path: Path) -> list[str]:
    """What a file imports of torch that torch calls private."""
    return [name for name in imported(path) if name.startswith(PRIVATE)]


def test_what_is_private_to_torch_is_imported_in_one_folder() -> None:
    using = {path.parent.name for path in SOURCES if private(path)}
    assert using == {"internals"}


def dangerous(path: Path) -> list[str]:
    """Calls that would run text: eval, parse_expr, sympify without strict, unsafe YAML."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            strict = any(each.arg == "strict" for each in node.keywords)
            builtin = isinstance(node.func, ast.Name) and (name == "eval" or (name == "exec" and path not in COMPILES))
            if builtin or name in ("parse_expr", "unsafe_load") or (name == "sympify" and not strict):
                found.append(f"{name}, line {node.lineno}")
    return found


def functions(path: Path) -> list[tuple[str, int]]:
    """Every function and its length."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [
        (node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in nodes
        if isinstance(node, ast.FunctionDef)
    ]


def test_the_rules_can_fail(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("import torch\nx = eval('1')\nexec('')\ny = sympify(x)\n" + "def f():\n" + "    pass\n" * 70)
    assert imported(planted) == ["torch"]
    assert len(dangerous(planted)) == 3 and functions(planted) == [("f", 71)]
    assert ORDER.index("cli") > ORDER.index("measures")


def test_every_part_of_the_house_has_its_place() -> None:
    assert {part(path) for path in SOURCES if path.is_relative_to(ROOT / "symflops")} - {"__init__"} == set(ORDER)


def test_importing_symflops_and_deriving_imports_no_torch() -> None:
    code = (
        "import sys, symflops; from symflops.cli import run; run(['derive', 'kaplan2020']); run(['evaluate', 'gpt2']);"
        "late = {'torch', 'transformers', 'numpy', 'rich', 'pandas', 'pyarrow', 'dask', 'distributed'};"
        "assert not late & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_folders_of_pages_hold_nothing_else() -> None:
    sources = {f"sources/{path.name}" for path in (ROOT / "docs" / "sources").iterdir()}
    assert sources == {name for name in generate.PAGES if name.startswith("sources/")}


@pytest.mark.parametrize("name", generate.PAGES)
def test_the_pages_made_from_code_are_what_the_code_makes(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == generate.page(name), "run python docs/generate.py"
