"""Which choices reproduce printed figures: conventions, ties, biases, norms, padding, widths, and a size not printed.

>>> rows = [row("117M", n_layer=12, d_model=768, n_ctx=1024), row("1542M", n_layer=48, d_model=1600, n_ctx=1024)]
>>> found = identify(rows, "params", unknown=["n_vocab"])
>>> found.everything, found.fits[0].choices["tables"].name
(True, 'tied')
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from symflops.identify.rows import Row, row

if TYPE_CHECKING:
    from symflops.architectures import Architecture
    from symflops.identify.fits import Identified
    from symflops.identify.search import Progress


def identify(
    rows: Sequence[Row],
    quantity: str,
    unknown: Sequence[str] = (),
    on: Architecture | None = None,
    per: str = "any",
    progress: Progress | None = None,
) -> Identified:
    """The combinations of choices that reproduce all rows at once, or as many as any does, ranked.

    ``quantity`` is params, forward, training, flops (either), or ratio (training / 6*N*D); ``unknown`` is a size that
    is solved for, or two, of which the first is stepped through; ``on`` is an architecture, of which only what is
    counted is searched; ``per`` is what work is for: token, sequence, image or any. ``progress`` is told how many cases
    are done, and of how many.
    Raises `UnknownName` for another word, `SizeError` for rows without the sizes that every network has.
    """
    from symflops.identify.asking import ask

    return ask(rows, quantity, unknown, on, per, progress or (lambda done, of: None))


__all__ = ["Row", "identify", "row"]
