"""The questions people ask of a model, each answered with a closed form, where it holds, and an exact number.

>>> attention_overtakes("llama3-8b").feedforward
n_seq, attention as the feed-forward
    = 3*d_ff*d_model/(2*d_head*n_head)
    = 21,504; more from 21,505 on

A question that has no answer for a network because of what it is (no attention, no cache, no experts) is answered with
a note that says so. Bad input, such as an unknown size, is a `SymflopsError`.
"""

from symflops.questions.answers import Answer, Case, Reply
from symflops.questions.attention import attention_overtakes, attention_reaches, attention_share
from symflops.questions.comparison import Comparison, compare
from symflops.questions.experts import against_dense, dense_of_active, dense_of_all
from symflops.questions.memory import cache_equals_weights
from symflops.questions.parameters import against_6n, embedding_share
from symflops.questions.scaling import scaling
from symflops.questions.shapes import depth_or_width

__all__ = [
    "Answer", "Case", "Comparison", "Reply", "against_6n", "against_dense", "attention_overtakes", "attention_reaches",
    "attention_share", "cache_equals_weights", "compare", "dense_of_active", "dense_of_all", "depth_or_width",
    "embedding_share", "scaling",
]  # fmt: skip
