"""PyTorch's own estimator of run time, `torch.distributed._tools.runtime_estimator.RuntimeEstimator`.

It runs on fake tensors and adds up, for each operator, the longer of compute and transfer time. It asks torch for the
peak and the bandwidth of the CUDA device that is there, and refuses where there is none. `given` puts other figures in
their place, so that it runs for any device:

- ``get_device_tflops`` and ``get_gpu_dram_gbps`` of `torch.utils._runtime_estimation`, which it asks, answer with the
  figures given, in its units: 1e12 FLOP/s and 1e9 bytes a second, for every number format;
- the name ``torch`` in the estimator's own module stands for something that has ``torch.Tensor`` and a
  ``cuda.is_available`` that says yes, which is all that its cost model asks of it. The rest of torch, with its fake
  tensors, goes on asking the real one.

All are back in place at the end of the block. Its arithmetic is left as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import torch
from torch.distributed._tools import runtime_estimator
from torch.utils import _runtime_estimation

_LOGGER = logging.getLogger("torch._subclasses.fake_tensor")
_COST_MODEL: Final = "operator-level-cost-model"
_TERA, _GIGA, _MILLI = 1e12, 1e9, 1e-3


@contextmanager
def given(peak: float, bandwidth: float) -> Iterator[None]:
    """A scope in which the estimator takes these FLOP/s and bytes a second for the device's."""
    seen = SimpleNamespace(Tensor=torch.Tensor, cuda=SimpleNamespace(is_available=lambda: True))
    with (
        patch.object(_runtime_estimation, "get_device_tflops", lambda *_, **__: peak / _TERA),
        patch.object(_runtime_estimation, "get_gpu_dram_gbps", lambda *_, **__: bandwidth / _GIGA),
        patch.object(runtime_estimator, "torch", seen),
    ):
        yield


def estimated(call: Callable[[], Any]) -> float:
    """Seconds of what a call runs, inside a `FakeTensorMode`; what the estimator prints, or torch logs, is dropped."""
    estimator: Any = runtime_estimator.RuntimeEstimator()
    with redirect_stdout(StringIO()), patch.object(_LOGGER, "disabled", True), estimator(_COST_MODEL):
        call()
    return float(estimator.total_runtime) * _MILLI
