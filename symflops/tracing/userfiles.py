"""A user's own Python file, run because the user named it, and imported without a trace in Python's tables."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from symflops.errors import ConfigError


def load(path: Path) -> ModuleType:
    """Import a file from its path; the folder is importable meanwhile, and Python's tables are as before afterwards."""
    if not path.is_file():
        raise ConfigError(f"cannot read {path}: no such file")
    spec = importlib.util.spec_from_file_location(f"_symflops_target_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    with _tables_restored(path.resolve().parent):
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ConfigError(f"{path} does not run: {reason}") from error
    return module


@contextmanager
def _tables_restored(folder: Path) -> Iterator[None]:
    before, known, bytecode = list(sys.path), set(sys.modules), sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = before, bytecode
        for name in set(sys.modules) - known:
            origin = getattr(sys.modules[name], "__file__", None) or ""
            if name.startswith("_symflops_target_") or Path(origin).is_relative_to(folder):
                del sys.modules[name]
