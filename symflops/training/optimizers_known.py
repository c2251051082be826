"""The optimisers by name, each by its states and its update.

Rates, decays and other numbers that are the same for all elements are computed once and cost nothing.

>>> [state.name for state in known("amsgrad").rules[0].states]
['step', 'exp_avg', 'exp_avg_sq', 'max_exp_avg_sq']
>>> known("adan")
Traceback (most recent call last):
symflops.errors.UnknownName: unknown optimizer 'adan'; did you mean 'adam' or ...
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sympy import Add, Expr, Function, Max, Min, Mul, Symbol, sqrt

from symflops.errors import UnknownName
from symflops.formulas import Mean, Total
from symflops.operations import Contraction
from symflops.training.formats_blocks import BlockFormat
from symflops.training.formats_known import FP32, number_format
from symflops.training.optimizers import Optimizer, Rule, State, Step, elementwise
from symflops.training.tensors import Shape

_P, _G, _M, _V, _TOP, _U, _X, _Y, _S = (
    Symbol(name, real=True) for name in ("p", "g", "m", "v", "top", "u", "x", "y", "s")
)
_ROW, _COL, _MEAN, _PEAK, _CODE, _SCALE = (
    Symbol(name, positive=True) for name in ("r", "c", "mean", "peak", "code", "scale")
)
_RATE, _DECAY, _B1, _B2, _MU, _EPSILON, _ROOT, _ALPHA = tuple(
    Symbol(name, positive=True) for name in ("rate", "decay", "beta1", "beta2", "mu", "epsilon", "root", "alpha")
)
"""Numbers that are the same for all elements; ``root`` is the square root of a bias correction."""
_SIGN = Function("compare")
"""A sign is a comparison."""
_KEPT = _P * _DECAY
"""The parameter with decoupled weight decay: times 1 - rate*decay, one number."""
_TORCH = "torch.optim, PyTorch 2.13"
STEP = State("step", "once", FP32)
"""torch's counter of steps, a tensor of one element for each parameter (``_get_scalar_dtype``)."""


def _adam(parameter: Expr, second: Expr = _V) -> tuple[tuple[str, str, Expr], ...]:
    """Kingma and Ba 2015, algorithm 1, with the bias corrections folded into the rate and a number."""
    name = str(second)
    return (
        ("exp_avg", "m[whole] g[whole] -> m_new[whole]", _B1 * _M + (1 - _B1) * _G),
        ("exp_avg_sq", "v[whole] g[whole] -> v_new[whole]", _B2 * _V + (1 - _B2) * _G**2),
        ("update", f"p[whole] m[whole] {name}[whole] -> p_new[whole]",
         parameter - _RATE * _M / (sqrt(second) * _ROOT + _EPSILON)),
    )  # fmt: skip


_MOMENTS = (STEP, State("exp_avg"), State("exp_avg_sq"))
_MOMENTUM = ("momentum_buffer", "m[whole] g[whole] -> m_new[whole]", _MU * _M + _G)
_LARGEST = ("max_exp_avg_sq", "top[whole] v[whole] -> top_new[whole]", Max(_TOP, _V))
_BLOCKS = BlockFormat(
    "8-bit blocks", "8-bit codes in blocks of 256", number_format("uint8"), FP32, 256,  # type: ignore[arg-type]
    citation="bitsandbytes 0.46, optim/optimizer.py: an absmax in float32 of each 256 elements",
)  # fmt: skip
_EIGHT_BIT = tuple(State(name, "whole", _BLOCKS, 4096) for name in ("state1", "state2"))
_CODES = (
    ("decode state1", "code[whole] scale[whole] -> m[whole]", _CODE * _SCALE),
    ("decode state2", "code[whole] scale[whole] -> v[whole]", _CODE * _SCALE),
    ("code state1", "m[whole] scale[whole] -> code[whole]", _M / _SCALE),
    ("code state2", "v[whole] scale[whole] -> code[whole]", _V / _SCALE),
)
_SQUARED = _G**2


_FACTORED = (
    ("row_var", "r[rows] g[whole] -> r_new[rows]", _B2 * _ROW + (1 - _B2) * Mean(_SQUARED, "column")),
    ("col_var", "c[columns] g[whole] -> c_new[columns]", _B2 * _COL + (1 - _B2) * Mean(_SQUARED, "row")),
    ("mean", "r[rows] -> mean[batch]", Mean(_ROW, "row")),
    ("direction", "g[whole] r[rows] c[columns] mean[batch] -> u[whole]",
     _G / sqrt(Max(_ROW * _COL / _MEAN, _EPSILON))),
)  # fmt: skip
_VECTOR = (
    ("variance", "v[whole] g[whole] -> v_new[whole]", _B2 * _V + (1 - _B2) * _SQUARED),
    ("direction", "g[whole] v[whole] -> u[whole]", _G / sqrt(Max(_V, _EPSILON))),
)


