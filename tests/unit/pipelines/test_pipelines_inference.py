"""Estimates of inference: published points, the rules that any estimate must keep, and refusals."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipu_app.models.layer_table import load_layer_table
from ipu_app.models.spec import make_spec
from pipelines.cost import constants
from pipelines.cost.hardware import ipu_target
from pipelines.cost.layers import ConvShape, LayerSpec
from pipelines.estimate import estimate_plan
from pipelines.geometry import BatchGeometry
from pipelines.inference import InferenceWishes, estimate_inference, even_cuts, plan_inference
from pipelines.plan import PipelinePlan

ONE = PipelinePlan.from_splits([])
NETWORKS = (("b0", 1, "bn"), ("b0", 16, "gn"), ("b4", 16, "gn"))


@pytest.fixture(scope="module")
def networks(tables):
    return {
        case: load_layer_table(make_spec(case[0], group_size=case[1], norm=case[2]), cache=tables)
        for case in (*NETWORKS, ("b0", 1, "gn"))
    }


class ResNet50:
    """The layer table of ResNet-50 at 224 px, by hand: dense 3x3 convolutions, batch norm, relu."""

    def __init__(self):
        self.rows = []
        self.block = "block0"
        self.add("input", 3 * 224 * 224, 3 * 224 * 224, live=3 * 224 * 224)
        pixels = self.conv(3, 64, 7, 2, 224)
        self.add("pool", 64 * pixels**2, 64 * pixels**2 // 4)
        pixels, channels = pixels // 2, 64
        for stage, (depth, width) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512))):
            for place in range(depth):
                self.block = f"block{stage + 1}{'abcdef'[place]}"
                stride = 2 if place == 0 and stage else 1
                pixels = self.bottleneck(channels, width, pixels, stride, has_shortcut=place == 0)
                channels = 4 * width
        self.block = "Top"
        self.add("pool", 2048 * pixels**2, 2048, live=2048 * pixels**2)
        shape = ConvShape(2048, 1000, 1, 1, 1)
        self.add("conv", 2048, 1000, conv=shape, params=shape.weights + 1000)

    def add(self, kind, inputs, outputs, *, conv=None, params=0, live=0):
        self.rows.append(LayerSpec(kind, self.block, kind, inputs, outputs, live, params, 1, conv))

    def conv(self, inputs, outputs, kernel, stride, pixels, activation=True):
        size = pixels // stride
        shape = ConvShape(inputs, outputs, 1, kernel, size**2)
        live = inputs * pixels**2 if self.rows[-1].sub_block != self.block else 0
        self.add("conv", inputs * pixels**2, outputs * size**2, conv=shape, params=shape.weights, live=live)
        self.add("norm", outputs * size**2, outputs * size**2, params=2 * outputs)
        if activation:
            self.add("relu", outputs * size**2, outputs * size**2)
        return size

    def bottleneck(self, inputs, width, pixels, stride, *, has_shortcut):
        self.conv(inputs, width, 1, 1, pixels)
        size = self.conv(width, width, 3, stride, pixels)
        self.conv(width, 4 * width, 1, 1, size, activation=False)
        if has_shortcut:
            self.conv(inputs, 4 * width, 1, stride, pixels, activation=False)
        self.add("add", 4 * width * size**2, 4 * width * size**2)
        self.add("relu", 4 * width * size**2, 4 * width * size**2)
        return size


@pytest.fixture(scope="module")
def resnet():
    return tuple(ResNet50().rows)


def test_the_table_by_hand_is_resnet_50(resnet):
    assert sum(row.params for row in resnet) == pytest.approx(25.557e6, rel=1e-3)
    assert sum(row.conv.multiply_adds for row in resnet if row.conv) == pytest.approx(4.09e9, rel=1e-2)


def test_dense_convolutions_train_resnet_50_near_what_was_published(resnet):
    """MLPerf Training 1.1, 16 Mk2 IPUs: 28672 images/s of 38 epochs with evaluation, a lower bound."""
    target = ipu_target("mk2", framework="tf1")
    found = estimate_plan(resnet, ONE, BatchGeometry(16, 12, 16), target, precision="16.16")
    assert 28672 <= found.images_per_s <= 1.35 * 28672
    assert "dense_conv" in found.extrapolated and found.error_pct >= 15


def test_the_printed_row_of_a_c600_is_within_40_percent(resnet):
    """ResNet-50, half precision, four images a batch on a C600 (280 TFLOP/s): 7062 images/s."""
    card = replace(ipu_target("mk2"), clock_hz=ipu_target("mk2").clock_hz * 280 / 250)
    found = estimate_inference(resnet, ONE, card, micro_batch=4)
    assert found.images_per_s == pytest.approx(7062, rel=0.4)
    assert abs(100 * (found.images_per_s / 7062 - 1)) < found.error_pct


def test_the_largest_micro_batches_that_ship_for_one_ipu_are_within_30_percent(networks):
    for case, shipped in ((NETWORKS[0], 49), (NETWORKS[2], 26)):
        found = estimate_inference(networks[case], ONE, ipu_target("mk2"))
        assert found.micro_batch_max == pytest.approx(shipped, rel=0.3)


def test_a_synchronous_call_in_float_is_near_a_published_latency(networks):
    """A network like B0 in float, one image, on an Mk2 IPU: 1.73 ms a call."""
    found = estimate_inference(networks[NETWORKS[0]], ONE, ipu_target("mk2"), precision="32.32")
    assert found.call_ms == pytest.approx(1.73, rel=0.25)


@given(
    case=st.sampled_from(NETWORKS),
    micro_batch=st.integers(1, 60),
    io_tiles=st.sampled_from([0, 32, 64]),
    platform=st.sampled_from(["mk2", "bow"]),
    sdk=st.sampled_from(["2.0", "3"]),
)
@settings(max_examples=40, deadline=None)
def test_rules_of_the_micro_batch(networks, case, micro_batch, io_tiles, platform, sdk):
    target = ipu_target(platform, sdk=sdk)
    few, many = (
        estimate_inference(networks[case], ONE, target, micro_batch=size, io_tiles=io_tiles)
        for size in (micro_batch, micro_batch + 7)
    )
    assert few.latency_ms < many.latency_ms and few.latency_ms < few.call_ms
    assert many.images_per_s >= few.images_per_s * (1 - 1e-9)
    macs = sum(row.conv.multiply_adds for row in networks[case] if row.conv)
    peak = constants.value("tiles") * constants.value("half_macs_per_cycle") * target.clock_hz
    assert many.images_per_s * macs < peak
    assert many.host_bytes_per_s <= target.host_bytes_per_s(1) * (1 + 1e-9)


@given(ipus=st.sampled_from([1, 4, 16, 64, 256]), case=st.sampled_from(NETWORKS), micro=st.integers(1, 40))
@settings(max_examples=15, deadline=None)
def test_a_pod_is_so_many_single_ipus_and_never_above_its_hosts(networks, ipus, case, micro):
    wishes = InferenceWishes(num_ipus=ipus, micro_batch=micro, num_stages=1)
    one, pod = (
        plan_inference(networks[case], ipu_target("bow"), asked)
        for asked in (replace(wishes, num_ipus=1), wishes)
    )
    assert pod.images_per_s == pytest.approx(ipus * one.images_per_s)
    assert pod.host_bytes_per_s <= max(1, ipus / 4) * 25e9


def test_a_pipeline_answers_no_sooner_than_one_ipu(networks):
    for case, micro_batch, stages in product(NETWORKS, (1, 4, 16), (2, 4, 8)):
        wishes = InferenceWishes(num_ipus=8, micro_batch=micro_batch, num_stages=1)
        one, many = (
            plan_inference(networks[case], ipu_target("bow"), replace(wishes, num_stages=n))
            for n in (1, stages)
        )
        assert many.latency_ms >= one.latency_ms
        assert many.device_iterations >= stages and many.io_tiles == 0


def test_batch_norm_is_folded_and_costs_nothing(networks):
    free, costly = (networks[("b0", 1, norm)] for norm in ("bn", "gn"))
    for micro_batch in (1, 8, 49):
        times = [
            estimate_inference(layers, ONE, ipu_target("mk2"), micro_batch=micro_batch).latency_ms
            for layers in (free, costly)
        ]
        assert times[0] < times[1]


def test_a_network_that_does_not_fit_one_ipu_becomes_a_pipeline(networks):
    heavy = tuple(replace(row, params=20 * row.params) for row in networks[NETWORKS[2]])
    found = plan_inference(heavy, ipu_target("mk2"), InferenceWishes(num_ipus=16))
    assert found.plan.num_stages > 1 and found.fits and found.replicas * found.plan.num_stages == 16


def test_too_large_a_micro_batch_is_estimated_and_said_not_to_fit(networks):
    found = estimate_inference(networks[NETWORKS[0]], ONE, ipu_target("mk2"), micro_batch=500)
    assert not found.fits and found.images_per_s > 0


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"num_ipus": 3}, "ipus=3: must be a power of two"),
        ({"num_ipus": 4, "num_stages": 8}, "stages=8: must be one of 1, 2, 4 on 4 IPUs"),
        ({"micro_batch": 0}, "micro=0: must be 1 or more"),
        ({"io_tiles": 33}, "io_tiles=33: must be 0, or an even number 32 to 192"),
        ({"num_ipus": 2, "num_stages": 2, "io_tiles": 32}, "overlaps I/O without a pipeline only"),
        ({"precision": "8.8"}, "precision='8.8'"),
        ({"num_ipus": 4, "num_stages": 4, "splits": ("block4a",)}, "1 splits make 2 stages"),
    ],
)
def test_what_poptorch_would_refuse_is_refused(networks, wishes, message):
    with pytest.raises(ValueError, match=message):
        plan_inference(networks[NETWORKS[0]], ipu_target("mk2"), InferenceWishes(**wishes))


@given(costs=st.lists(st.floats(0.1, 10), min_size=4, max_size=9), parts=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_even_cuts_make_the_largest_part_smallest(costs, parts):
    from itertools import combinations

    def largest(cuts):
        ends = [0, *cuts, len(costs)]
        return max(sum(costs[a:b]) for a, b in zip(ends, ends[1:]))

    cuts = even_cuts(costs, parts)
    assert len(cuts) == parts - 1 and cuts == sorted(set(cuts))
    best = min(largest(some) for some in combinations(range(1, len(costs)), parts - 1))
    assert largest(cuts) == pytest.approx(best)
