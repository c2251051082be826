"""A cost function by its name: ``module:function``, found in the current folder or among what is installed.

>>> target("math:gcd").__name__
'gcd'
>>> target("math:gdc")
Traceback (most recent call last):
symflops.laws.cost.CostError: math has no 'gdc'; it has acos, acosh, ...
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from symflops.laws.cost import CostError


def target(name: str) -> Callable[..., Any]:
    """The function that a name says; a dot after the colon reaches into a class or a namespace.

    The module is imported, so that its code runs. Raises `CostError` for a name that is none, a module that cannot be
    imported, and what is no function in it.
    """
    module, colon, inside = name.partition(":")
    if not (module and colon and inside):
        raise CostError(f"{name!r} is no cost function; give module:function, such as mypackage.costs:flops")
    found: Any = _imported(module)
    for part in inside.split("."):
        if not hasattr(found, part):
            public = ", ".join(each for each in dir(found) if not each.startswith("_"))
            raise CostError(f"{module} has no {inside!r}; it has {public or 'nothing public'}")
        found = getattr(found, part)
    if not callable(found):
        raise CostError(f"{name} is {type(found).__name__}, not a function")
    return found  # type: ignore[no-any-return]


def _imported(module: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise CostError(f"cannot import {module} from {here}: {type(error).__name__}: {error}") from None
