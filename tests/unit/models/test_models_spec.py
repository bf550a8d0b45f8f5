from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ipu_app.models.counts import count_multiply_adds
from ipu_app.models.layout import block_specs, conv_groups, round_width, sub_block_names
from ipu_app.models.spec import EXPAND_RATIO_GRID, SIZES, EfficientNetSpec, make_spec

SIZE_NAMES = [f"b{size}" for size in range(8)]
GROUP_SIZES = [1, 4, 8, 16, 32, 64]


def total(spec):
    return sum(count_multiply_adds(spec).values())


def test_specs_survive_json():
    for name in SIZES:
        spec = make_spec(name, group_size=16, norm="ln_pn", num_classes=12, padding="symmetric")
        assert EfficientNetSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_from_dict_refuses_unknown_and_missing_keys():
    values = make_spec("b0").to_dict()
    with pytest.raises(ValueError, match="unknown keys .*colour"):
        EfficientNetSpec.from_dict({**values, "colour": 1})
    del values["width"]
    with pytest.raises(ValueError, match="missing keys .*width"):
        EfficientNetSpec.from_dict(values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "b9"}, "model='b9': choose one of b0, b1"),
        ({"norm": "instance"}, "norm='instance': choose one of bn, gn, ln, ln_pn, gn_pn"),
        ({"norm_grouping": "odd"}, "norm_grouping='odd'"),
        ({"padding": "valid"}, "padding='valid'"),
        ({"activation": "tanh"}, "activation='tanh'"),
        ({"proxy_rule": "exact"}, "proxy_rule='exact'"),
        ({"group_size": 0}, "group_size=0: must be a whole number, 1 or more"),
        ({"group_size": 7}, "group_size=7: must be 1, 2, 4 or a multiple of 8"),
        ({"group_size": 2.5}, "group_size=2.5: must be a whole number"),
        ({"num_classes": 0}, "num_classes=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"drop_connect": -0.1}, "drop_connect=-0.1"),
        ({"expand_ratio": 0.5}, "expand_ratio=0.5"),
        ({"norm_eps": 0.0}, "norm_eps=0.0"),
        ({"droput": 0.1}, "droput=0.1: unknown model option"),
    ],
)
def test_bad_settings_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        make_spec(**{"name": "b0", **arguments})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", SIZE_NAMES)
@pytest.mark.parametrize("group_size", GROUP_SIZES)
def test_expand_ratio_is_the_papers_or_the_nearest_in_multiply_adds(name, group_size):
    spec = make_spec(name, group_size=group_size)
    if group_size in (1, 16):
        assert spec.expand_ratio == {1: 6, 16: 4}[group_size]
        return
    goal = total(make_spec(name))
    others = [make_spec(name, group_size=group_size, expand_ratio=ratio) for ratio in EXPAND_RATIO_GRID]
    assert abs(total(spec) - goal) == min(abs(total(other) - goal) for other in others)


def test_group_size_that_fits_every_width_is_welcome():
    spec = make_spec("b2", group_size=7, expand_ratio=7)
    assert {b.spatial.in_channels // b.spatial.groups for b in block_specs(spec) if b.expand} == {7}


@pytest.mark.parametrize(
    ("channels", "group_size", "groups"),
    [
        (96, 1, 96),
        (40, 16, 2),
        (24, 16, 1),
        (16, 64, 1),
        (56, 16, 4),
        (128, 16, 8),
        (80, 64, 1),
        (200, 64, 4),
    ],
)
def test_groups_where_the_size_does_not_divide(channels, group_size, groups):
    assert conv_groups(channels, group_size) == groups


@pytest.mark.parametrize("name", SIZE_NAMES)
@pytest.mark.parametrize("group_size", GROUP_SIZES)
def test_every_size_has_whole_groups_near_the_asked_size(name, group_size):
    for block in block_specs(make_spec(name, group_size=group_size)):
        conv = block.spatial
        assert conv.in_channels % conv.groups == 0
        actual = conv.in_channels // conv.groups
        assert actual == conv.in_channels or group_size / 2 <= actual <= group_size * 2


@pytest.mark.parametrize(("width", "rounded"), [(4, 8), (16, 16), (17.6, 16), (11, 16), (20, 24), (27, 32)])
def test_widths_round_to_eight(width, rounded):
    assert round_width(width) == rounded


def test_widths_never_lose_a_tenth():
    assert all(round_width(width) >= 0.9 * width for width in range(1, 400))


def test_stage_starts_are_in_order_of_execution():
    names = sub_block_names(make_spec("b0"))
    assert names[:6] == (
        "block0",
        "block1a",
        "block1a.project",
        "block2a",
        "block2a.spatial",
        "block2a.project",
    )
    assert names[-1] == "Top"
    assert len(set(names)) == len(names)


def test_options_change_the_spec_and_cifar_has_its_own_defaults():
    assert make_spec("cifar").num_classes == 10
    assert make_spec("cifar", num_classes=100).num_classes == 100
    assert make_spec("B3").name == "b3"
    spec = make_spec("b4", drop_connect=0.0, dropout=0.1)
    assert (spec.native_resolution, spec.half_resolution, spec.dropout, spec.drop_connect) == (
        380,
        252,
        0.1,
        0,
    )
    assert all(block.drop_connect == 0 for block in block_specs(spec))


def test_making_a_spec_needs_no_torch():
    code = (
        "import sys; from ipu_app.models import layout, spec;"
        "layout.sub_block_names(spec.make_spec('b1', group_size=8)); sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
