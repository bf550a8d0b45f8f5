"""What kinds of ATen operations there are for the rules and the device, and what to write instead of some.

In-place forms are listed without their underscore. Which operations can be lowered is in ``handlers``.
"""

from __future__ import annotations

from typing import Dict, FrozenSet

_FACTORIES = """
empty empty_like empty_strided zeros zeros_like ones ones_like full full_like new_empty new_zeros new_ones
new_full new_empty_strided arange scalar_tensor tensor
"""
_RANDOM = """
rand rand_like randn randn_like randint randint_like randperm bernoulli uniform normal random exponential
native_dropout dropout feature_dropout alpha_dropout normal_functional
"""
DATA_DEPENDENT_OPS: FrozenSet[str] = frozenset(
    "nonzero nonzero_numpy nonzero_static argwhere masked_select unique unique_dim unique_consecutive "
    "_unique _unique2 unique_dim_consecutive".split()
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
    "nll_loss2d index_fill index_reduce embedding multi_margin_loss".split()
)

REMEDIES: Dict[str, str] = {
    "erfinv": "compute it on the host in __init__ and keep it as a float32 buffer",
    "special_ndtri": "compute it on the host in __init__ and keep it as a float32 buffer",
    "lgamma": "compute it on the host",
    "digamma": "compute it on the host",
    "_sample_dirichlet": "sample on the host and feed the values as an input",
    "_standard_gamma": "sample on the host and feed the values as an input",
    "multinomial": "sample on the host and feed the values as an input",
    "poisson": "sample on the host and feed the values as an input",
    "exp2": "use 2 ** x",
    "lerp": "use a + weight * (b - a)",
    "tril": "multiply by a constant mask, torch.ones(n, n, device=x.device).tril()",
    "triu": "multiply by a constant mask, torch.ones(n, n, device=x.device).triu()",
    "huber_loss": "use smooth_l1_loss times delta",
    "hypot": "use (a * a + b * b).sqrt()",
    "fmax": "use torch.maximum",
    "fmin": "use torch.minimum",
    "logical_xor": "use a != b",
    "sgn": "use torch.sign",
    "diagonal": "multiply by a constant eye and sum",
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


def remedy_for(name: str) -> str:
    """What to write instead of an operation that cannot be lowered."""
    return REMEDIES.get(base_name(name), DEFAULT_REMEDY)
