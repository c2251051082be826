"""Records come back as they were written; broken ones are refused in one line that says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from symflops.timing.records import Record, parsed
from symflops.timing.samples import RecordError, Sample

SAMPLE = Sample("up", "matmul", "forward", {"m": 4, "k": 8}, 512, 128, (2e-6, 1e-6, 3e-6))
RECORD = Record("NVIDIA H100", {"torch": "2.9"}, "2026-01-31T10:00:00", "bf16", ("clocks: 1980 MHz",), (SAMPLE,))


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    place = tmp_path / "h100.json"
    RECORD.write(place)
    assert Record.read(place) == RECORD and [each.name for each in tmp_path.iterdir()] == ["h100.json"]


def test_median_spread_and_intensity() -> None:
    assert (SAMPLE.median, SAMPLE.spread, SAMPLE.intensity) == (2e-6, pytest.approx(0.5), 4)
    one = Sample("act", "relu", "forward", {}, 0, 0, (1.0,))
    assert (one.spread, one.intensity) == (0, 0)


def test_a_sample_of_the_same_takes_the_place_of_the_first() -> None:
    again = Sample(**{**vars(SAMPLE), "seconds": (1e-6,)})
    other = Sample(**{**vars(SAMPLE), "phase": "backward"})
    assert RECORD.with_sample(again).samples == (again,)
    assert RECORD.with_sample(other).samples == (SAMPLE, other)


def broken(**changes: Any) -> str:
    """A record with one sample, whose fields are changed."""
    data = json.loads(RECORD.to_json())
    data["samples"][0].update(changes)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON at line 1"),
        ("[" * 100_000, "not JSON"),
        ('{"device": ' + "9" * 5000 + "}", "not JSON"),
        ("[]", "a record is an object, not \\[\\]"),
        ("{}", "no 'device'; a record has device, versions, date, dtype, notes, samples"),
        (RECORD.to_json().replace('"date"', '"day"'), "no 'date'"),
        (json.dumps({**json.loads(RECORD.to_json()), "more": 1}), "unknown 'more'"),
        (json.dumps({**json.loads(RECORD.to_json()), "samples": [3]}), "'samples' is a list of samples"),
        (broken(phase="sideways"), "phase 'sideways' is not one of forward, backward"),
        (broken(seconds=[]), "no seconds"),
        (broken(seconds=[0.0]), "above 0 and finite"),
        (broken(seconds=[float("nan")]), "above 0 and finite"),
        (broken(seconds=[10**400]), "'seconds' is a list of numbers"),
        (broken(seconds="1"), "'seconds' is a list of numbers"),
        (broken(flops=1.5), "'flops' is a whole number, not 1.5"),
        (broken(flops=-1), "flops are a count of 0 or more"),
        (broken(bytes=True), "'bytes' is a whole number"),
        (broken(sizes={"m": 0}), "sizes are 1 or more, not m=0"),
    ],
)
def test_broken_records_are_refused_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    place = tmp_path / "broken.json"
    place.write_text(text)
    with pytest.raises(RecordError, match=said) as caught:
        Record.read(place)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(place)) and len(str(caught.value)) < 400


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"cannot read .*No such file"):
        Record.read(tmp_path / "none.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(RecordError, match="it is not text"):
        Record.read(tmp_path / "bytes.json")
    with pytest.raises(RecordError, match="cannot write"):
        RECORD.write(tmp_path / "nowhere" / "a.json")
    assert parsed(broken()) == RECORD
