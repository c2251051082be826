"""Well-known models by name: a Hugging Face config each, as data, with where its sizes are published."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from symflops.errors import UnknownName


@cache
def presets() -> Mapping[str, Mapping[str, Any]]:
    """Name to ``config``, ``source``, and ``params`` where an exact count is published.

    >>> presets()["gpt2"]["params"]
    124439808
    """
    table = json.loads(Path(__file__).with_name("presets.json").read_text(encoding="utf-8"))
    return {name: entry for group in table for name, entry in _entries(group)}


def _entries(group: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    shared, source = group["config"], group["source"]
    return [
        (name, {"source": source, **entry, "config": {**shared, **entry["config"]}})
        for name, entry in group["models"].items()
    ]


def preset(name: str) -> tuple[str, Mapping[str, Any]]:
    """The preset of that name and its entry; case and punctuation do not matter.

    >>> preset("Llama3_8B")[0]
    'llama3-8b'

    Raises `UnknownName`, with the nearest names.
    """
    by_letters = {_letters(known): known for known in presets()}
    if _letters(name) not in by_letters:
        raise UnknownName("model", name, presets())
    known = by_letters[_letters(name)]
    return known, presets()[known]


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
