"""Where the parts of a sweep are computed: here, or on a Dask cluster, whose results are the same and come in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from symflops.errors import SymflopsError
from symflops.sweeping.grid import Chunk
from symflops.sweeping.parts import Part, Sweep

LOCAL = "local"
"""A cluster of processes of this machine."""
_CHUNKS_OF_TASK, _TASKS_AHEAD, _PATIENCE = 4, 4, 10
"""Chunks of a task; tasks that each worker has waiting, as memory is bounded; seconds until a scheduler answers."""


@contextmanager
def parts_of(sweep: Sweep, scheduler: str | None = None) -> Iterator[Iterator[Part]]:
    """The parts of a sweep in order, computed by a scheduler (an address, or ``local``) where one is named.

    Raises `SymflopsError` where Dask is not installed, or the scheduler does not answer.
    """
    if scheduler is None:
        yield sweep.parts()
        return
    with _client(scheduler) as client:
        yield _in_order(sweep, client)


@contextmanager
def _client(scheduler: str) -> Iterator[Any]:
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise SymflopsError("a scheduler takes dask and distributed: pip install 'symflops[sweep]'") from None
    if scheduler == LOCAL:
        cluster = LocalCluster(processes=True, threads_per_worker=1, dashboard_address=None, silence_logs=50)
        with cluster, Client(cluster, timeout=_PATIENCE) as client:
            yield client
        return
    with _connected(Client, scheduler) as client:
        yield client


def _connected(client: Any, address: str) -> Any:
    try:
        return client(address, timeout=_PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SymflopsError(
            f"the scheduler {address!r} does not answer: {why}; give its address, such as tcp://10.0.0.1:8786, or local"
        ) from None


def _in_order(sweep: Sweep, client: Any) -> Iterator[Part]:
    """Tasks of several chunks each, some ahead of what is read; what was read is let go."""
    shared = client.scatter(sweep, broadcast=True, hash=False)
    most = _TASKS_AHEAD * max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
    chunks = sweep.grid.chunks()
    waiting: deque[Any] = deque()
    while True:
        while len(waiting) < most and (batch := list(islice(chunks, _CHUNKS_OF_TASK))):
            waiting.append(client.submit(computed, shared, batch, pure=False))
        if not waiting:
            return
        yield from waiting.popleft().result()


def computed(sweep: Sweep, chunks: list[Chunk]) -> list[Part]:
    """The parts of some chunks: what a worker does."""
    return [sweep.part(chunk) for chunk in chunks]
