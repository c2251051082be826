"""Equal, or nowhere less: proved by expansion, with a certificate that anyone can check, or refuted by a point.

>>> from symflops.notation import n_head, n_kv_head, n_layer
>>> prove(n_kv_head * n_layer <= n_head * n_layer)
counterexample: n_head = 1, n_kv_head = 2, n_layer = 1 make it 2 <= 1
>>> prove(n_kv_head * n_layer <= n_head * n_layer, [n_kv_head <= n_head])
proved: with n_head = a + b + 1, n_kv_head = a + 1, n_layer = c + 1 and a, b, c >= 0 it says b*c + b >= 0
"""

from symflops.proof.certificate import Certificate, Proof
from symflops.proof.equality import at_most, equal, residual
from symflops.proof.proving import prove

__all__ = ["Certificate", "Proof", "at_most", "equal", "prove", "residual"]
