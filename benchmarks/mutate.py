"""Plants every fault, asks every law and oracle, and writes what came of it to `benchmarks/records/mutation.json`.

``python benchmarks/mutate.py [--processes 2] [NAME …]``: without names all masks, conventions and families, ten
minutes of one core. Those that are named replace their mutants in the record. Then ``python docs/generate.py``. Exits
with 1 where a fault that changes a cost survives.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parent / "records" / "mutation.json"


def written(record: Mapping[str, Any]) -> str:
    """The record as JSON, a line for each mutant; what follows from them is left out."""
    lines = ",\n".join(json.dumps(each, ensure_ascii=False) for each in record["outcomes"])
    head = {name: record[name] for name in ("date", "cpu_seconds", "versions")}
    return json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}") + f',\n "outcomes": [\n{lines}\n]\n}}\n'


def main() -> None:
    """Run, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()

    import sympy

    from symflops import __version__
    from symflops.certified import certified
    from symflops.laws.mutation.record import told
    from symflops.laws.mutation.running import OF, Mutated, mutate

    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime + time.process_time()
    found = mutate(
        given.names or OF,
        lambda what, done, of: print(f"{done}/{of} {what}", flush=True),
        processes=given.processes,
    )
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime + time.process_time() - before
    versions = {"symflops": __version__, "sympy": sympy.__version__, "python": platform.python_version()}
    traced = {name: each for name, each in certified().versions.items() if name != "symflops"}
    old = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() and given.names else {}
    kept = [each for each in old.get("outcomes", []) if each["of"] not in given.names]
    outcomes = sorted([*kept, *found.told["outcomes"]], key=lambda each: OF.index(each["of"]))
    about = {
        "date": datetime.date.today().isoformat(),
        "versions": {**versions, **{f"{name} of the certified forms": each for name, each in traced.items()}},
    }
    record = told(outcomes, cpu_seconds=old.get("cpu_seconds", round(spent)), **about)
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(written(record), encoding="utf-8")
    print(Mutated(record).show("text"))
    sys.exit(0 if not record["surviving"] else 1)


if __name__ == "__main__":
    main()
