"""What symflops raises: one line naming what was given, what is allowed and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SymflopsError(ValueError):
    """Bad input. Its text is one line; the command line prints it and exits with code 2."""


class DeclarationError(SymflopsError):
    """An operation's declaration that does not say what it computes."""


class SizeError(SymflopsError):
    """A size that is missing, not a positive integer, or does not divide as it must."""


class NotLinearError(SymflopsError):
    """A network that is not a sum of multiples of operations, such as ``op*op`` or ``1/op``."""


class ConventionMismatch(SymflopsError):
    """Two totals that were counted under different conventions, or in different units."""


class ConfigError(SymflopsError):
    """A model configuration that cannot be read, is of a foreign family, or contradicts itself."""


class NoDecoding(ConfigError):
    """A model that does not decode with a cache, such as an encoder, asked for a step of decoding."""


class UnknownName(SymflopsError):
    """A name that is not in the list it was looked up in.

    >>> raise UnknownName("convention", "kaplen", ["kaplan", "palm"])
    Traceback (most recent call last):
    symflops.errors.UnknownName: unknown convention 'kaplen'; did you mean 'kaplan'? (known: kaplan, palm)
    """

    def __init__(self, what: str, given: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(str(given).lower(), names, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        super().__init__(f"unknown {what} {given!r}{hint} (known: {', '.join(names)})")


class UnknownFamily(UnknownName):
    """A config of a family that has no composition here.

    >>> raise UnknownFamily("lama", ["llama", "gpt2"])
    Traceback (most recent call last):
    symflops.errors.UnknownFamily: unknown model_type 'lama'; did you mean 'llama'? (known: gpt2, llama); for a ...
    """

    def __init__(self, given: str, known: Iterable[str]) -> None:
        super().__init__("model_type", given, known)
        self.args = (f"{self.args[0]}; for a model that transformers has, try: symflops trace hf:{given}",)