def _clipped(*axes: str) -> tuple[tuple[str, str, Expr], ...]:
    """Shazeer and Stern 2018, sections 6 and 8: the update's mean square is clipped, the rate is the parameter's.

    Of a tensor of more than two axes, each matrix of the last two by itself.
    """
    of_update, of_parameter = (sqrt(Mean(each**2, *axes)) for each in (_U, _P))
    rest = "batch" if len(axes) == 2 else "once"
    return (
        ("clipping", f"u[whole] -> peak[{rest}]", Max(of_update, 1)),
        ("rate", f"p[whole] peak[{rest}] -> scale[{rest}]", _RATE * Max(of_parameter, _EPSILON) / _PEAK),
        ("update", f"p[whole] u[whole] scale[{rest}] -> p_new[whole]", _KEPT - _SCALE * _U),
    )


_FIRST = ("exp_avg", "m[whole] u[whole] -> m_new[whole]", _B1 * _M + (1 - _B1) * _U)


def _adafactor(name: str, title: str, first: tuple[State, ...], update: tuple[tuple[str, str, Expr], ...]) -> Optimizer:
    factors = (State("row_var", "rows"), State("col_var", "columns"))
    matrices = elementwise(*_FACTORED, *update, *_clipped("row", "column"))
    vectors = elementwise(*_VECTOR, *update, *_clipped("column"))
    citation = f"Shazeer and Stern, Adafactor, 2018, arXiv:1804.04235, algorithms 4 and 5; {_TORCH}, _adafactor.py"
    return Optimizer(name, title, citation, (
        Rule((STEP, *factors, *first), matrices, "matrices"), Rule((STEP, State("variance"), *first), vectors),
    ))  # fmt: skip


_ADAMW = Rule(_MOMENTS, elementwise(*_adam(_KEPT)))
NEWTON_SCHULZ = 5
"""Iterations of Muon (Jordan et al. 2024)."""
_NORMED = (
    ("momentum_buffer", "m[whole] g[whole] -> m_new[whole]", _MU * _M + (1 - _MU) * _G),
    ("nesterov", "g[whole] m[whole] -> u[whole]", (1 - _MU) * _G + _MU * _M),
    ("normalise", "u[whole] -> x[whole]", _U / (sqrt(Total(_U**2, "row", "column")) + _EPSILON)),
)
_POLYNOMIAL = ("polynomial", "x[whole] s[whole] -> y[whole]", _B1 * _X + _B2 * _S)
_COMBINED = ("combine", "x[whole] y[whole] -> x_new[whole]", _ALPHA * _X + _Y)
_APPLIED = ("update", "p[whole] u[whole] -> p_new[whole]", _KEPT - _RATE * _U)


def newton_schulz(rows: Expr, columns: Expr) -> Expr:
    """One iteration on a matrix X with no more rows than columns: X*X^T, its square, and their sum times X.

    >>> from sympy import Integer
    >>> from symflops.measures import flops
    >>> flops(newton_schulz(Integer(4), Integer(6)), "macs")
    256 MAC (macs)
    """
    sizes = {"row": rows, "other": rows, "column": columns}
    matmuls = (
        ("gram", "x[row column] t[other column] -> s[row other]", sizes),
        ("square", "s[row middle] t[middle other] -> y[row other]", {**sizes, "middle": rows}),
        ("apply", "s[row other] x[other column] -> y[row column]", sizes),
    )
    products = (
        Contraction(name, sentence, {axis: size for axis, size in of.items() if axis in sentence}, "optimizer")
        for name, sentence, of in matmuls
    )
    return Add(*products, elementwise(_POLYNOMIAL)((rows, rows)), elementwise(_COMBINED)((rows, columns)))


def _orthogonal(shape: Shape) -> Expr:
    """Muon's update of a matrix; of more axes, all but the first are one."""
    rows, columns = shape[0], Mul(*shape[1:])
    iterations = NEWTON_SCHULZ * newton_schulz(Min(rows, columns), Max(rows, columns))
    return Add(elementwise(*_NORMED, _APPLIED)((rows, columns)), iterations)


