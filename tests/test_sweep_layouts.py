"""Sweeps over layouts against plans of single layouts."""

import pytest

from symflops.architectures import architecture
from symflops.cli import run
from symflops.sweeping import sweep
from symflops.training.parallelism import Cluster, Layout, plan

LLAMA = architecture("llama3-8b", "flash")


def test_every_point_is_the_plan_of_its_layout() -> None:
    over = {"data": [1, 4], "tensor": [1, 2, 8], "micro": [1, 4], "batch": [64], "seq": [8192]}
    found = sweep(LLAMA, over=over, measures=["device_bytes", "device_state_bytes", "device_sent_bytes"])
    rows = [dict(zip(found.columns, row, strict=True)) for row in zip(*found.columns.values(), strict=True)]
    assert len(rows) == 12
    for row in rows:
        data, tensor, micro = (int(row[name]) for name in ("data", "tensor", "micro"))
        layout = Layout(data=data, tensor=tensor, micro=micro, sharding="zero3", sequence="split")
        alone = plan(LLAMA, Cluster(data * tensor, 8, 10**15, 10**15, 10**11, 10**10), layout, 64, 8192)
        assert row["device_bytes"] == alone.held
        assert row["device_state_bytes"] == sum(alone.memory[each] for each in ("parameters", "gradients", "optimizer"))
        assert row["device_sent_bytes"] == sum(alone.sent.values())


def test_layouts_that_do_not_divide_are_dropped_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    asked = "sweep llama3-8b --over data=1 --over tensor=2,3 --over micro=1 --over batch=8 --measure device_bytes"
    assert run([*asked.split(), "--over", "seq=8192"]) == 0
    assert "dropped: 1 points, not n_tensor divides d_ff" in capsys.readouterr().out
    assert run(["sweep", "llama3-8b", "--over", "data=1", "--measure", "device_bytes", "--over", "seq=8192"]) == 2
    assert "give tensor=1,2 or more values" in capsys.readouterr().err
