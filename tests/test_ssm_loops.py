"""The scans of state space layers against loops over tokens, channels and states, and what is no convolution."""

from __future__ import annotations

from collections import Counter as Tally

import pytest
from sympy import Integer

from symflops import SymflopsError
from symflops.layers.causal_convolution import Convolution, over_sequence, over_window
from symflops.layers.linear import BIAS, NO_BIAS
from symflops.layers.ssd import Earlier, StateHeads, chunked_scan, steps
from symflops.layers.ssm import selective_scan, selective_steps
from symflops.layers.stream import Stream
from symflops.measures import flops, params, work
from symflops.notation import d_conv, d_inner, n_batch, n_chunk, n_seq, n_state


def test_the_recurrence_counted_by_a_loop() -> None:
    """Algorithm 2 by hand: each product, sum and exponential of a token, channel and state."""
    channels, states, length, count = 3, 4, 5, Tally[str]()
    for _ in range(channels * states):
        count.update(exp=1)  # A = -exp(A_log), once
    for _ in range(length * channels * states):
        count.update(mul=1, exp=1)  # exp(dt*A)
        count.update(mul=2)  # dt*B*x
        count.update(mul=1, add=1)  # decay*h + input
        count.update(mac=1)  # C*h
    sizes = {d_inner: channels, n_state: states, n_batch: 1, n_seq: length}
    for scan in (selective_scan, selective_steps):
        found: Tally[str] = Tally()
        for (kind, pass_, _), amount in work(scan(Stream())).items():
            if pass_ == "forward" and kind in count:
                found[kind] += int(amount.subs(sizes))
        assert found == count


@pytest.mark.parametrize(("length", "size"), [(1, 3), (6, 3), (7, 3), (9, 4)])
def test_chunks_counted_by_a_loop(length: int, size: int) -> None:
    """Every pair of a chunk, and of chunks with the start before them, that comes in order; padded to whole chunks."""
    chunks = -(-length // size)
    inside = sum(1 for _ in range(chunks) for i in range(size) for j in range(size) if j <= i)
    between = sum(1 for i in range(chunks + 1) for j in range(chunks + 1) if j <= i)
    heads, wide, states = Integer(2), Integer(5), 3
    expected = 2 * (inside * (states + wide) + between * wide * states + 2 * chunks * size * wide * states)
    network = chunked_scan(StateHeads(heads, wide, Integer(1)), Stream(seq=Integer(length), batch=Integer(1)))
    assert flops(network, "exact").subs({n_chunk: size, n_state: states}) == heads * expected
    assert int(Earlier(size, size)) == sum(Earlier(size, size).attends(i, j) for i in range(size) for j in range(size))


def test_a_chunk_of_one_token_is_more_than_a_step_and_a_long_one_is_quadratic() -> None:
    heads, stream = StateHeads(Integer(2), Integer(8), Integer(1)), Stream(batch=Integer(1))
    chunked, stepwise = (flops(scan(heads, stream), "torch").expr for scan in (chunked_scan, steps))
    assert stepwise.expand().coeff(n_seq, 2) == 0 != chunked.expand().coeff(n_seq, 2)


def test_the_window_and_the_padded_sequence_differ_by_the_padding() -> None:
    width = Integer(6)
    whole, window = (flops(each(width, NO_BIAS), "torch").expr for each in (over_sequence, over_window))
    assert (whole - window).expand().equals((2 * width * d_conv * (d_conv - 1) * Stream().batch).expand())
    assert params(over_sequence(width, BIAS)) - params(over_sequence(width, NO_BIAS)) == width


@pytest.mark.parametrize("sentence", ["x[a b] y[b c] -> z[a c]", "x[a] weight[b] -> y[a b]", "x[a] -> y[a]"])
def test_what_is_no_convolution_is_refused(sentence: str) -> None:
    with pytest.raises(SymflopsError, match="convolution odd"):
        Convolution("odd", sentence, {"a": 2, "b": 3, "c": 4})
