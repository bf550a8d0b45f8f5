"""The space of the search: networks by choices, exact sizes; the reward and the Pareto set with ties."""

from __future__ import annotations

import random
from typing import List

import pytest

from ipu_app.config.load import load_config
from ipu_app.models.choices import departures, own_choices
from ipu_app.models.counts import count_multiply_adds, count_parameters
from ipu_app.models.spec import make_spec
from ipu_app.search import Choice, candidate, reward
from ipu_app.search.reward import Merits, pareto_set, tie_classes
from ipu_app.search.space import Limits, Space, network_key, parity_resolutions
from ipu_app.settling.phase_estimates import configured_spec

# EfficientNetV2-B0 in MBConvs only: block, kernel, ratio, repeats; counted in its released code at 160 px
MBCONVS = [("mbconv", 3, 1, 1), ("mbconv", 5, 6, 2), ("mbconv", 5, 4, 2), ("mbconv", 3, 4, 3)]
MBCONVS += [("mbconv", 5, 6, 5), ("mbconv", 3, 6, 8)]


def test_a_candidate_has_the_size_that_the_released_code_counts() -> None:
    spec = candidate(make_spec("v2-b0"), [Choice(*each) for each in MBCONVS])
    assert sum(count_parameters(spec).values()) == 7074656
    assert sum(count_multiply_adds(spec, 160).values()) == 276249632


@pytest.mark.parametrize("name", ["b0", "b4", "v2-b0", "v2-s", "cifar"])
def test_a_base_is_the_candidate_of_its_own_choices(name: str) -> None:
    base = make_spec(name, group_size=16)
    again = candidate(base, own_choices(base))
    assert count_parameters(again) == count_parameters(base)
    assert network_key(again) == network_key(base)


@pytest.mark.parametrize(
    "choice, message",
    [
        (("conv", 3, 4, 1), "block='conv': choose one of mbconv, fused"),
        (("fused", 2, 4, 1), "kernel=2: choose one of"),
        (("fused", 3, 0.5, 1), "ratio=0.5: must be"),
        (("fused", 3, 4, 0), "repeats=0: must be a whole number"),
    ],
)
def test_bad_choices_are_refused_by_name(choice: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Choice(*choice)


def test_every_section_needs_a_choice() -> None:
    with pytest.raises(ValueError, match="2 given, but v2-b0 has 6 sections"):
        candidate(make_spec("v2-b0"), [Choice("fused", 3, 4, 1)] * 2)


def test_the_reward_orders_where_fused_blocks_go_as_the_paper_does() -> None:
    """B4 with sections fused: accuracy, images/s of a TPU core, parameters (arXiv 2104.00298, table 3)."""
    rows = {"none": (82.8, 262, 19.3), "1-3": (83.1, 362, 20.0), "1-5": (83.1, 327, 43.4)}
    rows["1-7"] = (81.7, 254, 132.0)
    found = {name: reward(a, 1 / speed, size) for name, (a, speed, size) in rows.items()}
    assert sorted(found, key=lambda name: -found[name]) == ["1-3", "none", "1-5", "1-7"]
    assert found["1-3"] / found["none"] == pytest.approx(1.0248, abs=1e-4)


def test_without_exponents_the_reward_is_the_accuracy() -> None:
    assert reward(81.5, 3.0, 7e6, 0, 0) == 81.5
    assert reward(0.761, 1.7, 5.3) == pytest.approx(0.6745892851649604, rel=1e-12)
    with pytest.raises(ValueError, match="step_time=0: must be above 0"):
        reward(0.8, 0, 1)


def merits(*rows: tuple) -> List[Merits]:
    return [Merits(*row) for row in rows]


def test_the_pareto_set_keeps_what_nothing_beats() -> None:
    found = merits((80, 1.0, 5), (82, 2.0, 9), (79, 1.5, 6), (80, 1.0, 5))
    assert pareto_set(found) == [0, 1, 3]


def test_times_within_the_error_are_a_tie() -> None:
    """10 % faster means nothing at an error of 15 %, so the more accurate one beats it."""
    found = merits((80, 1.0, 5), (82, 1.1, 5))
    assert pareto_set(found) == [0, 1]
    assert pareto_set(found, tie_pct=15) == [1]
    assert tie_classes([1.3, 1.0, 1.1, 2.0], 15) == [1, 0, 0, 2]


def test_a_cycle_of_ties_still_leaves_something() -> None:
    """Each beats the next by accuracy within a tie; around the circle times differ."""
    found = merits((82, 1.2, 5), (81, 1.1, 5), (83, 1.35, 5))
    assert pareto_set(found, tie_pct=15)


def test_a_space_draws_networks_that_can_be_made() -> None:
    space = Space("v2-b0", Limits(sections=(1, 2), group_sizes=(1, 16), norms=("gn", "ln_pn")))
    assert space.size == (2 * 2 * 3 * 2) * (2 * 2 * 3 * 3) * 2 * 2
    state = random.Random(1)
    keys = set()
    for _ in range(40):
        point = space.draw(state)
        assert all(point[name] in values for name, values in space.options.items())
        keys.add(network_key(space.spec(point)))
    assert len(keys) > 30
    assert network_key(space.spec(space.own_point())) not in keys


def test_points_of_one_network_have_one_key() -> None:
    """A first section of one 1 wide ratio: the kernel counts, a second mention of the default does not."""
    space = Space("v2-b0", Limits(sections=(2,), repeats=(0,)))
    points = {network_key(space.spec(point)) for point in space.points()}
    assert len(points) == space.size == 12


def test_unknown_sections_and_empty_spaces_are_refused() -> None:
    with pytest.raises(ValueError, match="sections=9: v2-s has sections 1 to 6"):
        Space("v2-s", Limits(sections=(9,)))
    with pytest.raises(ValueError, match="section1.kernel: no value to choose"):
        Space("v2-s", Limits(kernels=()))


def test_training_sizes_keep_the_parity_of_the_test_size() -> None:
    assert parity_resolutions(260, (196, 200, 185)) == (196,)
    assert parity_resolutions(384, (171, 214, 257, 300)) == (160, 224, 256, 288)


def test_a_configuration_can_say_any_candidate() -> None:
    """What a search writes is what ``train --config`` reads: the very same network."""
    spec = candidate(make_spec("v2-b0", norm="gn"), [Choice(*each) for each in MBCONVS])
    words = [f"model.{key}={value}" for key, value in departures(spec).items()]
    config = load_config(None, ["model.name=v2-b0", "model.group_size=1", "model.norm=gn", *words])
    assert configured_spec(config.model).sections == spec.sections
    scaled = load_config(None, ["model.name=b0", "model.depth_scale=1.2", "model.width_scale=0.5"])
    assert configured_spec(scaled.model).depth == 1.2 and configured_spec(scaled.model).width == 0.5
