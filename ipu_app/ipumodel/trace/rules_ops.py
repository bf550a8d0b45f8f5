"""Which ATen operations PopTorch 3.4 can lower, and what to do instead of the others.

Names are those that reach the dispatcher after torch has decomposed its composite operations, so this is
PopTorch's list of handlers seen from one level lower. In-place forms are listed without their underscore.
"""

from __future__ import annotations

from typing import Dict, FrozenSet

_POINTWISE = """
abs add sub rsub mul div true_divide floor_divide remainder fmod neg reciprocal pow exp exp2 expm1 log log1p
log2 log10 sqrt rsqrt square sign sgn floor ceil round trunc frac clamp clamp_min clamp_max maximum minimum
fmax fmin sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh erf erfc addcmul addcdiv lerp
xlogy eq ne lt le gt ge logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not
bitwise_xor __and__ __or__ __xor__ isnan isinf where masked_fill cosine_similarity copysign hypot signbit
"""
_ACTIVATIONS = """
relu relu6 leaky_relu elu celu selu prelu _prelu_kernel rrelu rrelu_with_noise gelu silu mish sigmoid
hardswish hardsigmoid hardtanh hardshrink softshrink log_sigmoid log_sigmoid_forward softplus threshold glu
softsign _softmax _log_softmax logsumexp
"""
_REDUCTIONS = """
sum mean prod amax amin aminmax max min all any argmax argmin var std var_mean std_mean norm
linalg_vector_norm frobenius_norm count_nonzero cumsum median std var topk sort argsort
"""
_LINEAR = """
convolution _convolution conv2d mm bmm addmm baddbmm addbmm addmv addr mv dot vdot matmul linear einsum
bilinear _trilinear outer ger cdist
"""
_NORMS = """
native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training _batch_norm_with_update
_batch_norm_no_update cudnn_batch_norm native_group_norm native_layer_norm instance_norm renorm
"""
_POOLING = """
max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d
avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_bilinear2d upsample_bicubic2d
upsample_linear1d upsample_trilinear3d pixel_shuffle pixel_unshuffle grid_sampler_2d
"""
_SHAPES = """
view reshape _unsafe_view _reshape_alias flatten squeeze unsqueeze expand expand_as permute transpose t
numpy_T slice select narrow cat stack split split_with_sizes unsafe_split unsafe_split_with_sizes chunk
unsafe_chunk unbind repeat roll flip index_select gather scatter scatter_add scatter_reduce index index_put
_index_put_impl index_fill masked_scatter embedding embedding_bag constant_pad_nd reflection_pad1d
reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d pad tril triu
diagonal unfold im2col col2im movedim as_strided alias detach clone contiguous _to_copy to copy lift_fresh
lift lift_fresh_copy detach_copy slice_scatter select_scatter swapaxes meshgrid broadcast_tensors bucketize
searchsorted one_hot fill zero type_as resolve_conj resolve_neg view_as _weight_norm_interface _weight_norm
weight_norm take_along_dim
"""
_FACTORIES = """
empty empty_like empty_strided zeros zeros_like ones ones_like full full_like new_empty new_zeros new_ones
new_full new_empty_strided arange scalar_tensor tensor
"""
_RANDOM = """
rand rand_like randn randn_like randint randint_like randperm bernoulli uniform normal random exponential
native_dropout dropout feature_dropout alpha_dropout normal_functional
"""
_LOSSES = """
nll_loss nll_loss_forward nll_loss2d nll_loss2d_forward mse_loss l1_loss smooth_l1_loss huber_loss
binary_cross_entropy binary_cross_entropy_with_logits kl_div soft_margin_loss multi_margin_loss
multilabel_margin_loss multilabel_margin_loss_forward _ctc_loss ctc_loss hinge_embedding_loss
"""
SUPPORTED_OPS: FrozenSet[str] = frozenset(
    " ".join(
        (
            _POINTWISE,
            _ACTIVATIONS,
            _REDUCTIONS,
            _LINEAR,
            _NORMS,
            _POOLING,
            _SHAPES,
            _FACTORIES,
            _RANDOM,
            _LOSSES,
        )
    ).split()
)

DATA_DEPENDENT_OPS: FrozenSet[str] = frozenset(
    "nonzero nonzero_numpy nonzero_static argwhere masked_select unique unique_dim unique_consecutive "
    "_unique _unique2 unique_dim_consecutive bincount repeat_interleave".split()
)

FACTORY_OPS: FrozenSet[str] = frozenset(_FACTORIES.split())

RANDOM_OPS: FrozenSet[str] = frozenset(_RANDOM.split()) | {"rrelu_with_noise", "rrelu"}

# Operations that keep rounded values as they are: no second rounding when half arithmetic is emulated.
VALUE_PRESERVING_OPS: FrozenSet[str] = frozenset(
    """
    view reshape _unsafe_view _reshape_alias flatten squeeze unsqueeze expand permute transpose t slice
    select cat stack split split_with_sizes unbind repeat roll flip index_select gather index detach alias
    clone contiguous relu abs neg max_pool2d_with_indices max_pool2d zeros zeros_like empty empty_like ones
    ones_like new_zeros new_empty new_ones where maximum minimum amax amin max min reflection_pad2d
    replication_pad2d upsample_nearest2d embedding tril triu diagonal lift_fresh bernoulli
    """.split()
)

# CPU kernels of these want 64-bit indices; the device has only 32-bit integers.
INDEX_OPS: FrozenSet[str] = frozenset(
    "gather scatter scatter_add scatter_reduce index_select index index_put nll_loss_forward "
    "nll_loss2d_forward nll_loss "
    "nll_loss2d index_fill embedding multi_margin_loss".split()
)

# Matrix products of half with float32 are promoted to float32 (torch itself refuses to mix them).
PROMOTED_OPS: FrozenSet[str] = frozenset("mm bmm addmm baddbmm addbmm addmv mv dot addr".split())

REMEDIES: Dict[str, str] = {
    "linspace": "compute it on the host in __init__ and keep it as a float32 buffer",
    "logspace": "compute it on the host in __init__ and keep it as a float32 buffer",
    "eye": "compute it on the host in __init__ and keep it as a buffer",
    "erfinv": "compute it on the host in __init__ and keep it as a float32 buffer",
    "special_ndtri": "compute it on the host in __init__ and keep it as a float32 buffer",
    "lgamma": "compute it on the host",
    "digamma": "compute it on the host",
    "_sample_dirichlet": "sample on the host and feed the values as an input",
    "_standard_gamma": "sample on the host and feed the values as an input",
    "multinomial": "sample on the host and feed the values as an input",
    "poisson": "sample on the host and feed the values as an input",
    "nonzero": "use torch.where(condition, a, b) or multiply by a mask",
    "masked_select": "use torch.where(condition, a, b) or multiply by a mask",
}
DEFAULT_REMEDY = (
    "write it with supported operations, or compute it on the host and feed it as an input or buffer"
)


def base_name(name: str) -> str:
    """Name without the underscore of an in-place form (`__and__` and its like are kept)."""
    if name.endswith("_") and not name.endswith("__"):
        return name[:-1]
    if name.startswith("__i") and name.endswith("__"):
        return "__" + name[3:]
    return name


def is_supported(name: str) -> bool:
    """Whether PopTorch has a handler for the operation."""
    return base_name(name) in SUPPORTED_OPS


def remedy_for(name: str) -> str:
    """What to write instead of an operation that cannot be lowered."""
    return REMEDIES.get(base_name(name), DEFAULT_REMEDY)
