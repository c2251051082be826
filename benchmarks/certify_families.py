"""Traces families of transformers, certifies each, and writes what was found to `symflops/certified.json`.

``python benchmarks/certify_families.py [--points 8] [--processes 2] [FAMILY …]``: without families all of them, an
hour on two cores. Families that are named replace their entries in the record; each is written as soon as it is done.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
from typing import Any

FAMILIES = [
    "gpt2", "gpt_neo", "gpt_neox", "gptj", "opt", "bloom", "falcon", "mpt", "llama", "mistral", "qwen2", "qwen3",
    "gemma", "gemma2", "gemma3_text", "phi", "phi3", "cohere", "olmo", "olmo2", "stablelm", "granite", "mixtral",
    "qwen2_moe", "qwen3_moe", "olmoe", "deepseek_v2", "deepseek_v3", "gpt_oss", "bert", "roberta", "t5", "bart",
    "vit", "clip", "whisper", "mamba", "mamba2",
]  # fmt: skip
FORMS = ("params", "N", "C_forward", "C_backward", "saved_bytes", "bytes_read", "bytes_written")


def entry(job: tuple[str, str, str | None, int]) -> tuple[str, dict[str, Any] | None, str]:
    """Trace one family with some kernels: its name, the entry or None, and what was refused."""
    from symflops.errors import SymflopsError
    from symflops.tracing.trace import trace

    family, attention, experts, points = job
    try:
        found = trace(f"hf:{family}", attention=attention, experts=experts, certify=points)
    except SymflopsError as error:
        return family, None, f"{attention}{f', {experts} experts' if experts else ''}: {error}"
    forms = {name: getattr(found, name) for name in FORMS}
    made = {
        "family": family,
        "target": found.target,
        "attention": attention,
        "experts": experts or ("grouped_mm" if "n_expert" in found.dimensions else ""),
        "points": found.certificate.points,
        "recovered": [each.size for each in found.recovered],
        "domain": [str(each) for each in found.domain],
        "notes": list(found.notes),
        "dimensions": dict(found.dimensions),
        "forms": {name: None if form is None else str(form) for name, form in forms.items()},
    }
    return family, made, ""


def jobs(families: list[str], points: int) -> list[tuple[str, str, str | None, int]]:
    """Every family with every kernel that its class has."""
    from symflops.tracing.targets import resolve

    found: list[tuple[str, str, str | None, int]] = []
    for family in families:
        target = resolve(f"hf:{family}")
        found += [(family, attention, None, points) for attention in target.attentions]
        found += [(family, "eager", experts, points) for experts in target.experts if experts != "grouped_mm"]
    return found


def main() -> None:
    """Trace, and write the record after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=FAMILIES)
    parser.add_argument("--points", type=int, default=8)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()

    import torch
    import transformers

    from symflops import __version__
    from symflops.certified import RECORD

    torch.set_num_threads(1)
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {"entries": [], "refused": {}}
    record["versions"] = {"symflops": __version__, "torch": torch.__version__, "transformers": transformers.__version__}
    record["date"] = datetime.date.today().isoformat()
    record["entries"] = [each for each in record["entries"] if each["family"] not in given.families]
    record["refused"] = {name: why for name, why in record["refused"].items() if name.split()[0] not in given.families}
    with multiprocessing.get_context("fork").Pool(given.processes, maxtasksperchild=4) as pool:
        for family, made, refused in pool.imap_unordered(entry, jobs(given.families, given.points), chunksize=1):
            print(family, made["attention"] if made else refused, flush=True)
            if made:
                record["entries"].append(made)
            else:
                record["refused"][f"{family} {refused.partition(':')[0]}"] = refused.partition(": ")[2]
            order = {name: place for place, name in enumerate([*FAMILIES, *given.families][::-1])}
            record["entries"].sort(key=lambda each: (-order.get(each["family"], 0), each["attention"], each["experts"]))
            RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
