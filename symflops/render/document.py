"""The names of a page's value types, which `symflops.documents` holds, beside `readable`."""

from symflops.documents import Block, Cell, Code, Document, Facts, Forms, Prose, Table, division
from symflops.render.readable import readable

__all__ = ["Block", "Cell", "Code", "Document", "Facts", "Forms", "Prose", "Table", "division", "readable"]
