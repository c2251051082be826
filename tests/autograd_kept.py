"""What autograd saves of a run, in bytes."""

from collections.abc import Callable


def autograd(run: Callable[[], object], parameters: set[int]) -> dict[str, int]:
    """Bytes of the storages that autograd saves, by dtype and whether they hold a number for each token."""
    import torch
    from torch.autograd.graph import saved_tensors_hooks

    held: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in parameters:
            held.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    found = {"values": 0, "masks": 0, "statistics": 0}
    for tensor in held.values():
        kind = "masks" if tensor.dtype == torch.bool else "statistics" if tensor.shape[-1:] == (1,) else "values"
        found[kind] += tensor.untyped_storage().nbytes()
    return found
