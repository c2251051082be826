"""Copies of layers without storage, such as `nn.TransformerEncoder` makes of the one layer that it is given.

>>> import copy
>>> from torch._subclasses.fake_tensor import FakeTensorMode
>>> with FakeTensorMode(), layers_copied():
...     layer = torch.nn.Linear(3, 5)
...     copy.deepcopy(layer).weight is layer.weight
False
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor


@contextmanager
def layers_copied() -> Iterator[None]:
    """A scope in which parameters without storage can be copied; torch asks for their bytes, and copies their mode."""
    plain = Tensor.__deepcopy__

    def copied(tensor: Any, memo: dict[int, Any]) -> Any:
        if not (isinstance(tensor, torch.nn.Parameter) and isinstance(tensor, FakeTensor)):
            return plain(tensor, memo)  # type: ignore[no-untyped-call]
        if id(tensor) not in memo:
            memo[id(tensor)] = torch.nn.Parameter(torch.empty_like(tensor.data), tensor.requires_grad)
        return memo[id(tensor)]

    Tensor.__deepcopy__ = copied  # type: ignore[method-assign]
    try:
        yield
    finally:
        Tensor.__deepcopy__ = plain  # type: ignore[method-assign]
