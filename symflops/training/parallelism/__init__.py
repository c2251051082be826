"""How devices share a training run: what each holds and sends, how long a step takes at least, the best layout.

Everything follows from a network's declared operations and a `Layout`. Held and sent bytes are checked against
PyTorch's own engine (`symflops.tracing.collectives`).

>>> from symflops.architectures import architecture
>>> a100s = Cluster(8, per_node=8, peak=312 * 10**12, memory=80 * 10**9, inside=300 * 10**9, across=25 * 10**9)
>>> found = plan(architecture("gpt2-xl"), a100s, Layout(data=8, sharding="zero1"), n_batch=64, n_seq=1024)
>>> found.fits, found.bound.binds, f"{float(found.bound.seconds):.3f} s"
(True, 'compute', '0.257 s')
"""

from symflops.training.parallelism.bound import POLICIES, Bound, Cluster, Policy, policy
from symflops.training.parallelism.communication import messages
from symflops.training.parallelism.device import device_activations, device_flops, device_params
from symflops.training.parallelism.layouts import SHARDINGS, SYMBOLIC, Layout, Sharding, Stage
from symflops.training.parallelism.memory import MIXED, SINGLE, Memory, Widths, in_flight, memory
from symflops.training.parallelism.messages import Message, by_collective, ring_share, sent_by_group
from symflops.training.parallelism.needs import check, needs
from symflops.training.parallelism.others import bubble
from symflops.training.parallelism.pieces import LINEAR, Storage, pieces, storage_of
from symflops.training.parallelism.plan import Planned, plan
from symflops.training.parallelism.search import Choices, Found, best_layouts
from symflops.training.parallelism.staged import Setting
from symflops.training.parallelism.tensor import DTENSOR, IMPLEMENTATIONS, MEGATRON, Implementation, implementation

__all__ = [
    "DTENSOR", "IMPLEMENTATIONS", "LINEAR", "MEGATRON", "MIXED", "POLICIES", "SHARDINGS", "SINGLE", "SYMBOLIC",
    "Bound", "Choices", "Cluster", "Found", "Implementation", "Layout", "Memory", "Message", "Planned", "Policy",
    "Setting", "Sharding", "Stage", "Storage", "Widths", "best_layouts", "bubble", "by_collective", "check",
    "device_activations", "device_flops", "device_params", "implementation", "in_flight", "memory", "messages",
    "needs", "pieces", "plan", "policy", "ring_share", "sent_by_group", "storage_of",
]  # fmt: skip
