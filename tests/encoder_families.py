"""Families with an encoder."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


FAMILIES = ("bert", "roberta", "t5", "bart", "vit", "clip", "whisper")
TRANSLATORS = ("t5", "bart", "whisper")
ENCODERS = ("bert", "roberta", "vit", "clip")
