"""Further programs for torch's FlopCounterMode: where tensors and counter are, how it is used, the user's formulas."""

from __future__ import annotations

from typing import Any

import torch
from flop_programs import Mlp, Net, Program, tokens
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import flop_registry, register_flop_formula

# --- where the tensors and the counter are ----------------------------------------------------------------------------


def inference_mode_and_autocast(kind: Any) -> Any:
    model = Net().eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), kind(display=False) as counter:
        model(tokens())
    return counter


def fake_tensors_around(kind: Any) -> Any:
    with FakeTensorMode():
        model, ids = Net(), tokens()
        with kind(display=False) as counter:
            model(ids).sum().backward()
    return counter


def fake_tensors_inside(kind: Any) -> Any:
    model = Mlp()
    with kind(display=False) as counter, FakeTensorMode(allow_non_fake_inputs=True):
        for _ in range(2):
            model(torch.empty(4, 8)).sum().backward()
    return counter


def a_subclass_that_dispatches(kind: Any) -> Any:
    with kind(display=False) as counter:
        Pair(torch.ones(2, 3), torch.ones(2, 3)) @ torch.ones(3, 4)
    return counter


class Pair(torch.Tensor):
    """Two tensors in the place of one."""

    @staticmethod
    def __new__(cls, left: Tensor, right: Tensor) -> Pair:
        made: Pair = torch.Tensor._make_wrapper_subclass(cls, left.shape, dtype=left.dtype)
        return made

    def __init__(self, left: Tensor, right: Tensor) -> None:
        self.left, self.right = left, right

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        sides = []
        for side in ("left", "right"):
            one = lambda x, side=side: getattr(x, side) if isinstance(x, cls) else x  # noqa: E731
            sides.append(func(*torch.utils._pytree.tree_map(one, args), **(kwargs or {})))
        return cls(*sides)


def a_script(kind: Any) -> Any:
    model = torch.jit.script(nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 8)))
    with kind(display=False) as counter:
        model(torch.ones(4, 8)).sum().backward()
    return counter


def compiled_code(kind: Any) -> Any:
    """A counter switches compilation off for what is compiled inside its block."""
    model = torch.compile(Mlp(), backend="eager")
    with kind(display=False) as counter:
        model(torch.ones(4, 8))
    return counter


def functional_transforms(kind: Any) -> Any:
    with kind(display=False) as counter:
        torch.vmap(lambda a, b: a @ b)(torch.ones(7, 2, 3), torch.ones(7, 3, 4))
        torch.func.grad(lambda w: (torch.ones(2, 3) @ w).sum())(torch.ones(3, 4))
    return counter


def symbolic_sizes(kind: Any) -> Any:
    with FakeTensorMode(shape_env=ShapeEnv()) as mode:
        x = mode.from_tensor(torch.ones(5, 8), static_shapes=False)
        model = Mlp(8, 12)
        with kind(display=False) as counter:
            model(x)
    return counter


# --- other ways to use the counter ------------------------------------------------------------------------------------


def code_without_modules(kind: Any) -> Any:
    with kind(display=False) as counter:
        x = torch.einsum("bij,bjk->bik", torch.ones(2, 3, 4), torch.ones(2, 4, 5))
        torch.baddbmm(torch.ones(3, 5), x, torch.ones(2, 5, 5))
        torch.addmm(torch.ones(5), torch.ones(3, 4), torch.ones(4, 5), out=torch.empty(3, 5))
        torch.ones(0, 3) @ torch.ones(3, 4)
        torch.ones(3).cos()
    return counter


def a_part_and_then_the_whole(kind: Any) -> Any:
    """The same counter twice; a part that was called alone gets its name from the whole afterwards."""
    model = nn.Sequential(Mlp(), Mlp())
    counter = kind(depth=None, display=False)
    with counter:
        model[1](torch.ones(1, 8))
    with counter:
        model[1](torch.ones(2, 8))
        model(torch.ones(4, 8))
    return counter


