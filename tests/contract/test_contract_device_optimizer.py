"""The device's optimizers: their arithmetic, what setOptimizer may change, and the state they save."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import pytest
import torch

from ipu_app import ipumodel
from ipu_app.ipumodel.device.optimizer import DeviceOptimizer
from ipu_app.ipumodel.device.optimizer_snapshot import read_optimizer

GOLDEN = Path(__file__).parents[1] / "golden" / "optimizers" / "rmsprop_trajectory.npz"
NAMES = ("conv.weight", "conv.bias", "norm.weight", "norm.bias", "fc.weight", "fc.bias")


def parameters_like(
    shapes: Dict[str, Any], *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype))
        for name, shape in shapes.items()
    }


def gradients(parameters: Dict[str, Any], step: int, scale: float = 1.0) -> Dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(100 + step)
    return {
        name: (torch.randn(p.shape, generator=generator, dtype=torch.float64) * scale).to(p.dtype)
        for name, p in parameters.items()
    }


@pytest.mark.parametrize("decay", ["0", "1e-5", "0.05"])
def test_rmsprop_follows_the_original_trajectory(decay: str) -> None:
    golden = np.load(GOLDEN)
    parameters = {n: torch.nn.Parameter(torch.tensor(golden[f"{decay}/weights/{n}"][0])) for n in NAMES}
    groups = [
        {"params": [parameters[n] for n in NAMES if "norm" not in n], "weight_decay": float(decay)},
        {"params": [parameters[n] for n in NAMES if "norm" in n], "weight_decay": 0.0},
    ]
    optimizer = ipumodel.optim.RMSprop(
        groups,
        lr=float(golden["lr"]),
        alpha=float(golden["decay"]),
        momentum=float(golden["momentum"]),
        eps=float(golden["epsilon"]),
        loss_scaling=128.0,
        use_tf_variant=True,
    )
    device = DeviceOptimizer(optimizer, parameters)
    for step in range(10):
        grads = {
            n: 128.0 * (torch.tensor(golden[f"{decay}/coefficients/{n}"][step]) + 0.1 * p.detach())
            for n, p in parameters.items()
        }
        device.step(grads)
        for n, p in parameters.items():
            expected = torch.tensor(golden[f"{decay}/weights/{n}"][step + 1])
            torch.testing.assert_close(p.detach(), expected, rtol=0, atol=1e-12)
    state = device.state_dict()["ipu_state"]
    for n in NAMES:
        for key, array in (("Accl1___", "second_moment"), ("Accl3___", "momentum")):
            expected = torch.tensor(golden[f"{decay}/{array}/{n}"])
            torch.testing.assert_close(state[key + n], expected, rtol=0, atol=1e-12)


SHAPES = {"a": (3, 4), "b": (5,)}
TORCH_OPTIMIZERS: Dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd_decay": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.01),
    "sgd_momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "sgd_nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1, betas=(0.8, 0.95)),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, weight_decay=0.01),
    "rmsprop_plain": lambda p: torch.optim.RMSprop(p, lr=0.01, eps=1e-3),
    "rmsprop_centered": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
}


@pytest.mark.parametrize("make", TORCH_OPTIMIZERS.values(), ids=TORCH_OPTIMIZERS)
def test_torch_optimizers_compute_what_torch_computes(make: Callable[[Any], torch.optim.Optimizer]) -> None:
    mine, theirs = parameters_like(SHAPES), parameters_like(SHAPES)
    device = DeviceOptimizer(make(list(mine.values())), mine)
    reference = make(list(theirs.values()))
    for step in range(6):
        device.step(gradients(mine, step))
        for name, grad in gradients(theirs, step).items():
            theirs[name].grad = grad
        reference.step()
    for name, value in theirs.items():
        torch.testing.assert_close(mine[name], value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd_momentum"])
def test_torch_optimizers_agree_to_the_bit_in_float32(name: str) -> None:
    mine = parameters_like(SHAPES, dtype=torch.float32)
    theirs = parameters_like(SHAPES, dtype=torch.float32)
    make = TORCH_OPTIMIZERS[name]
    device, reference = DeviceOptimizer(make(list(mine.values())), mine), make(list(theirs.values()))
    for step in range(20):
        device.step(gradients(mine, step))
        for key, grad in gradients(theirs, step).items():
            theirs[key].grad = grad
        reference.step()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.mark.parametrize("nesterov", [False, True])
def test_combined_sgd_computes_the_same(nesterov: bool) -> None:
    def run(combined: bool) -> torch.Tensor:
        parameters = parameters_like(SHAPES)
        optimizer = ipumodel.optim.SGD(
            list(parameters.values()),
            lr=0.1,
            momentum=0.9,
            weight_decay=0.01,
            nesterov=nesterov,
            use_combined_accum=combined,
        )
        device = DeviceOptimizer(optimizer, parameters)
        for step in range(5):
            device.step(gradients(parameters, step))
        return parameters["a"].detach()

    torch.testing.assert_close(run(True), run(False), rtol=1e-12, atol=1e-12)


def test_combined_sgd_lags_one_step_behind_a_change_of_momentum() -> None:
    def run(combined: bool) -> List[float]:
        parameters = {"w": torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))}
        optimizer = sgd_with(parameters, lr=1.0, momentum=0.5, use_combined_accum=combined)
        device = DeviceOptimizer(optimizer, parameters)
        seen = []
        for step in range(3):
            if step == 1:
                optimizer.param_groups[0]["momentum"] = 0.0
                device.update(read_optimizer(optimizer))
            device.step({"w": torch.ones(1, dtype=torch.float64)})
            seen.append(float(parameters["w"].detach()))
        return seen

    assert run(False) == [-1.0, -2.0, -3.0]
    assert run(True) == [-1.0, -2.5, -3.5]


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_dampening_counts_from_the_first_step(momentum: float) -> None:
    parameters = {"w": torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))}
    device = DeviceOptimizer(sgd_with(parameters, lr=1.0, momentum=momentum, dampening=0.25), parameters)
    device.step({"w": torch.ones(1, dtype=torch.float64)})
    assert float(parameters["w"].detach()) == -0.75


def test_velocity_scaling_belongs_to_the_combined_variant() -> None:
    parameters = parameters_like(SHAPES)
    combined = sgd_with(parameters, lr=0.1, velocity_scaling=8.0, use_combined_accum=True)
    assert combined.param_groups[0]["velocity_scaling"] == 8.0
    assert "velocity_scaling" not in sgd_with(parameters, lr=0.1, velocity_scaling=8.0).param_groups[0]


def test_tf_variant_against_the_formula_with_centering() -> None:
    parameters = parameters_like(SHAPES)
    optimizer = ipumodel.optim.RMSprop(
        list(parameters.values()),
        lr=0.1,
        alpha=0.9,
        eps=1e-3,
        momentum=0.8,
        centered=True,
        use_tf_variant=True,
    )
    device = DeviceOptimizer(optimizer, parameters)
    w = parameters["a"].detach().clone()
    second, mean, momentum = torch.ones_like(w), torch.zeros_like(w), torch.zeros_like(w)
    for step in range(4):
        s = gradients(parameters, step)["a"]
        second = 0.9 * second + 0.1 * s * s
        mean = 0.9 * mean + 0.1 * s
        momentum = 0.8 * momentum + 0.1 * s / torch.sqrt(second - mean**2 + 1e-3)
        w = w - momentum
        device.step(gradients(parameters, step))
    torch.testing.assert_close(parameters["a"].detach(), w, rtol=1e-12, atol=1e-12)


def test_lamb_against_the_formula() -> None:
    parameters = parameters_like(SHAPES)
    optimizer = ipumodel.optim.LAMB(list(parameters.values()), lr=0.1, weight_decay=0.01, max_weight_norm=2.0)
    device = DeviceOptimizer(optimizer, parameters)
    w = parameters["a"].detach().clone()
    first, second = torch.zeros_like(w), torch.zeros_like(w)
    for step in range(4):
        g = gradients(parameters, step)["a"]
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
        x = (
            first / (1 - 0.9 ** (step + 1)) / (torch.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-8)
            + 0.01 * w
        )
        w = w - 0.1 * min(float(w.norm()), 2.0) / x.norm() * x
        device.step(gradients(parameters, step))
    torch.testing.assert_close(parameters["a"].detach(), w, rtol=1e-10, atol=1e-12)


def test_lamb_steps_on_the_host_too() -> None:
    host, on_device = parameters_like(SHAPES), parameters_like(SHAPES)
    optimizer = ipumodel.optim.LAMB(list(host.values()), lr=0.1)
    device = DeviceOptimizer(ipumodel.optim.LAMB(list(on_device.values()), lr=0.1), on_device)
    for step in range(3):
        for name, grad in gradients(host, step).items():
            host[name].grad = grad
        optimizer.step()
        device.step(gradients(on_device, step))
    torch.testing.assert_close(host["a"], on_device["a"], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_global_norm_clipping(name: str) -> None:
    def run(limit: float, factor: float) -> torch.Tensor:
        parameters = parameters_like(SHAPES)
        cls = getattr(ipumodel.optim, name)
        device = DeviceOptimizer(cls(list(parameters.values()), lr=0.1, max_grad_norm=limit), parameters)
        device.step({n: g * factor for n, g in gradients(parameters, 0).items()})
        return parameters["a"].detach()

    norm = torch.cat([g.flatten() for g in gradients(parameters_like(SHAPES), 0).values()]).norm().item()
    torch.testing.assert_close(run(norm / 2, 1.0), run(float("inf"), 0.5), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(run(norm * 2, 1.0), run(float("inf"), 1.0), rtol=0, atol=0)


def test_loss_scaling_is_divided_out() -> None:
    def run(scaling: float) -> torch.Tensor:
        parameters = parameters_like(SHAPES)
        optimizer = ipumodel.optim.AdamW(list(parameters.values()), lr=0.1, loss_scaling=scaling)
        device = DeviceOptimizer(optimizer, parameters)
        assert device.loss_scaling == scaling
        for step in range(3):
            device.step(gradients(parameters, step, scale=scaling))
        return parameters["a"].detach()

    torch.testing.assert_close(run(1.0), run(1024.0), rtol=1e-12, atol=1e-12)


def test_half_weights_keep_float32_state_and_round_to_half() -> None:
    parameters = parameters_like(SHAPES, dtype=torch.float16)
    optimizer = ipumodel.optim.RMSprop(list(parameters.values()), lr=1e-3, momentum=0.9, use_tf_variant=True)
    device = DeviceOptimizer(optimizer, parameters)
    before = parameters["a"].detach().clone()
    device.step(gradients(parameters, 0))
    assert parameters["a"].dtype == torch.float16
    state = device.state_dict()["ipu_state"]
    assert state["Accl1___a"].dtype == state["Accl3___a"].dtype == torch.float32
    expected = (before.float() - state["Accl3___a"]).half()
    torch.testing.assert_close(parameters["a"].detach(), expected, rtol=0, atol=0)


def test_half_state_types_are_kept_and_lose_small_updates() -> None:
    parameters = parameters_like({"a": (4,)}, dtype=torch.float32)
    optimizer = ipumodel.optim.Adam(
        list(parameters.values()), lr=0.1, second_order_momentum_accum_type=torch.float16
    )
    device = DeviceOptimizer(optimizer, parameters)
    # 0.001 * (1e-3)^2 is below half of the smallest float16 number, so nothing of it is stored.
    device.step({"a": torch.full((4,), 1e-3)})
    state = device.state_dict()["ipu_state"]
    assert state["Accl2___a"].dtype == torch.float16 and state["Accl1___a"].dtype == torch.float32
    assert torch.count_nonzero(state["Accl2___a"]) == 0 and torch.count_nonzero(state["Accl1___a"]) == 4


def test_separate_device_tensors_are_updated_and_host_tensors_left() -> None:
    host = parameters_like(SHAPES)
    on_device = {name: p.detach().clone() for name, p in host.items()}
    before = copy.deepcopy(host)
    DeviceOptimizer(torch.optim.SGD(host.values(), lr=0.1), host, on_device).step(gradients(host, 0))
    torch.testing.assert_close(host["a"], before["a"], rtol=0, atol=0)
    assert not torch.equal(on_device["a"], before["a"])


def test_parameters_are_matched_by_pointer() -> None:
    with pytest.raises(KeyError):
        DeviceOptimizer(torch.optim.SGD(parameters_like(SHAPES).values(), lr=0.1), parameters_like(SHAPES))


def test_parameters_without_grad_or_group_stay() -> None:
    parameters = parameters_like({"a": (2,), "frozen": (2,), "outside": (2,)})
    parameters["frozen"].requires_grad_(False)
    before = copy.deepcopy(parameters)
    device = DeviceOptimizer(torch.optim.SGD([parameters["a"], parameters["frozen"]], lr=0.1), parameters)
    device.step(gradients(parameters, 0))
    assert not torch.equal(parameters["a"], before["a"])
    assert torch.equal(parameters["frozen"], before["frozen"]) and torch.equal(
        parameters["outside"], before["outside"]
    )
    assert device.names == ["a"]


def sgd_with(parameters: Dict[str, Any], **arguments: Any) -> ipumodel.optim.SGD:
    return ipumodel.optim.SGD(list(parameters.values()), **arguments)


def test_edits_count_only_after_set_optimizer() -> None:
    parameters, reference = parameters_like(SHAPES), parameters_like(SHAPES)
    optimizer = sgd_with(parameters, lr=0.1)
    device = DeviceOptimizer(optimizer, parameters)
    optimizer.param_groups[0]["lr"] = 1.0
    device.step(gradients(parameters, 0))
    DeviceOptimizer(sgd_with(reference, lr=0.1), reference).step(gradients(reference, 0))
    assert torch.equal(parameters["a"], reference["a"])
    device.update(read_optimizer(optimizer))
    device.step(gradients(parameters, 1))
    DeviceOptimizer(sgd_with(reference, lr=1.0), reference).step(gradients(reference, 1))
    assert torch.equal(parameters["a"], reference["a"])


def test_rate_in_groups_only_is_a_constant() -> None:
    parameters = parameters_like(SHAPES)
    groups = [{"params": list(parameters.values()), "lr": 0.1}]
    optimizer = ipumodel.optim.RMSprop(groups, momentum=0.9)
    device = DeviceOptimizer(optimizer, parameters)
    optimizer.param_groups[0]["lr"] = 0.05
    with pytest.raises(ipumodel.Error, match="lr of group 0"):
        device.update(read_optimizer(optimizer))


def test_rate_of_a_torch_optimizer_is_variable_and_alpha_constant() -> None:
    parameters = parameters_like(SHAPES)
    optimizer = torch.optim.RMSprop(parameters.values(), lr=0.1)
    device = DeviceOptimizer(optimizer, parameters)
    optimizer.param_groups[0]["lr"] = 0.05
    device.update(read_optimizer(optimizer))
    optimizer.param_groups[0]["alpha"] = 0.5
    with pytest.raises(ipumodel.Error, match="alpha"):
        device.update(read_optimizer(optimizer))


def test_marks_decide_what_may_change() -> None:
    parameters = parameters_like(SHAPES)
    optimizer = sgd_with(parameters, lr=0.1)
    optimizer.variable_attrs.markAsVariable("momentum")
    optimizer.variable_attrs.markAsConstant("lr")
    with pytest.raises(AssertionError):
        optimizer.variable_attrs.markAsVariable("nonsense")
    device = DeviceOptimizer(optimizer, parameters)
    optimizer.param_groups[0]["momentum"] = 0.9
    device.update(read_optimizer(optimizer))
    optimizer.param_groups[0]["lr"] = 0.2
    with pytest.raises(ipumodel.Error):
        device.update(read_optimizer(optimizer))


def test_groups_and_kind_can_not_change() -> None:
    parameters = parameters_like(SHAPES)
    first, second = parameters.values()
    device = DeviceOptimizer(torch.optim.SGD([first, second], lr=0.1), parameters)
    with pytest.raises(ipumodel.Error, match="groups"):
        device.update(read_optimizer(torch.optim.SGD([{"params": [first]}, {"params": [second]}], lr=0.1)))
    with pytest.raises(ipumodel.Error, match="type changed"):
        device.update(read_optimizer(torch.optim.Adam([first, second], lr=0.1)))


def test_accumulator_type_can_not_change_the_reduction() -> None:
    parameters = parameters_like(SHAPES, dtype=torch.float32)
    device = DeviceOptimizer(sgd_with(parameters, lr=0.1), parameters)
    with pytest.raises(ValueError, match="accum_type"):
        device.update(read_optimizer(sgd_with(parameters, lr=0.1, accum_type=torch.float16)))


@pytest.mark.parametrize("combined, expected", [(False, "Running"), (True, "Post")])
def test_half_accumulators_need_a_running_mean(combined: bool, expected: str) -> None:
    parameters = parameters_like(SHAPES, dtype=torch.float32)
    optimizer = sgd_with(parameters, lr=0.1, accum_type=torch.float16, use_combined_accum=combined)
    device = DeviceOptimizer(optimizer, parameters)
    assert device.accum_type == (torch.float32 if combined else torch.float16)
    assert device.snapshot.mean_strategy(ipumodel.MeanReductionStrategy.Post).name == expected


def train(device: DeviceOptimizer, parameters: Dict[str, Any], steps: List[int]) -> None:
    for step in steps:
        device.step(gradients(parameters, step))


def adamw(parameters: Dict[str, Any]) -> ipumodel.optim.AdamW:
    return ipumodel.optim.AdamW(list(parameters.values()), lr=0.1)


def test_saved_state_continues_the_run() -> None:
    whole, first = parameters_like(SHAPES), parameters_like(SHAPES)
    train(DeviceOptimizer(adamw(whole), whole), whole, [0, 1, 2, 3])
    device = DeviceOptimizer(adamw(first), first)
    train(device, first, [0, 1])
    second = {name: torch.nn.Parameter(p.detach().clone()) for name, p in first.items()}
    resumed = DeviceOptimizer(adamw(second), second)
    resumed.load_state_dict(copy.deepcopy(device.state_dict()))
    train(resumed, second, [2, 3])
    assert torch.equal(second["a"], whole["a"])


def test_state_of_before_version_2_is_read() -> None:
    whole, parameters = parameters_like(SHAPES), parameters_like(SHAPES)
    train(DeviceOptimizer(adamw(whole), whole), whole, [0, 1])
    device = DeviceOptimizer(adamw(parameters), parameters)
    train(device, parameters, [0])
    state = {k: v for k, v in device.state_dict()["ipu_state"].items() if not k.startswith("Step___")}
    resumed = DeviceOptimizer(adamw(parameters), parameters)
    resumed.load_state_dict({"ipu_state": {**state, "Step": torch.tensor(1.0)}, "ipu_param": {}})
    train(resumed, parameters, [1])
    assert torch.equal(parameters["a"], whole["a"])


def test_new_values_keep_the_devices_state() -> None:
    whole, changed = parameters_like(SHAPES), parameters_like(SHAPES)
    train(DeviceOptimizer(adamw(whole), whole), whole, [0, 1])
    device = DeviceOptimizer(adamw(changed), changed)
    train(device, changed, [0])
    device.update(read_optimizer(adamw(changed)))
    train(device, changed, [1])
    assert torch.equal(changed["a"], whole["a"])


def test_partial_state_leaves_the_rest_as_it_is() -> None:
    parameters = parameters_like(SHAPES)
    device = DeviceOptimizer(adamw(parameters), parameters)
    train(device, parameters, [0])
    before = device.state_dict()
    rate, other = "learningRate___specific___a", "learningRate___specific___b"
    device.load_state_dict(
        {
            "ipu_state": {"Accl1___a": torch.full_like(parameters["a"], 0.5), "Step___a": torch.tensor(7.0)},
            "ipu_param": {rate: torch.tensor(0.25)},
        }
    )
    after = device.state_dict()
    assert after["ipu_param"][rate] == 0.25 and after["ipu_param"][other] == before["ipu_param"][other]
    assert after["ipu_state"]["Step___a"] == 7.0 and after["ipu_state"]["Step___b"] == 1.0
    assert torch.equal(after["ipu_state"]["Accl2___a"], before["ipu_state"]["Accl2___a"])
    weight = parameters["b"].detach().clone()
    device.step({"b": torch.zeros_like(weight)})
    moved = (parameters["b"] - weight).abs().max().item()
    assert 0 < moved < 0.2  # by the old rate of 0.1


def test_loaded_rates_work_until_others_are_set() -> None:
    mine, theirs = parameters_like(SHAPES), parameters_like(SHAPES)
    device = DeviceOptimizer(sgd_with(mine, lr=0.1, momentum=0.5), mine)
    device.load_state_dict(DeviceOptimizer(sgd_with(theirs, lr=0.3, momentum=0.25), theirs).state_dict())
    start = mine["a"].detach().clone()
    device.step({"a": torch.ones_like(start)})
    torch.testing.assert_close(mine["a"].detach(), start - 0.3)
    device.step({"a": torch.zeros_like(start)})
    torch.testing.assert_close(mine["a"].detach(), start - 0.3 * 1.25)


def test_state_of_a_cpu_optimizer_is_refused() -> None:
    parameters = parameters_like(SHAPES)
    optimizer = adamw(parameters)
    native = torch.optim.AdamW(parameters.values(), lr=0.1)
    assert not optimizer.has_state()
    assert optimizer.state_dict()["ipu_state"] is None and optimizer.state_dict()["ipu_param"] is None
    with pytest.raises(RuntimeError, match="Only IPU optimizer states can be loaded onto the IPU"):
        optimizer.load_state_dict(native.state_dict())
    with pytest.raises(RuntimeError, match="empty"):
        optimizer.set_state_dict({})
    with pytest.raises(KeyError):
        optimizer.load_state_dict({})


def test_copied_optimizer_keeps_the_device_arguments() -> None:
    parameters = parameters_like(SHAPES)
    optimizer = ipumodel.optim.RMSprop(
        list(parameters.values()), lr=0.1, loss_scaling=8.0, use_tf_variant=True
    )
    twin = copy.deepcopy(optimizer)
    assert twin.loss_scaling == 8.0 and twin.use_tf_variant and not twin.variable_attrs.isConstant("lr")


def test_automatic_loss_scaling_keeps_the_devices_value() -> None:
    parameters = parameters_like(SHAPES)
    optimizer = sgd_with(parameters, lr=0.1)
    device = DeviceOptimizer(optimizer, parameters, auto_loss_scaling=True)
    assert not optimizer.variable_attrs.isConstant("loss_scaling")
    device.loss_scaling = 64.0
    device.update(read_optimizer(optimizer))
    assert device.loss_scaling == 64.0
