"""Plants every fault, asks every law and oracle, and writes what came of it to `benchmarks/records/mutation.json`.

``python benchmarks/mutate.py [--processes 2]``; then ``python docs/generate.py``. Exits with 1 where a fault that
changes a cost survives.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
from pathlib import Path

RECORD = Path(__file__).parent / "records" / "mutation.json"


def main() -> None:
    """Run, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()

    import sympy

    from symflops import __version__
    from symflops.certified import certified
    from symflops.laws.mutation.running import mutate

    found = mutate(progress=lambda what, done, of: print(f"{done}/{of} {what}", flush=True), processes=given.processes)
    versions = {"symflops": __version__, "sympy": sympy.__version__, "python": platform.python_version()}
    oracle = {
        f"{name} of the certified forms": each for name, each in certified().versions.items() if name != "symflops"
    }
    record = {"date": datetime.date.today().isoformat(), "versions": {**versions, **oracle}, **found.told}
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(found.show("text"))
    sys.exit(0 if found.holds else 1)


if __name__ == "__main__":
    main()
