"""Which ATen operations PopTorch 3.4 can lower.

``HANDLERS`` are the operations for which it registers a handler (poptorch/source/popart_canonicalization of
the 3.4.0 sources), without in-place and ``out=`` forms, which it turns into these first. ``TAKEN_APART`` are
operations that torch itself makes of others before PopTorch is asked, although a dispatch mode sees them
whole, and the names that newer versions of torch use for an operation with a handler. Everything else is
refused, unless its operands are constants: expressions of constants are evaluated while compiling, by torch.
"""

from __future__ import annotations

from typing import Dict, FrozenSet

_HANDLERS_BY_KIND: Dict[str, str] = {
    "arithmetic": "abs add sub rsub mul div true_divide floor_divide remainder fmod neg reciprocal pow sqrt "
    "rsqrt square exp expm1 log log1p log2 log10 sign floor ceil round trunc frac clamp clamp_min clamp_max "
    "minimum maximum addcmul addcdiv erf erfc where masked_fill cross linalg_cross",
    "angles": "sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh",
    "comparison": "eq ne lt le gt ge isnan logical_and logical_or logical_not bitwise_and bitwise_or "
    "bitwise_not bitwise_xor __and__ __or__ __xor__",
    "activation": "relu leaky_relu elu celu selu prelu _prelu_kernel rrelu rrelu_with_noise gelu silu mish "
    "sigmoid hardswish hardsigmoid hardtanh hardshrink softshrink log_sigmoid log_sigmoid_forward softplus "
    "threshold glu softmax log_softmax _softmax _log_softmax",
    "reduction": "sum mean prod nansum min max amin amax all any argmin argmax logsumexp median var std "
    "var_mean std_mean norm linalg_vector_norm frobenius_norm count_nonzero cumsum cumprod topk sort argsort",
    "product": "convolution _convolution convolution_overrideable conv2d mkldnn_convolution mm bmm addmm "
    "baddbmm addmv mv dot matmul linear einsum bilinear tensordot cdist _cdist_forward pairwise_distance "
    "cosine_similarity",
    "recurrent": "lstm gru rnn_tanh rnn_relu",
    "norm": "batch_norm native_batch_norm group_norm native_group_norm layer_norm native_layer_norm "
    "instance_norm _weight_norm",
    "pooling": "max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices "
    "max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
    "adaptive_avg_pool3d upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_bilinear2d "
    "upsample_bicubic2d upsample_linear1d upsample_trilinear3d pixel_shuffle reflection_pad1d "
    "reflection_pad2d replication_pad1d replication_pad2d replication_pad3d constant_pad_nd im2col col2im",
    "shape": "view reshape _unsafe_view _reshape_alias flatten squeeze unsqueeze expand expand_as "
    "broadcast_to permute transpose t numpy_T slice select narrow cat stack split split_with_sizes chunk "
    "unsafe_chunk unbind repeat roll flip unfold as_strided meshgrid cartesian_prod contiguous clone detach "
    "copy to type_as size Int",
    "index": "index index_put index_select index_fill index_reduce gather scatter scatter_add "
    "scatter_reduce take_along_dim embedding embedding_bag _embedding_bag one_hot bincount bucketize triu",
    "made": "arange zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full",
    "random": "rand randn randint randperm bernoulli normal uniform random exponential dropout "
    "feature_dropout",
    "loss": "nll_loss_forward nll_loss2d_forward nll_loss_nd nll_loss2d cross_entropy_loss mse_loss l1_loss "
    "smooth_l1_loss binary_cross_entropy kl_div poisson_nll_loss hinge_embedding_loss ctc_loss "
    "cosine_embedding_loss margin_ranking_loss triplet_margin_loss soft_margin_loss",
}
_TAKEN_APART_BY_KIND: Dict[str, str] = {
    "arithmetic": "deg2rad rad2deg isinf isfinite relu6 float_power ldexp fill zero "
    "binary_cross_entropy_with_logits addr outer ger vdot",
    "shape": "rot90 alias _to_copy lift lift_fresh lift_fresh_copy detach_copy resolve_conj resolve_neg "
    "view_as unsafe_split unsafe_split_with_sizes movedim swapaxes swapdims broadcast_tensors "
    "pixel_unshuffle pad copy",
    "made": "empty empty_like empty_strided new_empty new_empty_strided scalar_tensor tensor rand_like "
    "randn_like randint_like normal_functional native_dropout alpha_dropout",
    "newer names": "_native_batch_norm_legit _native_batch_norm_legit_no_training _batch_norm_with_update "
    "_batch_norm_no_update cudnn_batch_norm _adaptive_avg_pool2d _adaptive_avg_pool3d "
    "_embedding_bag_forward_only _index_put_impl _ctc_loss _weight_norm_interface",
    "of this package": "bincount_of_length printed",
}
HANDLERS: FrozenSet[str] = frozenset(" ".join(_HANDLERS_BY_KIND.values()).split())
TAKEN_APART: FrozenSet[str] = frozenset(" ".join(_TAKEN_APART_BY_KIND.values()).split())


#: functions that reach a handler whole (poptorch/source/dispatch_tracer/RegisterOptionalAtenOps.cpp.inc):
#: what torch makes of them here needs no handlers
LOWERED_WHOLE: FrozenSet[str] = frozenset(
    "kl_div poisson_nll_loss cosine_embedding_loss hinge_embedding_loss margin_ranking_loss "
    "triplet_margin_loss ctc_loss binary_cross_entropy_with_logits bilinear lstm gru rnn_tanh rnn_relu "
    "embedding_bag feature_dropout cosine_similarity pairwise_distance cdist".split()
)
#: operations for which torch itself compares the devices of its operands, before PopTorch sees them
ELEMENTWISE: FrozenSet[str] = frozenset(
    " ".join(_HANDLERS_BY_KIND[kind] for kind in ("arithmetic", "angles", "comparison")).split()
)


def has_handler(base_name: str) -> bool:
    """Whether PopTorch lowers the operation of that name (without the underscore of an in-place form)."""
    return base_name in HANDLERS or base_name in TAKEN_APART
