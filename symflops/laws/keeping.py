"""Cases that broke a law, kept in a folder as JSON to be asked first the next time: one file for each function and law.

>>> from tempfile import TemporaryDirectory
>>> from symflops.architectures import architecture
>>> with TemporaryDirectory() as folder:
...     keep(Path(folder), "flops", "layer-linearity", Case(architecture("gpt2"), 2, 8))
...     [case] = kept_cases(Path(folder), "flops", "layer-linearity")
...     [each.name for each in Path(folder).iterdir()], case.n_seq, case.sizes["d_model"]
(['flops.layer-linearity.json'], 8, 768)
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from symflops.errors import SymflopsError
from symflops.laws.cost import Case, CostError
from symflops.laws.drawing import kept


def kept_cases(folder: Path, function: str, law: str) -> tuple[Case, ...]:
    """The cases that once broke a law. Raises `CostError` for a file that holds none."""
    path = _path(folder, function, law)
    if not path.exists():
        return ()
    try:
        return tuple(_case(each) for each in _read(path))
    except (KeyError, TypeError, SymflopsError, ValueError, OSError) as error:
        raise CostError(f"{path} holds no cases that symflops kept ({error}); delete it") from None


def keep(folder: Path, function: str, law: str, case: Case) -> None:
    """Adds a case to those that are kept, once. Raises `CostError` where the folder cannot be written."""
    path = _path(folder, function, law)
    said = {"config": dict(case.model.config), "n_batch": case.n_batch, "n_seq": case.n_seq}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        before = _read(path) if path.exists() else []
        if said not in before:
            path.write_text(json.dumps([*before, said], indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        raise CostError(f"cannot keep a case in {path}: {error}") from None


def _path(folder: Path, function: str, law: str) -> Path:
    return folder / f"{re.sub(r'[^A-Za-z0-9_]+', '_', function)}.{law}.json"


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _case(said: Any) -> Case:
    return Case(kept(said["config"]), int(said["n_batch"]), int(said["n_seq"]))
