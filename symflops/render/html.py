"""HTML with MathML: formulas show in a browser without a network or a script."""

from __future__ import annotations

from html import escape, unescape
from typing import Any
from xml.dom.minidom import Text

from sympy import Add, Basic, Symbol
from sympy.core.alphabets import greeks
from sympy.printing.mathml import MathMLPresentationPrinter
from sympy.printing.pretty.pretty_symbology import greek_unicode

from symflops.render.wording import is_symbol, name_parts, printable

STYLE = (
    ":root{color-scheme:light dark;--line:#bbb;--why:#555;--paper:#fff;--ink:#111}"
    "@media(prefers-color-scheme:dark){:root{--line:#555;--why:#aaa;--paper:#161616;--ink:#e6e6e6}}"
    "body{font:1rem/1.5 serif;max-width:60rem;margin:2rem auto;padding:0 1rem;background:var(--paper);color:var(--ink)}"
    "table{border-collapse:collapse;border-top:2px solid;border-bottom:2px solid}"
    "thead th{border-bottom:1px solid;text-align:left}td,th{padding:.3rem .8rem;vertical-align:baseline}"
    ".scroll{overflow-x:auto;margin:1rem 0}.total td{border-top:1px solid}.why{color:var(--why);display:block}"
    ".steps{border:0}.steps td{padding:.2rem .3rem}.steps td:first-child{text-align:right}"
    "p,pre{overflow-x:auto}caption{text-align:left;font-weight:bold;padding:.6rem 0}"
    "pre{border-left:2px solid var(--line);padding-left:1rem}"
)
"""The style of every page."""
_LONG = 60


def words(text: str) -> str:
    """Text that stands in a page as it is.

    >>> words("a < b & c")
    'a &lt; b &amp; c'
    """
    return escape(printable(text))


def formula(expression: Basic) -> str:
    """An expression as inline MathML; a long sum is one for each term, since a browser breaks lines only between them.

    >>> from symflops.notation import d_model
    >>> formula(d_model)
    '<math><msub><mi>d</mi><mi>model</mi></msub></math>'
    """
    if not isinstance(expression, Add) or len(str(expression)) <= _LONG:
        return _math(expression)
    first, *rest = expression.as_ordered_terms()
    return "\n".join([_math(first), *map(_next_term, rest)])


def _next_term(term: Basic) -> str:
    negative = term.could_extract_minus_sign()
    return _math(-term if negative else term, f"<mo>{'-' if negative else '+'}</mo>")


def _math(expression: Basic, sign: str = "") -> str:
    return f"<math>{sign}{_Presentation().doprint(expression)}</math>"


class _Presentation(MathMLPresentationPrinter):
    """sympy's printer, which leaves what is text to be escaped by whoever writes it: names, and ``<`` itself."""

    def __init__(self) -> None:
        super().__init__()
        self.dom.createTextNode = self._text

    def doprint(self, expr: Basic) -> str:
        around = self.dom.createElement("mrow")
        around.appendChild(self._print(expr))
        for each in around.getElementsByTagName("mfenced"):
            self._in_brackets(each)
        return str(around.firstChild.toxml())

    def _in_brackets(self, fenced: Any) -> None:
        """Before 1.14, sympy prints an element of its own for brackets, which browsers no longer know."""
        signs = [fenced.getAttribute("open") or "(", *[","] * (len(fenced.childNodes) - 1)]
        for sign, child in zip(signs, list(fenced.childNodes), strict=True):
            fenced.insertBefore(self._sign(sign), child)
        fenced.appendChild(self._sign(fenced.getAttribute("close") or ")"))
        for name in [*fenced.attributes.keys()]:
            fenced.removeAttribute(name)
        fenced.tagName = fenced.nodeName = "mrow"

    def _sign(self, said: str) -> Any:
        found = self.dom.createElement("mo")
        found.appendChild(self._text(said))
        return found

    def _text(self, said: str) -> Text:
        return self._escaped(unescape(said))

    def _escaped(self, said: str) -> Text:
        node = Text()
        node.data, node.ownerDocument = printable(said), self.dom
        return node

    def _print_Symbol(self, sym: Symbol, style: str = "plain") -> Any:
        letter, below = name_parts(sym.name)
        if len(letter) > 1 and letter.lower() not in greeks:
            return self._word(f"{letter} {below}".strip())
        name = self._word(greek_unicode.get(letter, letter))
        if not below:
            return name
        found = self.dom.createElement("msub")
        found.appendChild(name)
        found.appendChild(self._word(below))
        return found

    def _word(self, said: str) -> Any:
        found = self.dom.createElement("mi")
        found.appendChild(self._escaped(said.replace(" ", "\xa0")))
        return found


def quantity(name: str) -> str:
    """The name of a quantity.

    >>> quantity("C_forward"), quantity("bytes of a cache")
    ('<math><msub><mi>C</mi><mi>forward</mi></msub></math>', 'bytes of a cache')
    """
    return _math(Symbol(name)) if is_symbol(name) else words(name)
