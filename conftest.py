"""What the tests share: GPU tests are skipped, visibly, without a GPU; torch's files where there is no torch."""

from importlib.util import find_spec

import pytest

collect_ignore = [] if find_spec("torch") else ["symflops/tracing"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked ``gpu`` without a CUDA device, and leave out what is ``slow`` where no mark is asked for."""
    if not config.option.markexpr:
        slow = [item for item in items if "slow" in item.keywords]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if "slow" not in item.keywords]
    marked = [item for item in items if "gpu" in item.keywords]
    if marked and not _has_gpu():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device, and there is none"))


def _has_gpu() -> bool:
    if not find_spec("torch"):
        return False
    import torch

    return torch.cuda.is_available()
