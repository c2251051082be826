"""Documents that the tests of every format share: one with all that a page can hold, and one that means harm."""

from __future__ import annotations

from collections.abc import Iterator

from sympy import Basic, Eq, Integer, Mod, Rational, Symbol, floor

from symflops.documents import (
    Block,
    Cell,
    Code,
    Document,
    Facts,
    Forms,
    Heading,
    Listing,
    Prose,
    Remarks,
    Steps,
    Table,
    pieces,
    prose,
)
from symflops.notation import d_ff, d_model, n_ctx, n_head, n_kv_head, n_layer, n_seq, n_vocab
from symflops.steps import Step, drop, rewrite, start

HOSTILE = (
    "<script>alert(1)</script>", r"\input{/etc/passwd}", "50% of R&D #1", "a_b _c_ *d* **e**", "x | y || z", "$x^2$ ~",
    "{}} \\end{document}", "`code` ``", "&lt; &amp;", "[a](http://b) <http://c>", "# no heading", "- no item",
    "1. no item", "> no quotation", "'quotes' \"too\"", "a -- b --- c << >> ,, ''", "!`?`", "C:\\new\\table",
    "<!-- --> ]]>", "~~gone~~", "*starred*", "[8pt] more",
)  # fmt: skip
"""Text that some format would take for its own."""
UNICODE = "– — × ² é ü Θ ≤ ≥ ≈ → ∞ √ µ π Δ ₂ … “q” ’ € § 中 ½ ⌈x⌉ ∑ Å ✓"
WHY = "the printed figure leaves out norms and biases, which the released weights have, and is rounded to two digits"


def long_chain() -> tuple[Step, ...]:
    """Steps of which one is long and one leaves something out."""
    layers = sum(((place + 2) * d_model**place * d_ff * n_seq for place in range(12)), n_vocab * d_model)
    chain = rewrite(start("C_forward", layers * n_layer, "the table"), (layers * n_layer).expand(), "multiplied out")
    return drop(
        chain, n_vocab * d_model * n_layer, (layers - n_vocab * d_model) * n_layer, "small where d_ff >> n_vocab"
    )


LONG = long_chain()[1].expression


def verdicts() -> Table:
    """A table of claims, ten columns wide."""
    head = ("table", "row", "column", "printed", "computed", "ratio", "rounding", "verdict", "missing", "why")
    row = ("Table 2.1", "GPT-3 175B, “GPT-3”", "n_params", "175.0B", "174,604,259,328", "1.0023", "±50,000,000",
           "reproduces", Code("n_kv_head"), WHY)  # fmt: skip
    return Table("Verdicts", head, tuple(row for _ in range(40)))


EVERYTHING = Document(
    "Everything a page can hold: 5% & more",
    (
        prose("A layer has ", 12 * d_model**2, " parameters, see ", Code("mlp.up_proj"), f"; {UNICODE}"),
        Prose("takes (2*d_model*n_ctx + 3*n_seq) additions, n_layer times."),
        Heading("Forms"),
        Forms((("N", 12 * n_layer * d_model**2), ("saved_bytes", LONG), ("", Rational(3, 2) * n_ctx), ("a day", d_ff))),
        Heading("and steps", 2),
        Steps(long_chain()),
        Table("Sums", ("what", "all"), (("a", d_model), ("b", "-")), ("both", Eq(Symbol("N"), n_ctx, evaluate=False))),
        verdicts(),
        Facts("where", (Eq(Mod(n_head, n_kv_head), 0), n_seq + 2 <= n_ctx, floor(n_ctx / 8) >= 2, ("if ", n_ctx > 3))),
        Facts("left out", ()),
        Remarks((("Embed", (Integer(2), " for each element")), ("", "an item of its own"), ("long", WHY * 4))),
        Listing("$ symflops derive gpt2 --json\n    {\"N\": 1}\n" + "x" * 200),
        Table("", ("w" * 90,), (("https://example.org/" + "a/" * 90,), (LONG / (n_ctx + n_seq + d_ff) / 7,))),
    ),
    {},
)  # fmt: skip

HARMFUL = Document(
    HOSTILE[0],
    (
        *map(Prose, HOSTILE),
        *(Prose((Code(each), Symbol(each) + 1)) for each in HOSTILE),
        Heading(HOSTILE[1]),
        Forms(tuple((each, Symbol(each)) for each in HOSTILE)),
        Steps(tuple(Step(each, Symbol(each), each, Integer(1), Symbol(each)) for each in HOSTILE)),
        Table(HOSTILE[2], HOSTILE[:4], tuple((each, Code(each), Symbol(each), (each, each)) for each in HOSTILE)),
        Facts(HOSTILE[3], HOSTILE),
        Remarks(tuple((each, each) for each in HOSTILE)),
        Remarks(tuple(("", each) for each in HOSTILE)),
        Listing("\n".join(HOSTILE)),
        Listing("\x00\x1b[31m\ud800"),
    ),
    {},
)


def formulas(document: Document) -> Iterator[Basic]:
    """Every expression that a page has to show, condition or form."""
    for block in document.blocks:
        yield from _of_block(block)


def _of_block(block: Block) -> Iterator[Basic]:
    match block:
        case Prose(text=said):
            yield from _of_cells(said)
        case Forms(forms=forms):
            yield from (form for _, form in forms)
        case Steps(steps=steps):
            for step in steps:
                yield from (each for each in (step.expression, step.terms, step.dropped or None) if each is not None)
        case Table(rows=rows, total=total):
            yield from _of_cells(*(cell for row in (*rows, total) for cell in row))
        case Facts(items=items):
            yield from _of_cells(*items)
        case Remarks(remarks=remarks):
            yield from _of_cells(*(said for _, said in remarks))


def _of_cells(*cells: Cell) -> Iterator[Basic]:
    yield from (piece for cell in cells for piece in pieces(cell) if isinstance(piece, Basic))


def any_tables() -> Iterator[Table]:
    """Tables of two to twelve columns, of numbers, names, formulas and sentences in changing places."""
    cells: tuple[Cell, ...] = (
        "1,234,567,890", "GPT-3 13B", d_model * n_layer, WHY, Code("transformer.h.*.attn"), "±0.5", LONG, "DIFFERS",
        "takes (2*d_model*n_ctx + 3*n_seq) additions", d_ff * n_ctx / (d_model + n_seq), "Megatron-LM", "3.14E+23",
        (3 * n_ctx, " of ", n_seq),
    )  # fmt: skip
    for number in range(2, 13):
        for shift in range(0, len(cells), 3):
            row = tuple(cells[(shift + place * (1 + number % 3)) % len(cells)] for place in range(number))
            yield Table(f"{number} columns", tuple(f"column {place}" for place in range(number)), (row, row), row)