def a_module_called_by_two(kind: Any) -> Any:
    class Borrower(nn.Module):
        def __init__(self, other: nn.Module) -> None:
            super().__init__()
            self.other = (other,)

        def forward(self, x: Tensor) -> Tensor:
            return self.other[0](x)  # type: ignore[no-any-return]

    class Lender(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own, self.mlp = Mlp(), Mlp()
            self.borrower, self.again = Borrower(self.own.up), self.own.down

        def forward(self, x: Tensor) -> Tensor:
            return self.again(self.borrower(x)) + self.own(x) + self.mlp(x)  # type: ignore[no-any-return]

    with kind(display=False) as counter:
        Lender()(torch.ones(4, 8))
    return counter


def hooks_that_compute(kind: Any) -> Any:
    model = Net()
    model.layers[1].register_forward_pre_hook(lambda module, given: (given[0] @ torch.eye(8),))
    model.head.register_forward_hook(lambda module, given, out: out @ torch.eye(16))
    with torch.no_grad(), kind(display=False) as counter:
        model(tokens())
    return counter


def an_error_on_the_way(kind: Any) -> Any:
    counter = kind(display=False)
    try:
        with counter:
            Mlp()(torch.ones(4, 8))
            torch.ones(2, 3) @ torch.ones(4, 5)
    except RuntimeError:
        return counter
    raise AssertionError("the shapes do not fit")


def one_inside_another(kind: Any) -> Any:
    model = nn.Sequential(Mlp(), Mlp())
    with kind(display=False) as counter:
        model[0](torch.ones(4, 8))
        with kind(display=False) as inner:
            checkpoint(model, torch.ones(4, 8, requires_grad=True), use_reentrant=True)
        model(torch.ones(4, 8))
    assert inner.get_total_flops() * 5 == counter.get_total_flops() * 2
    return counter


def read_while_it_counts(kind: Any) -> Any:
    """Differences of the total, and the counts' own dictionary, which a program may empty."""
    model = Mlp()
    with kind(display=False) as counter:
        model(torch.ones(4, 8))
        before = counter.get_total_flops()
        assert before == sum(counter.flop_counts["Global"].values()) > 0
        assert counter.flop_counts["nothing of this name"] == {}
        counter.flop_counts.clear()
        model(torch.ones(4, 8))
        assert counter.get_total_flops() == before
    return counter


def branches(kind: Any) -> Any:
    """Data decide which branch runs, so that the dearer one counts."""
    with kind(display=False) as counter:
        once, twice = (lambda x: (x @ x,)), (lambda x: (x @ x @ x,))
        torch.ops.higher_order.cond(torch.tensor(True), once, twice, (torch.ones(4, 4),))
    return counter


# --- formulas of the user's own ---------------------------------------------------------------------------------------


def with_twice(run: Program) -> Program:
    """With an operator that torch does not have."""

    def program(kind: Any) -> Any:
        with torch.library._scoped_library("symflops_programs", "FRAGMENT") as library:
            library.define("twice(Tensor x, *, int n=1) -> Tensor")
            library.impl("twice", lambda x, n=1: 2 * x, "CompositeExplicitAutograd")
            return run(kind)

    program.__name__ = run.__name__
    return program


@with_twice
def a_registered_formula(kind: Any) -> Any:
    operator = torch.ops.symflops_programs.twice

    @register_flop_formula(operator)
    def twice(x: Any, n: int = 1, out_shape: Any = None, **_: Any) -> int:
        return x[0] * out_shape[1] * n  # type: ignore[no-any-return]

    try:
        with torch.no_grad(), kind(display=False) as counter:
            operator(torch.ones(2, 3), n=7)
    finally:
        del flop_registry[operator]
    return counter


@with_twice
def a_custom_mapping(kind: Any) -> Any:
    def of_tensors(x: Tensor, *_: Any, out_val: Any = None, **__: Any) -> int:
        return 10 * x.numel() + int(out_val.sum())

    of_tensors._get_raw = True  # type: ignore[attr-defined]
    mapping = {
        torch.ops.symflops_programs.twice: of_tensors,
        torch.ops.aten.mm: lambda a, b, out_shape=None, **_: 1000 * a[0] * b[1] + out_shape[0],
        torch.ops.aten.linear: lambda *_, **__: 1 / 0,  # decomposes before it is asked for
    }
    with torch.inference_mode(), kind(custom_mapping=mapping, display=False) as counter:
        torch.ops.symflops_programs.twice(torch.ones(2, 3))
        nn.functional.linear(torch.ones(2, 3), torch.ones(4, 3))
    assert mapping.keys() <= counter.flop_registry.keys()
    return counter


def convolutions(kind: Any) -> Any:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.ConvTranspose2d(8, 2, 2, stride=2))
    with kind(display=False) as counter:
        model(torch.ones(2, 3, 8, 8, requires_grad=True)).sum().backward()
    return counter


USES: tuple[Program, ...] = (
    inference_mode_and_autocast, fake_tensors_around, fake_tensors_inside, a_subclass_that_dispatches, a_script,
    compiled_code, functional_transforms, symbolic_sizes, code_without_modules, a_part_and_then_the_whole,
    a_module_called_by_two, hooks_that_compute, an_error_on_the_way, one_inside_another, read_while_it_counts,
    branches, a_registered_formula, a_custom_mapping, convolutions,
)  # fmt: skip
