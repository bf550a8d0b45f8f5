"""DataLoader and AsynchronousDataAccessor, with real loading processes."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List

import pytest
import torch
from contract_datasets import Broken, Numbers, Stream, Unpicklable, Whole


def options_for(poptorch: Any, *, process: int = 0, processes: int = 1, seed: Any = None) -> Any:
    """Two device iterations on two replicas: a call takes four micro-batches."""
    options = poptorch.Options().deviceIterations(2).replicationFactor(2)
    options.Distributed.configureProcessId(process, processes)
    if seed is not None:
        options.randomSeed(seed)
    return options


def numbers(batch: Any) -> List[int]:
    return batch[1].tolist()


@pytest.fixture
def loaders() -> Iterator[List[Any]]:
    """Loaders put here are ended with the test."""
    made: List[Any] = []
    yield made
    for loader in made:
        loader.terminate()


MODES = ["Sync", "Async", "AsyncRebatched"]


@pytest.mark.processes
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("mode", MODES)
def test_modes_deliver_the_same_epochs(poptorch: Any, loaders: List[Any], mode: str, workers: int) -> None:
    arguments: Dict[str, Any] = {"rebatched_worker_size": 3} if mode == "AsyncRebatched" else {}
    loader = poptorch.DataLoader(
        options_for(poptorch),
        Numbers(18),
        batch_size=2,
        num_workers=workers,
        mode=getattr(poptorch.DataLoaderMode, mode),
        **arguments,
    )
    loaders.append(loader)
    assert loader.combinedBatchSize == 8 and len(loader) == 2
    for _ in range(3):
        epoch = [(numbers(batch), batch[0].clone()) for batch in loader]
        assert [indices for indices, _ in epoch] == [list(range(8)), list(range(8, 16))]
        assert torch.equal(epoch[1][1][:, 0, 0], torch.arange(8.0, 16.0))


@pytest.mark.processes
@pytest.mark.parametrize("mode", MODES)
def test_short_last_batch_without_drop_last(poptorch: Any, loaders: List[Any], mode: str) -> None:
    chosen = getattr(poptorch.DataLoaderMode, mode)
    loader = poptorch.DataLoader(
        options_for(poptorch), Numbers(18), batch_size=2, drop_last=False, mode=chosen
    )
    loaders.append(loader)
    assert len(loader) == 3
    assert [len(numbers(batch)) for batch in loader] == [8, 8, 2]


@pytest.mark.processes
def test_starting_over_in_the_middle(poptorch: Any, loaders: List[Any]) -> None:
    loader = poptorch.DataLoader(options_for(poptorch), Numbers(64), mode=poptorch.DataLoaderMode.Async)
    loaders.append(loader)
    for _ in range(3):
        iterator = iter(loader)
        assert [numbers(next(iterator)) for _ in range(2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert sum(1 for _ in loader) == 16


@pytest.mark.processes
@pytest.mark.parametrize(
    "arguments", [{"load_indefinitely": False}, {"early_preload": True}, {"buffer_size": 1}]
)
def test_accessor_options(poptorch: Any, loaders: List[Any], arguments: Dict[str, Any]) -> None:
    loader = poptorch.DataLoader(
        options_for(poptorch), Numbers(24), mode=poptorch.DataLoaderMode.Async, async_options=arguments
    )
    loaders.append(loader)
    for _ in range(3):
        assert [numbers(batch)[0] for batch in loader] == [0, 4, 8, 12, 16, 20]


@pytest.mark.processes
def test_items_are_views_and_keep_their_form(poptorch: Any, loaders: List[Any]) -> None:
    asynchronous = poptorch.DataLoaderMode.Async
    buffers = {"buffer_size": 1}
    forms = {
        form: poptorch.DataLoader(
            options_for(poptorch), Numbers(8, form), mode=asynchronous, async_options=buffers
        )
        for form in ("pair", "single", "dict")
    }
    loaders.extend(forms.values())
    assert isinstance(next(iter(forms["pair"])), list)
    assert next(iter(forms["single"])).tolist() == [0, 1, 2, 3]
    iterator = iter(forms["dict"])
    first = next(iterator)
    kept = first["square"].clone()
    assert list(first) == ["number", "square"] and kept.tolist() == [0, 1, 4, 9]
    next(iterator)
    assert first["square"].tolist() != kept.tolist(), "a kept item is overwritten: one slot only"


@pytest.mark.processes
@pytest.mark.parametrize("strategy", ["SharedMemory", "FileSystem", "Fork", "ForkServer"])
def test_accessor_of_an_iterable(poptorch: Any, loaders: List[Any], strategy: str) -> None:
    chosen = getattr(poptorch.SharingStrategy, strategy)
    accessor = poptorch.AsynchronousDataAccessor(Whole(3, 3, 3), sharing_strategy=chosen)
    loaders.append(accessor)
    assert len(accessor) == 3
    assert [item.tolist() for item in accessor] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert [item.tolist()[0] for item in accessor] == [0, 3, 6]


@pytest.mark.processes
def test_rebatching_of_an_iterable_drops_the_rest(poptorch: Any, loaders: List[Any]) -> None:
    accessor = poptorch.AsynchronousDataAccessor(Whole(3, 4, 4), rebatched_size=5)
    loaders.append(accessor)
    assert [item.tolist() for item in accessor] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


@pytest.mark.processes
def test_start_failures(poptorch: Any) -> None:
    with pytest.raises(poptorch.Error, match="AsynchronousDataAccessor worker thread failed to start"):
        poptorch.AsynchronousDataAccessor(Whole())
    with pytest.raises(Exception, match="(?i)pickle"):
        poptorch.DataLoader(options_for(poptorch), Unpicklable(8), mode=poptorch.DataLoaderMode.Async)


@pytest.mark.processes
def test_failure_of_the_dataset_is_reported(poptorch: Any, loaders: List[Any]) -> None:
    loader = poptorch.DataLoader(options_for(poptorch), Broken(64), mode=poptorch.DataLoaderMode.Async)
    loaders.append(loader)
    with pytest.raises(AssertionError, match="An error occurred in the data fetcher"):
        for _ in loader:
            pass


@pytest.mark.processes
def test_one_accessor_only(poptorch: Any, loaders: List[Any]) -> None:
    loader = poptorch.DataLoader(options_for(poptorch), Numbers(8), mode=poptorch.DataLoaderMode.Async)
    loaders.append(loader)
    with pytest.raises(poptorch.Error):
        poptorch.AsynchronousDataAccessor(loader)
    loader.terminate()
    loader.terminate()


def test_arguments_that_are_refused(poptorch: Any) -> None:
    rebatched = poptorch.DataLoaderMode.AsyncRebatched
    with pytest.raises(AssertionError):
        poptorch.DataLoader("options", Numbers(8))
    with pytest.raises(AssertionError):
        poptorch.DataLoader(options_for(poptorch), Numbers(8), mode=rebatched, rebatched_worker_size=5)
    with pytest.raises(AssertionError):
        poptorch.DataLoader(
            options_for(poptorch), Numbers(8), mode=rebatched, async_options={"rebatched_size": 4}
        )


def test_defaults_differ_from_torch(poptorch: Any) -> None:
    loader = poptorch.DataLoader(options_for(poptorch), Numbers(7))
    assert loader.drop_last and not loader.persistent_workers and len(loader) == 1
    assert loader.options.device_iterations == 2
    loader.terminate()


def test_input_groups_read_less(poptorch: Any) -> None:
    options = options_for(poptorch)
    options.inputReplicaGrouping(2, poptorch.CommGroupType.Consecutive)
    assert poptorch.DataLoader(options, Numbers(8), batch_size=3).combinedBatchSize == 6


def test_no_batch_size_means_no_combining(poptorch: Any) -> None:
    loader = poptorch.DataLoader(options_for(poptorch), Whole(4, 4), batch_size=None, drop_last=False)
    assert loader.combinedBatchSize is None
    assert [item.tolist() for item in loader] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(AttributeError):
        loader.options  # noqa: B018 - the read is the test


def test_shuffle_of_one_process_follows_the_seed(poptorch: Any) -> None:
    def order() -> List[int]:
        loader = poptorch.DataLoader(options_for(poptorch, seed=7), Numbers(16), shuffle=True)
        return [i for batch in loader for i in numbers(batch)]

    assert order() == order() != list(range(16))


def test_batch_sampler(poptorch: Any) -> None:
    batches = [[0, 1], [5, 4], [8, 9], [2, 3], [6, 7]]
    loader = poptorch.DataLoader(options_for(poptorch), Numbers(10), batch_sampler=batches)
    assert len(loader) == 5 and loader.combinedBatchSize == 4  # of the sampler; a list says no batch size
    assert [numbers(batch) for batch in loader] == [[0, 1, 5, 4, 8, 9, 2, 3]]
    for arguments in ({"batch_size": 2}, {"shuffle": True}):
        with pytest.raises(poptorch.Error):
            poptorch.DataLoader(options_for(poptorch), Numbers(10), batch_sampler=batches, **arguments)
    two = options_for(poptorch, processes=2)
    with pytest.raises(poptorch.Error):
        poptorch.DataLoader(two, Numbers(10), batch_sampler=batches)
    poptorch.DataLoader(two, Numbers(10), batch_sampler=batches, auto_distributed_partitioning=False)


def parts(poptorch: Any, count: int, epochs: int = 1, **arguments: Any) -> List[List[List[int]]]:
    """[epoch][process]: the numbers each of two processes gets."""
    loaders = [
        poptorch.DataLoader(
            options_for(poptorch, process=i, processes=2, seed=5), Numbers(count), **arguments
        )
        for i in range(2)
    ]
    return [[[i for batch in loader for i in numbers(batch)] for loader in loaders] for _ in range(epochs)]


def test_processes_get_contiguous_parts(poptorch: Any) -> None:
    assert parts(poptorch, 19) == [[list(range(8)), list(range(8, 16))]]


def test_parts_without_drop_last_differ_by_one(poptorch: Any) -> None:
    first, second = parts(poptorch, 19, drop_last=False)[0]
    assert (first, second) == (list(range(10)), list(range(10, 19)))


@pytest.mark.parametrize("workers", [0, 1])
def test_distributed_shuffle_is_common_and_changes(poptorch: Any, workers: int) -> None:
    epochs = parts(poptorch, 19, epochs=4, shuffle=True, num_workers=workers)
    for first, second in epochs:
        assert len(first) == len(second) == 8 and not set(first) & set(second)
    assert len({tuple(first + second) for first, second in epochs}) == 4
    assert set().union(*(set(first + second) for first, second in epochs)) == set(range(19))


def test_distributed_refusals(poptorch: Any) -> None:
    two = options_for(poptorch, processes=2)
    with pytest.raises(AssertionError, match="randomSeed"):
        poptorch.DataLoader(two, Numbers(16), shuffle=True)
    with pytest.raises(AssertionError):
        poptorch.DataLoader(two, Numbers(16), batch_size=None, drop_last=False)
    with pytest.raises(AssertionError):
        poptorch.DataLoader(two, Stream(16))
    poptorch.DataLoader(two, Stream(16), auto_distributed_partitioning=False)
    with pytest.raises(ZeroDivisionError):
        poptorch.DataLoader(two, Numbers(7))
