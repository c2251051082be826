"""C: a function with checked 128-bit arithmetic."""

from __future__ import annotations

from symflops.emit.infix import check_names, meanings, temporaries
from symflops.emit.program import Node, Program, UnsupportedFormula

_KEYWORDS = (
    "auto break case char const continue default do double else enum extern float for goto if inline int long main "
    "register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while "
    "result asm typeof"
)
_RESERVED = frozenset(_KEYWORDS.split())
_CHECKED = {"add": "__builtin_add_overflow", "sub": "__builtin_sub_overflow", "mul": "__builtin_mul_overflow"}
_CHUNK = 10**18

_COMMENT = """\
/* {name} = {formula}
 *
{arguments} *
 * C99 with GNU extensions (gcc, clang). Call it as
 *     __int128 value;
 *     int status = {name}({call}&value);
 * The status is 0: value is exact; 1: a step leaves 128 bits; 2: the result is no whole number;
 * 3: a size is below 1; 4: a division by zero. Where it is not 0, value is left as it was.
 */
"""


def c_code(program: Program, name: str, formula: str) -> str:
    """One function that stores the value and returns a status: overflow is reported, never wrapped.

    Raises `UnsupportedFormula` for a coefficient that 128 bits cannot hold.

    >>> from sympy import Symbol
    >>> from symflops.emit.lowering import lower
    >>> print(c_code(lower(6 * Symbol("n_seq")), "cost", "6*n_seq").partition("*/\\n")[2], end="")
    int cost(__int128 n_seq, __int128 *result)
    {
        if (n_seq < 1)
            return 3;
        __int128 t0;
        if (__builtin_mul_overflow((__int128)6, n_seq, &t0))
            return 1;
        *result = t0;
        return 0;
    }
    """
    check_names(program, name, _RESERVED, "C")
    arguments = "".join(f" *   {argument}: {meaning}\n" for argument, meaning in meanings(program))
    call = "".join(f"{argument}, " for argument in program.arguments)
    comment = _COMMENT.format(name=name, formula=formula.replace("*/", "* /"), arguments=arguments, call=call)
    inner = "".join(f"    {line}\n" for line in _body(program))
    parameters = "".join(f"__int128 {argument}, " for argument in program.arguments)
    return f"{comment}int {name}({parameters}__int128 *result)\n{{\n{inner}}}\n"


def _body(program: Program) -> list[str]:
    names = temporaries(program)
    values: list[str] = []
    checks = " || ".join(f"{argument} < 1" for argument in program.arguments)
    lines = [f"if ({checks})", "    return 3;"] if checks else []
    for node in program.nodes:
        if node.operands:
            target = next(names)
            lines += [f"__int128 {target};", *_step(node, target, values[node.left], values[node.right])]
            values.append(target)
        else:
            values.append(program.arguments[node.left] if node.op == "size" else _integer(node.left))
    return [*lines, *_division(program, values[program.numerator], values[program.denominator]), "return 0;"]


def _division(program: Program, numerator: str, denominator: str) -> list[str]:
    lines = [f"if ({denominator} == 0)", "    return 4;"] if program.unsafe_denominator else []
    if program.divides and not program.whole:
        lines += [f"if ({numerator} % {denominator} != 0)", "    return 2;"]
    return [*lines, f"*result = {numerator} / {denominator};" if program.divides else f"*result = {numerator};"]


def _step(node: Node, target: str, left: str, right: str) -> list[str]:
    if node.op in _CHECKED:
        return [f"if ({_CHECKED[node.op]}({left}, {right}, &{target}))", "    return 1;"]
    if node.op == "floordiv":
        rounding = f"{target} = {left} / {right} - ({left} % {right} < 0);"
        return [f"if ({right} == 0)", "    return 4;", rounding]
    if node.op == "less":
        return [f"{target} = {left} < {right};"]
    return [f"{target} = {left} {'>' if node.op == 'max' else '<'} {right} ? {left} : {right};"]


def _integer(value: int) -> str:
    """A constant, in parts of 18 digits as C has no literals of 128 bits."""
    if abs(value) >= 2**127:
        raise UnsupportedFormula(f"the coefficient {value} does not fit C's 128 bits; emit python or javascript")
    if value < 0:
        return f"(-{_integer(-value)})"
    suffix = "" if value < 2**31 else "LL"
    if value < _CHUNK:
        return f"(__int128){value}{suffix}"
    return f"({_integer(value // _CHUNK)} * {_CHUNK}LL + {value % _CHUNK}LL)"
