"""Operators that contract nothing, sorted by what they do. Views and tagged pointwise operators need no line here.

Each list says in one word how its operators are priced: see `registry.Pricing.kind`. An in-place or `_foreach_` form is
found through its functional name. What stands in no list, has no rule and does not decompose is an error, on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from symflops.tracing.rules import traffic
from symflops.tracing.rules.registry import Pricing, Rule, declare, elements_in, elements_out, rule
from symflops.tracing.rules.work import Elements, Works


def _declare(kind: str, reason: str, works: Rule | None, moves: traffic.Traffic, names: str) -> None:
    for name in names.split():
        declare(name if "::" in name else f"aten::{name}", Pricing(kind, reason, works, moves))


_declare(
    "free",
    "reinterprets the same memory",
    None,
    traffic.nothing,
    "_unsafe_view lift unsafe_split unsafe_split_with_sizes resize_as _resize_output",
)
_declare(
    "free",
    "asks about a tensor or asserts something of it; touches no element of consequence",
    None,
    traffic.nothing,
    "sym_size sym_numel sym_stride sym_storage_offset sym_is_contiguous is_contiguous is_strides_like_format size "
    "stride storage_offset numel dim is_non_overlapping_and_dense is_same_size is_pinned is_set_to "
    "_local_scalar_dense _has_same_storage_numel _assert_async _assert_scalar _assert_tensor_metadata "
    "_functional_assert_async _functional_assert_scalar sym_constrain_range sym_constrain_range_for_size "
    "_functional_sym_constrain_range _functional_sym_constrain_range_for_size _fused_sdp_choice record_stream "
    "_version _nnz sparse_dim dense_dim prim::device prim::layout _cudnn_init_dropout_state _linalg_check_errors "
    "_print",
)
_declare(
    "free",
    "allocates memory without writing it",
    None,
    traffic.nothing,
    "empty empty_like empty_strided empty_permuted new_empty new_empty_strided",
)
_declare(
    "fill",
    "writes values that depend on no element",
    None,
    traffic.written_only,
    "zeros zeros_like new_zeros ones ones_like new_ones full full_like new_full zero fill arange range linspace "
    "logspace eye scalar_tensor tril_indices triu_indices bartlett_window blackman_window hamming_window hann_window "
    "kaiser_window fft_fftfreq fft_rfftfreq _efficientzerotensor",
)
_declare(
    "random",
    "draws one number per element of the result; inputs only lend their shape",
    elements_out,
    traffic.written_only,
    "rand rand_like randn randn_like randint randint_like randperm uniform normal_ normal_functional exponential "
    "geometric cauchy log_normal random bernoulli_",
)
_declare(
    "random",
    "draws one number per element of the result, from the distribution that the input gives",
    elements_out,
    traffic.everything,
    "normal bernoulli multinomial native_dropout _fused_dropout poisson binomial _standard_gamma rrelu_with_noise "
    "_sample_dirichlet",
)
_declare(
    "copy",
    "moves or converts elements, computes none",
    None,
    traffic.everything,
    "clone _to_copy cat stack _stack _chunk_cat repeat constant_pad_nd flip roll rot90 block_diag channel_shuffle "
    "pixel_shuffle pixel_unshuffle diag_embed slice_scatter select_scatter diagonal_scatter as_strided_scatter "
    "slice_backward select_backward diagonal_backward narrow_copy _lazy_clone lift_fresh_copy _pin_memory im2col "
    "reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d "
    "repeat_interleave _foreach_clone unfold_backward _conj_copy resize_as_sparse complex",
)
_declare("copy", "overwrites its first argument", None, traffic.overwritten, "copy _foreach_copy")
_declare(
    "lookup",
    "fetches one element of the table per element of the result",
    elements_out,
    traffic.looked_up,
    "embedding index _unsafe_index _unsafe_masked_index index_select gather take masked_select",
)
_declare(
    "lookup",
    "finds positions of elements",
    elements_in,
    traffic.everything,
    "nonzero nonzero_static searchsorted bucketize isin",
)
_declare(
    "scatter",
    "writes or adds one element per element of the result",
    elements_out,
    traffic.everything,
    "index_put _index_put_impl _unsafe_index_put _unsafe_masked_index_put_accumulate index_add index_copy index_fill "
    "index_reduce scatter scatter_add scatter_reduce masked_scatter put masked_fill",
)
_declare(
    "scatter",
    "adds one row of gradient per index",
    elements_in,
    traffic.everything,
    "embedding_dense_backward masked_scatter_backward",
)
_declare(
    "sort",
    "orders the elements it reads; how many comparisons that takes is a matter of the algorithm",
    elements_in,
    traffic.everything,
    "sort topk kthvalue median nanmedian mode unique_consecutive unique_dim _unique _unique2 bincount histc histogram",
)
_declare(
    "reduction",
    "one step per element of the first tensor that it reads",
    elements_in,
    traffic.everything,
    "cumsum cumprod logcumsumexp cummax cummin _cummax_helper _cummin_helper _softmax _log_softmax _safe_softmax "
    "_softmax_backward_data _log_softmax_backward_data _masked_softmax _masked_softmax_backward native_layer_norm "
    "native_layer_norm_backward native_group_norm native_group_norm_backward _fused_rms_norm _fused_rms_norm_backward "
    "native_batch_norm native_batch_norm_backward _native_batch_norm_legit _native_batch_norm_legit_no_training "
    "_native_batch_norm_legit_functional _batch_norm_with_update _batch_norm_with_update_functional "
    "_batch_norm_no_update batch_norm_backward cudnn_batch_norm cudnn_batch_norm_backward mse_loss mse_loss_backward "
    "smooth_l1_loss smooth_l1_loss_backward huber_loss huber_loss_backward soft_margin_loss soft_margin_loss_backward "
    "binary_cross_entropy binary_cross_entropy_backward binary_cross_entropy_with_logits nll_loss_backward "
    "nll_loss2d_backward multilabel_margin_loss_forward multi_margin_loss dist trace renorm embedding_renorm "
    "_foreach_norm _foreach_max _foreach_powsum _weight_norm_interface _weight_norm_interface_backward aminmax "
    "_aminmax _adaptive_avg_pool2d _adaptive_avg_pool3d _adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward "
    "adaptive_max_pool2d adaptive_max_pool3d adaptive_max_pool2d_backward adaptive_max_pool3d_backward "
    "avg_pool2d_backward avg_pool3d_backward max_pool2d_with_indices_backward max_pool3d_with_indices_backward col2im "
    "linalg_vector_norm linalg_cross segment_reduce _segment_reduce_backward _is_all_true _is_any_true std var equal "
    "allclose reflection_pad1d_backward reflection_pad2d_backward reflection_pad3d_backward "
    "replication_pad1d_backward replication_pad2d_backward replication_pad3d_backward upsample_nearest1d_backward "
    "upsample_nearest2d_backward upsample_nearest3d_backward upsample_linear1d_backward upsample_bilinear2d_backward "
    "upsample_trilinear3d_backward upsample_bicubic2d_backward _upsample_bilinear2d_aa_backward "
    "_upsample_bicubic2d_aa_backward _amp_foreach_non_finite_check_and_unscale",
)
_declare(
    "element",
    "one step per element of the result, though torch does not tag it as pointwise",
    elements_out,
    traffic.everything,
    "floor_divide rsub hardswish glu glu_backward tril triu elu_backward leaky_relu_backward hardtanh_backward "
    "hardswish_backward hardsigmoid_backward hardshrink_backward softshrink_backward softplus_backward "
    "log_sigmoid_forward log_sigmoid_backward rrelu_with_noise_backward _prelu_kernel _prelu_kernel_backward "
    "_masked_scale _add_relu polar __irshift__ __ilshift__ __iand__ __ior__ __ixor__ _fused_adam _fused_adamw "
    "_fused_sgd _fused_adagrad _amp_update_scale upsample_nearest1d upsample_nearest2d upsample_nearest3d "
    "_upsample_nearest_exact1d _upsample_nearest_exact2d upsample_linear1d upsample_bilinear2d upsample_trilinear3d "
    "upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa affine_grid_generator grid_sampler_2d "
    "grid_sampler_3d _thnn_fused_lstm_cell _thnn_fused_gru_cell dequantize quantize_per_tensor "
    "fake_quantize_per_tensor_affine_cachemask fake_quantize_per_channel_affine_cachemask",
)
_declare(
    "lookup",
    "fetches one log-probability per target",
    lambda result, scores, target, *_, **__: Elements(target.numel()),
    traffic.everything,
    "nll_loss_forward nll_loss2d_forward",
)
_declare(
    "scatter",
    "writes in place; only what it writes is moved",
    lambda result, place, *rest, **__: Elements(sum(tensor.numel() for tensor in list(traffic.tensors(rest))[-1:])),
    traffic.scattered,
    "index_put_ _index_put_impl_ index_add_ index_copy_ scatter_ scatter_add_ masked_scatter_ put_",
)
_declare(
    "communication",
    "moves elements between processes",
    None,
    traffic.everything,
    "_c10d_functional::all_reduce _c10d_functional::all_reduce_coalesced _c10d_functional::all_gather_into_tensor "
    "_c10d_functional::all_gather_into_tensor_coalesced _c10d_functional::reduce_scatter_tensor "
    "_c10d_functional::broadcast _c10d_functional::reduce_scatter_tensor_coalesced "
    "_c10d_functional::all_to_all_single",
)
_declare(
    "free",
    "marks a span for the profiler",
    None,
    traffic.nothing,
    "profiler::_record_function_enter profiler::_record_function_enter_new profiler::_record_function_exit",
)
_declare("free", "waits for a communication", None, traffic.nothing, "_c10d_functional::wait_tensor")


def _windows(result: Any, kernel: Sequence[int], dims: int) -> Elements:
    """One step per element of each window; windows may overlap. A kernel of one number is a cube."""
    out = result[0] if isinstance(result, tuple) else result
    return Elements(out.numel() * (kernel[0] ** dims if len(kernel) == 1 else math.prod(kernel)))


@rule("aten::avg_pool2d", "aten::max_pool2d_with_indices", kind="reduction")
def pool2d(result: Any, x: Tensor, kernel: Sequence[int], *_: Any, **__: Any) -> Works:
    return _windows(result, kernel, 2)


@rule("aten::avg_pool3d", "aten::max_pool3d_with_indices", kind="reduction")
def pool3d(result: Any, x: Tensor, kernel: Sequence[int], *_: Any, **__: Any) -> Works:
    return _windows(result, kernel, 3)


@rule("aten::linalg_solve_triangular", kind="element")
def _triangular(result: Tensor, matrix: Tensor, right: Tensor, *_: object, **__: object) -> Works:
    """Substitution: each element of the result takes, on average, half a row of the matrix, two steps for each."""
    return Elements(result.numel() * matrix.shape[-1])
