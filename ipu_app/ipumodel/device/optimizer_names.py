"""Names and values under which a device optimizer's hyper-parameters stand in a state_dict: ``ipu_param``.

The names are PopART's (`tensornames.hpp`), one scalar per weight. SGD keeps compound scalars, from which the
hyper-parameters are found again when a state is loaded. Constants are compiled in and have no scalar.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

from .optimizer_snapshot import OptimizerSnapshot, Value

LOSS_SCALING = "lossScaling_FLOAT"
LOSS_SCALE_FACTOR = "lossScaleUpdateFactor"

Group = Dict[str, Value]
#: scalar -> (hyper-parameters it is made of, value from them)
Scalars = Dict[str, Tuple[Tuple[str, ...], Callable[[Dict[str, Any]], float]]]

_PLAIN_SGD: Scalars = {
    "scaledLearningRate0": (
        ("lr", "dampening", "loss_scaling"),
        lambda v: v["lr"] * (1.0 - v["dampening"]) / v["loss_scaling"],
    ),
    "weightDecayScaleFactor0": (
        ("weight_decay", "lr", "dampening"),
        lambda v: 1.0 - v["lr"] * (1.0 - v["dampening"]) * v["weight_decay"],
    ),
}
_SGD: Scalars = {
    "scaledLearningRate2": (("lr", "velocity_scaling"), lambda v: v["lr"] / v["velocity_scaling"]),
    "dampeningScaleFactor2": (
        ("dampening", "velocity_scaling", "loss_scaling"),
        lambda v: (1.0 - v["dampening"]) * v["velocity_scaling"] / v["loss_scaling"],
    ),
    "scaledMomentum2": (("momentum",), lambda v: v["momentum"]),
    "sgdWeightDecay": (("weight_decay",), lambda v: v["weight_decay"]),
}
_COMBINED_SGD: Scalars = {
    "scaledLearningRate1": _SGD["scaledLearningRate2"],
    "dampeningScaleFactor1": _SGD["dampeningScaleFactor2"],
    "scaledMomentum1": _SGD["scaledMomentum2"],
    "scaledWeightDecay1": (
        ("dampening", "weight_decay", "velocity_scaling"),
        lambda v: (1.0 - v["dampening"]) * v["weight_decay"] * v["velocity_scaling"],
    ),
}
_ADAM: Scalars = {
    "learningRate": (("lr",), lambda v: v["lr"]),
    "weightDecay": (("weight_decay",), lambda v: v["weight_decay"]),
    "adamBeta1": (("betas",), lambda v: v["betas"][0]),
    "adamBeta2": (("betas",), lambda v: v["betas"][1]),
    "adamEps": (("eps",), lambda v: v["eps"]),
    "adamGradientScaling": (("loss_scaling",), lambda v: 1.0 / v["loss_scaling"]),
}
_LAMB: Scalars = {**_ADAM, "maxWeightNorm": (("max_weight_norm",), lambda v: v["max_weight_norm"])}
_RMSPROP: Scalars = {
    "learningRate": _ADAM["learningRate"],
    "weightDecay": _ADAM["weightDecay"],
    "adaptiveAlpha": (("alpha",), lambda v: v["alpha"]),
    "adaptiveMomentum": (("momentum",), lambda v: v["momentum"]),
    "adaptiveEps": (("eps",), lambda v: v["eps"]),
    "adaptiveGradientScaling": _ADAM["adamGradientScaling"],
}
_BY_KIND = {"Adam": _ADAM, "AdamW": _ADAM, "LAMB": _LAMB, "RMSprop": _RMSPROP}


def _scalars(snapshot: OptimizerSnapshot, has_momentum: bool) -> Scalars:
    if snapshot.kind != "SGD":
        return _BY_KIND[snapshot.kind]
    if not has_momentum:
        return _PLAIN_SGD
    return _COMBINED_SGD if snapshot.is_combined else _SGD


def scalars_of(snapshot: OptimizerSnapshot, index: int, has_momentum: bool) -> Dict[str, float]:
    """The changeable scalars of one group's weights by PopART's names, without the weight's own."""
    group = {**snapshot.groups[index], "loss_scaling": snapshot.loss_scaling}
    if "velocity_scaling" not in group or not snapshot.is_combined:
        group["velocity_scaling"] = snapshot.loss_scaling
    values = {name: item.value for name, item in group.items()}
    return {
        f"{scalar}___specific___": float(formula(values))
        for scalar, (parts, formula) in _scalars(snapshot, has_momentum).items()
        if not all(group[part].is_const for part in parts)
    }


def values_from(scalars: Dict[str, float], values: Dict[str, Any]) -> Dict[str, Any]:
    """Hyper-parameters after some scalars (names without the weight's) were written over; the rest as in
    ``values``, which also holds loss_scaling and velocity_scaling.
    """
    found = dict(values)
    named = {name.split("___")[0]: value for name, value in scalars.items()}
    for name, key in _DIRECT.items():
        if name in named:
            found[key] = named[name]
    betas = values.get("betas", (0.0, 0.0))
    if "adamBeta1" in named or "adamBeta2" in named:
        found["betas"] = (named.get("adamBeta1", betas[0]), named.get("adamBeta2", betas[1]))
    for variant in "12":
        if f"dampeningScaleFactor{variant}" in named:
            kept = named[f"dampeningScaleFactor{variant}"] * values["loss_scaling"]
            found["dampening"] = 1.0 - kept / values["velocity_scaling"]
        if f"scaledLearningRate{variant}" in named:
            found["lr"] = named[f"scaledLearningRate{variant}"] * values["velocity_scaling"]
    if "scaledWeightDecay1" in named:
        found["weight_decay"] = _ratio(
            named["scaledWeightDecay1"], (1.0 - found["dampening"]) * values["velocity_scaling"]
        )
    kept = 1.0 - values.get("dampening", 0.0)
    if "scaledLearningRate0" in named:
        found["lr"] = _ratio(named["scaledLearningRate0"] * values["loss_scaling"], kept)
    if "weightDecayScaleFactor0" in named:
        found["weight_decay"] = _ratio(1.0 - named["weightDecayScaleFactor0"], found["lr"] * kept)
    return found


_DIRECT = {
    "learningRate": "lr",
    "weightDecay": "weight_decay",
    "sgdWeightDecay": "weight_decay",
    "adamEps": "eps",
    "adaptiveEps": "eps",
    "adaptiveAlpha": "alpha",
    "adaptiveMomentum": "momentum",
    "scaledMomentum1": "momentum",
    "scaledMomentum2": "momentum",
    "maxWeightNorm": "max_weight_norm",
}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
