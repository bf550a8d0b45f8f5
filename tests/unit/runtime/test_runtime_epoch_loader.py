"""The asynchronous loader sees the epochs of the training, though its process never hears of them."""

from __future__ import annotations

from typing import Any, Iterator, List, Tuple

import pytest
import torch

import ipu_app.ipumodel as poptorch
from ipu_app.data.sampling import InstanceSampler
from ipu_app.runtime.epoch_loader import EpochLoader
from pipelines.geometry import BatchGeometry

GEOMETRY = BatchGeometry(micro_batch=2, accumulation=2, replicas=1)
NUM_SAMPLES = 22  # 5 calls of 4 samples, and 2 samples left out

pytestmark = pytest.mark.processes


class Keys(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Gives the very keys that the sampler drew."""

    def __len__(self) -> int:
        return NUM_SAMPLES

    def __getitem__(self, key: int) -> Tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor(key), torch.tensor(0)


def make_loader(sampler: Any) -> Any:
    options = poptorch.Options()
    options.Training.gradientAccumulation(GEOMETRY.accumulation)
    return poptorch.DataLoader(
        options,
        Keys(),
        batch_size=GEOMETRY.micro_batch,
        sampler=sampler,
        num_workers=1,
        auto_distributed_partitioning=False,
        mode=poptorch.DataLoaderMode.AsyncRebatched,
        rebatched_worker_size=3,
    )


@pytest.fixture
def sampler() -> InstanceSampler:
    return InstanceSampler(NUM_SAMPLES, GEOMETRY, seed=3)


@pytest.fixture
def loader(sampler: InstanceSampler) -> Iterator[EpochLoader]:
    made = EpochLoader(make_loader, sampler)
    yield made
    made.terminate()


def read(loader: EpochLoader, batches: int = 99) -> List[int]:
    keys: List[int] = []
    for number, (batch, _) in enumerate(loader, start=1):
        keys += batch.tolist()
        if number == batches:
            break
    return keys


def test_every_epoch_has_its_own_order_from_the_one_that_was_set(
    sampler: InstanceSampler, loader: EpochLoader
) -> None:
    for epoch in (3, 4, 5):  # as a run that goes on after three epochs
        sampler.set_epoch(epoch)
        expected = sampler.keys().tolist()
        assert read(loader) == expected and min(expected) >= epoch * NUM_SAMPLES


def test_an_epoch_again_a_jump_and_a_middle_start_anew(sampler: InstanceSampler, loader: EpochLoader) -> None:
    for epoch, first_batch in ((0, 0), (0, 0), (7, 0), (8, 2), (9, 0)):
        sampler.set_epoch(epoch, first_batch)
        assert len(loader) == 5 - first_batch
        assert read(loader) == sampler.keys().tolist()[first_batch * GEOMETRY.samples_per_batch :]


def test_after_an_epoch_that_was_broken_off(sampler: InstanceSampler, loader: EpochLoader) -> None:
    sampler.set_epoch(0)
    assert read(loader, batches=2) == sampler.keys().tolist()[:8]
    sampler.set_epoch(1)
    assert read(loader) == sampler.keys().tolist()