def _single(name: str, title: str, citation: str, step: Step, *states: State) -> Optimizer:
    return Optimizer(name, title, citation, (Rule(states, step),))


_SGD = f"{_TORCH}, sgd.py"
_KINGMA = "Kingma and Ba, Adam, 2015, arXiv:1412.6980, algorithm 1"
_DIVIDED = ("update", "p[whole] g[whole] v[whole] -> p_new[whole]", _P - _RATE * _G / (sqrt(_V) + _EPSILON))
_BUFFER = State("momentum_buffer")

OPTIMIZERS: Mapping[str, Optimizer] = MappingProxyType({each.name: each for each in (
    _single("sgd", "stochastic gradient descent", _SGD,
            elementwise(("update", "p[whole] g[whole] -> p_new[whole]", _P - _RATE * _G))),
    _single("momentum", "SGD with momentum", f"Polyak 1964; {_SGD}",
            elementwise(_MOMENTUM, ("update", "p[whole] m[whole] -> p_new[whole]", _P - _RATE * _M)), _BUFFER),
    _single("nesterov", "SGD with Nesterov's momentum", f"Sutskever et al. 2013; {_SGD}",
            elementwise(_MOMENTUM, ("update", "p[whole] g[whole] m[whole] -> p_new[whole]",
                                    _P - _RATE * (_G + _MU * _M))), _BUFFER),
    _single("adagrad", "AdaGrad", f"Duchi et al. 2011, JMLR 12; {_TORCH}, adagrad.py",
            elementwise(("sum", "v[whole] g[whole] -> v_new[whole]", _V + _G**2), _DIVIDED), STEP, State("sum")),
    _single("rmsprop", "RMSProp", f"Tieleman and Hinton 2012, lecture 6.5; {_TORCH}, rmsprop.py",
            elementwise(("square_avg", "v[whole] g[whole] -> v_new[whole]", _B2 * _V + (1 - _B2) * _G**2), _DIVIDED),
            STEP, State("square_avg")),
    _single("adam", "Adam", f"{_KINGMA}; {_TORCH}, adam.py", elementwise(*_adam(_P)), *_MOMENTS),
    _single("adamw", "AdamW", f"Loshchilov and Hutter, 2019, arXiv:1711.05101; {_TORCH}, adamw.py",
            _ADAMW.step, *_MOMENTS),
    _single("amsgrad", "AMSGrad", f"Reddi et al. 2018, arXiv:1904.09237; {_TORCH}, adam.py",
            elementwise(*_adam(_P, _TOP), _LARGEST), *_MOMENTS, State("max_exp_avg_sq")),
    _adafactor("adafactor", "Adafactor", (), ()),
    _adafactor("adafactor-momentum", "Adafactor with a first moment", (State("exp_avg"),), (_FIRST,)),
    _single("lion", "Lion", "Chen et al., Symbolic Discovery of Optimization Algorithms, 2023, arXiv:2302.06675, "
            "algorithm 2", elementwise(
                ("direction", "m[whole] g[whole] -> u[whole]", _B1 * _M + (1 - _B1) * _G),
                ("exp_avg", "m[whole] g[whole] -> m_new[whole]", _B2 * _M + (1 - _B2) * _G),
                ("update", "p[whole] u[whole] -> p_new[whole]", _KEPT - _RATE * _SIGN(_U))), State("exp_avg")),
    Optimizer("muon", "Muon, with AdamW for what is no hidden matrix",
              f"Jordan et al., Muon, 2024, kellerjordan.github.io/posts/muon; {_TORCH}, _muon.py",
              (Rule((_BUFFER,), _orthogonal, "hidden matrices"), _ADAMW)),
    _single("adam-8bit", "8-bit Adam", "Dettmers et al., 8-bit Optimizers via Block-wise Quantization, 2022, "
            "arXiv:2110.02861; bitsandbytes 0.46, optim/optimizer.py",
            elementwise(*_CODES[:2], *_adam(_P), *_CODES[2:]), *_EIGHT_BIT),
)})  # fmt: skip
"""Every optimiser, by name. Searching a table of codes, as 8-bit Adam does, is no arithmetic."""


def known(given: str | Optimizer) -> Optimizer:
    """An optimiser by its name, or itself. Raises `UnknownName`."""
    if isinstance(given, Optimizer):
        return given
    name = str(given).lower()
    if name not in OPTIMIZERS:
        raise UnknownName("optimizer", str(given), OPTIMIZERS)
    return OPTIMIZERS[name]
