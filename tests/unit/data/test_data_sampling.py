"""The order of an epoch: a pure function, split over hosts without changing a step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipu_app.data.sampling import PADDING_KEY, InstanceSampler, epoch_order
from pipelines.geometry import BatchGeometry

factors = st.integers(1, 3)


def samplers(num_samples, geometry, **options):
    return [InstanceSampler(num_samples, geometry, i, **options) for i in range(geometry.instances)]


def by_step(sampler):
    """Keys as (calls, D, A, R, micro), as the runtime lays out a batch."""
    g = sampler.geometry
    keys = np.array(list(sampler))
    return keys.reshape(-1, g.device_iterations, g.accumulation, g.replicas, g.micro_batch)


def test_order_is_a_permutation_fixed_by_seed_and_epoch():
    order = epoch_order(1000, seed=3, epoch=2)
    assert sorted(order) == list(range(1000))
    assert np.array_equal(order, epoch_order(1000, seed=3, epoch=2))
    for other in (epoch_order(1000, seed=4, epoch=2), epoch_order(1000, seed=3, epoch=3)):
        assert np.mean(order == other) < 0.01


def test_first_numbers_of_the_order_do_not_change_between_versions():
    assert epoch_order(10, seed=0, epoch=0).tolist() == [4, 3, 1, 9, 8, 2, 0, 7, 6, 5]


@given(micro=factors, accumulation=factors, iterations=factors, instances=st.sampled_from([1, 2, 4]))
@settings(max_examples=30, deadline=None)
def test_any_split_of_the_replicas_over_hosts_sees_the_same_micro_batches(
    micro, accumulation, iterations, instances
):
    whole = BatchGeometry(micro, accumulation, 4, iterations, 1)
    parts = BatchGeometry(micro, accumulation, 4 // instances, iterations, instances)
    num_samples = 3 * whole.samples_per_call + 1
    (alone,) = samplers(num_samples, whole, seed=1)
    several = samplers(num_samples, parts, seed=1)
    for sampler in (alone, *several):
        sampler.set_epoch(5)
    joined = np.concatenate([by_step(sampler) for sampler in several], axis=3)
    assert np.array_equal(by_step(alone), joined)


@given(
    num_samples=st.integers(1, 100),
    micro=factors,
    replicas=factors,
    iterations=factors,
    instances=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_validation_sees_every_image_once_with_equal_numbers_of_calls(
    num_samples, micro, replicas, iterations, instances
):
    geometry = BatchGeometry(micro, 1, replicas, iterations, instances)
    parts = samplers(num_samples, geometry, shuffle=False, drop_last=False)
    keys = np.concatenate([list(part) for part in parts])
    assert sorted(key for key in keys if key != PADDING_KEY) == list(range(num_samples))
    assert {len(list(part)) for part in parts} == {parts[0].num_batches * geometry.samples_per_batch}
    assert 0 <= sum(keys == PADDING_KEY) < geometry.samples_per_call


def test_training_takes_no_image_twice_and_drops_less_than_a_call():
    geometry = BatchGeometry(3, 2, 2, 1, 2)
    parts = samplers(103, geometry, seed=1)
    keys = np.concatenate([list(part) for part in parts])
    assert len(keys) == len(set(keys)) == 96
    assert all(0 <= key < 103 for key in keys)


def test_keys_tell_the_epoch_and_other_images_are_dropped_in_each():
    sampler = InstanceSampler(103, BatchGeometry(8))
    seen = []
    for epoch in (0, 7):
        sampler.set_epoch(epoch)
        keys = np.array(list(sampler))
        assert set(keys // 103) == {epoch}
        seen.append(set(keys % 103))
    assert seen[0] != seen[1]


def test_a_data_set_smaller_than_a_call_is_repeated():
    keys = list(InstanceSampler(3, BatchGeometry(8)))
    assert len(keys) == 8
    assert set(keys) == {0, 1, 2}


def test_resuming_in_the_middle_yields_the_rest_of_the_epoch():
    sampler = InstanceSampler(100, BatchGeometry(4, 2), seed=9)
    sampler.set_epoch(3)
    whole = list(sampler)
    sampler.set_epoch(3, first_batch=5)
    assert list(sampler) == whole[5 * 8 :]
    assert len(sampler) == len(whole) - 40


def test_shards_are_read_a_few_at_a_time():
    sizes = [10] * 40
    order = epoch_order(400, seed=0, epoch=0, shard_sizes=sizes)
    assert sorted(order) == list(range(400))
    windows = (order // 10).reshape(5, 80)
    assert all(len(set(window)) == 8 for window in windows)
    assert all(len(set(window[:40])) > 4 for window in windows)  # mixed, not one shard after the other
    assert not np.array_equal(order, epoch_order(400, seed=0, epoch=1, shard_sizes=sizes))


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_samples": 0, "geometry": BatchGeometry()},
        {"num_samples": 8, "geometry": BatchGeometry(), "instance": 1},
        {"num_samples": 8, "geometry": BatchGeometry(instances=2), "instance": -1},
    ],
)
def test_impossible_parts_are_refused(arguments):
    with pytest.raises(ValueError, match="="):
        InstanceSampler(**arguments)


def test_epoch_and_batch_out_of_range_are_refused():
    sampler = InstanceSampler(16, BatchGeometry(4))
    for epoch, batch in ((-1, 0), (0, 5), (0, -1)):
        with pytest.raises(ValueError, match="epoch="):
            sampler.set_epoch(epoch, batch)


def test_wrong_shard_sizes_are_refused():
    with pytest.raises(ValueError, match="shard_sizes"):
        epoch_order(10, seed=0, epoch=0, shard_sizes=[4, 5])
