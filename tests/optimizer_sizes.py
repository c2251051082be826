"""The matrix and the rates that optimisers are tested at."""

from __future__ import annotations

from sympy import Integer

from symflops.layers.linear import linear

ROWS, COLUMNS, RATE, DECAY, EPSILON = 5, 7, 0.03, 0.1, 1e-8
SHAPE = (Integer(ROWS), Integer(COLUMNS))
MATRIX = linear("up", Integer(ROWS), Integer(COLUMNS), "feedforward")
