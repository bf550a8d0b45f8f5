"""Cost of layers and stages against hand calculation; constants with mark and source."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.cost import constants
from pipelines.cost.cycles import Calibration, PassWork, conv_kinds, layer_work
from pipelines.cost.hardware import allreduce_bytes_per_s, check_num_ipus, ipu_target, paper_target
from pipelines.cost.layers import ConvShape, LayerSpec, slice_stages
from pipelines.cost.memory import StoragePolicy, check_fit, stage_memory
from pipelines.cost.stage import cost_stage

MK2 = paper_target()


def conv_layer(*, channels=64, out=128, groups=1, kernel=1, size=10, block="block2a"):
    shape = ConvShape(channels, out, groups, kernel, size * size)
    return LayerSpec(
        name=f"{block}.conv",
        sub_block=block,
        kind="conv",
        in_elements=channels * size * size,
        out_elements=out * size * size,
        live_elements=channels * size * size,
        params=shape.weights,
        param_tensors=1,
        conv=shape,
    )


def plain_layer(kind, elements=1472, **extra):
    return LayerSpec(kind, "block2a", kind, elements, elements, elements, **extra)


def test_a_pointwise_convolution_is_the_closed_form():
    layer = conv_layer()
    work = layer_work(layer, MK2, micro_batch=3, precision="16.16")
    macs, weights, inputs, outputs = 3 * 100 * 64 * 128, 64 * 128, 3 * 6400, 3 * 12800
    forward = 3.19 * macs / (1472 * 64) + 0.46 * weights / 1472 + 1529
    to_input = 2.87 * macs / (1472 * 64) + 2.55 * weights / 1472 + 1683
    moved = 2.10 * inputs + 1.93 * outputs + 1.28 * weights
    to_weights = 2.80 * macs / (1472 * 64) + moved / 1472 + 2239
    assert work.forward.conv_cycles == pytest.approx(forward)
    assert work.backward.conv_cycles == pytest.approx(to_input + to_weights)
    assert work.forward.elementwise_cycles == 0
    assert work.backward.elementwise_cycles == pytest.approx(2.0 * weights / 1472)


def test_elementwise_layers_are_cycles_per_element_and_compute_sets():
    norm = layer_work(plain_layer("norm"), MK2, micro_batch=2, precision="16.32")
    assert norm.forward == PassWork(elementwise_cycles=pytest.approx(10.2), compute_sets=11)
    proxy = layer_work(plain_layer("proxy_delayed"), MK2, micro_batch=2, precision="16.32")
    assert proxy.backward == PassWork(compute_sets=14, proxy_cycles=pytest.approx(16.5))
    calibration = Calibration(2.0, 100.0)
    assert norm.forward.cycles(calibration) == pytest.approx(2 * 10.2 + 1100)
    assert proxy.backward.cycles(calibration) == pytest.approx(16.5 + 1400)


def test_the_stem_has_no_gradient_to_the_image():
    stem = conv_layer(channels=3, out=32, kernel=3)
    work = layer_work(stem, MK2, micro_batch=1, precision="16.16").backward
    expected = (2.32 * 300 + 4.01 * 3200) / 1472 + 1762
    assert work.conv_cycles == pytest.approx(expected)


def test_group_sizes_between_are_between_and_above_sixteen_are_the_same_row():
    cycles = []
    for group_size in (1, 2, 4, 8, 16):
        layer = conv_layer(channels=64, out=64, groups=64 // group_size, kernel=3)
        work = layer_work(layer, MK2, micro_batch=8, precision="16.16")
        cycles.append(work.forward.conv_cycles)
    steps = [b - a for a, b in zip(cycles, cycles[1:])]
    assert steps == pytest.approx([steps[0]] * 4)
    assert conv_kinds(ConvShape(64, 64, 2, 3, 100)) == (("group16", 1.0, 32),)


@given(micro_batch=st.integers(1, 64), kind=st.sampled_from(["norm", "swish", "scale", "proxy", "add"]))
@settings(max_examples=30, deadline=None)
def test_work_is_affine_in_the_micro_batch(micro_batch, kind):
    for layer in (conv_layer(), conv_layer(groups=64, out=64, kernel=5), plain_layer(kind)):
        zero, one, many = (
            layer_work(layer, MK2, micro_batch=size, precision="16.32").backward.cycles()
            for size in (0, 1, micro_batch)
        )
        assert many == pytest.approx(zero + micro_batch * (one - zero))


def test_float_costs_more_and_a_fused_swish_less():
    layer = conv_layer()
    half = layer_work(layer, MK2, micro_batch=1, precision="16.16").forward.conv_cycles
    assert layer_work(layer, MK2, micro_batch=1, precision="32.32").forward.conv_cycles > half
    swish = plain_layer("swish")
    unfused, fused = (
        layer_work(swish, ipu_target("mk2", sdk=sdk), micro_batch=1, precision="16.16")
        for sdk in ("2.0", "3")
    )
    assert fused.forward.elementwise_cycles < unfused.forward.elementwise_cycles


def test_tight_convolution_memory_slows_convolutions_only():
    tight = ipu_target("mk2", available_memory_proportion=(0.15,))
    assert tight.conv_slowdown == pytest.approx(1.12)
    assert ipu_target("mk2", available_memory_proportion=(0.6, 0.8)).conv_slowdown == 1.0
    layer = conv_layer()
    slow, plain = (layer_work(layer, t, micro_batch=1, precision="16.16").forward for t in (tight, MK2))
    assert slow.conv_cycles == pytest.approx(1.12 * plain.conv_cycles)
    assert slow.compute_sets == plain.compute_sets
    with pytest.raises(ValueError, match="available_memory_proportion"):
        ipu_target("mk2", available_memory_proportion=(0.0,))


def test_a_stage_adds_its_layers_up():
    layers = [conv_layer(), plain_layer("norm", params=7, param_tensors=2)]
    cost = cost_stage(layers, MK2, micro_batch=2, precision="16.32")
    single = [layer_work(layer, MK2, micro_batch=2, precision="16.32").forward.cycles() for layer in layers]
    assert cost.forward_cycles() == pytest.approx(sum(single))
    assert (cost.params, cost.param_tensors, cost.in_bytes) == (8199, 3, 2 * 2 * 6400)
    assert cost.update_cycles == pytest.approx(60 * 8199 / 1472 + 5000 * 3)
    with pytest.raises(ValueError, match="precision='8.8': choose one of 16.16"):
        cost_stage(layers, MK2, micro_batch=2, precision="8.8")


def test_memory_counts_parameters_activations_stash_and_temporaries():
    layers = [conv_layer(), plain_layer("scale", elements=500)]
    memory = stage_memory(layers, StoragePolicy("16.32"), micro_batch=2, stash_depth=5)
    assert memory.parameter_bytes == 16 * 8192
    assert memory.activation_bytes == 2 * 2 * (3 * 12800 + 500)
    assert memory.stash_bytes == 5 * 2 * 2 * 6400
    assert memory.temporary_bytes == 4 * 2 * 2 * 12800
    offloaded = stage_memory(layers, StoragePolicy("16.16", True), micro_batch=2, stash_depth=5)
    assert offloaded.parameter_bytes == 4 * 8192
    kept = stage_memory(layers, StoragePolicy(recompute=False), micro_batch=2, stash_depth=5)
    assert kept.activation_bytes == 5 * memory.activation_bytes


def test_what_does_not_fit_says_demand_limit_and_a_lever_for_its_largest_part():
    memory = stage_memory([conv_layer()], StoragePolicy(), micro_batch=64, stash_depth=1)
    assert check_fit(memory, memory.total_bytes, stage="block2a") is None
    rejection = check_fit(memory, 1e6, stage="block2a")
    assert (rejection.demand, rejection.limit, rejection.unit) == (memory.total_mb, 1.0, "MB")
    assert "micro-batch" in rejection.lever and "stage block2a" in str(rejection)


def test_every_constant_has_unit_mark_and_source_and_only_two_are_fitted_on_throughput():
    table = constants.table()
    assert len(table) > 100
    for constant in table.values():
        assert constant.unit and constant.source and constant.mark in constants.MARKS
    fitted = {name for name, c in table.items() if c.mark == "fitted" and not name.startswith("error_pct")}
    assert fitted == {"elementwise_factor", "compute_set_cycles"}
    with pytest.raises(ValueError, match="mark='guess'"):
        constants.Constant("x", 1.0, "B", "guess", "")


def test_the_machine_shares_host_ports_and_crosses_gateways():
    assert MK2.host_bytes_per_s(1) == pytest.approx(6.25e9)
    assert MK2.host_bytes_per_s(2) == pytest.approx(12.5e9)
    assert MK2.host_bytes_per_s(8) == MK2.host_bytes_per_s(4) == pytest.approx(25e9)
    assert allreduce_bytes_per_s(64) == pytest.approx(2 * allreduce_bytes_per_s(128))
    with pytest.raises(ValueError, match="platform='mk1': choose one of mk2, bow"):
        ipu_target("mk1")


@pytest.mark.parametrize(("ipus", "nearest"), [(3, "2 or 4"), (0, "1"), (48, "32 or 64"), (1000, "256")])
def test_numbers_of_ipus_that_cannot_be_attached_get_the_nearest(ipus, nearest):
    with pytest.raises(
        ValueError, match=f"ipus={ipus}: must be a power of two, 1 to 256; nearest: {nearest}$"
    ):
        check_num_ipus(ipus)


def test_cuts_must_exist_and_be_in_order():
    layers = [conv_layer(block=name) for name in ("block0", "block1a", "block1a.project")]
    assert [len(stage) for stage in slice_stages(layers, ["block0", "block1a.project"])] == [2, 1]
    with pytest.raises(ValueError, match="splits='block1b': no such sub-block; nearest are block1a"):
        slice_stages(layers, ["block0", "block1b"])
    with pytest.raises(ValueError, match="in the order of the model"):
        slice_stages(layers, ["block0", "block1a.project", "block1a"])
    with pytest.raises(ValueError, match="entered twice"):
        slice_stages([*layers, layers[0]], ["block0"])
