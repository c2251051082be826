"""Which choices reproduce printed figures: conventions, ties, biases, norms, padding, widths, and a size not printed.

>>> from symflops.identify import identify, row
>>> rows = [row("117M", n_layer=12, d_model=768, n_ctx=1024), row("1542M", n_layer=48, d_model=1600, n_ctx=1024)]
>>> found = identify(rows, "params", unknown=["n_vocab"])
>>> found.everything
True
"""

from symflops.identify.asking import identify
from symflops.identify.rows import Row, row

__all__ = ["Row", "identify", "row"]
