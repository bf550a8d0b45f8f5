"""Runs on every instance: uses the whole contract once and writes down what this instance saw (JSON)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

import torch
from torch import nn

from ipu_app.distributed.comm import Comm
from ipu_app.distributed.connect import make_comm
from ipu_app.distributed.fleet import check_same
from ipu_app.distributed.world import detect_world

STEPS, MICRO_BATCHES, SAMPLES = 3, 2, 8


def main() -> None:
    torch.set_num_threads(1)
    world = detect_world(os.environ)
    with make_comm(world) as comm:
        seen: Dict[str, Any] = {
            "rank": comm.rank,
            "size": comm.size,
            "root": comm.is_root,
            "world": vars(world),
        }
        seen.update(numbers(comm))
        seen.update(states(comm))
        seen.update(fleet(comm))
        seen["weights"], seen["first_gradients"] = train(comm)
        comm.barrier()
        Path(sys.argv[1], f"rank{comm.rank}.json").write_text(json.dumps(seen), encoding="utf-8")


def numbers(comm: Comm) -> Dict[str, Any]:
    tensor = torch.full((2, 3), float(comm.rank + 1), dtype=torch.float32)
    transposed = torch.arange(6, dtype=torch.float32).reshape(2, 3).t()
    flat = torch.arange(4, dtype=torch.float32) * (comm.rank + 1)
    return {
        "sum_mapping": comm.all_sum({"loss": 0.5 * (comm.rank + 1), "count": 2}),
        "sum_sequence": comm.all_sum([comm.rank, 10]),
        "sum_number": comm.all_sum(2.0**-40 + comm.rank),
        "sum_tensor": comm.all_sum(tensor).tolist(),
        "sum_tensor_type": str(comm.all_sum(tensor).dtype),
        "input_kept": tensor.tolist(),
        "in_place": comm.all_reduce_(flat).data_ptr() == flat.data_ptr(),
        "flat": flat.tolist(),
        "transposed": comm.all_reduce_(transposed).tolist(),
        "strings": comm.gather_strings("é" * comm.rank),
        "smallest": comm.smallest(7 - comm.rank),
    }


def states(comm: Comm) -> Dict[str, Any]:
    state = example_state() if comm.is_root else None
    received = comm.broadcast_state(state)
    wanted = example_state()
    return {
        "state_equal": same(received, wanted),
        "large_equal": same(
            comm.broadcast_state({"x": torch.arange(40_000.0)} if comm.is_root else None),
            {"x": torch.arange(40_000.0)},
        ),
        "refused_state": refusal(lambda: comm.broadcast_state({"bad": [object()]} if comm.is_root else None)),
    }


def example_state() -> Dict[str, Any]:
    return {
        "model": {
            "w": torch.tensor([[1.5, -2.0]]).half(),
            "nan": torch.tensor(float("nan")),
            "e": torch.empty(0, 3),
        },
        "optimizer": {"state": {0: {"step": 3, "m": torch.tensor([0.1], dtype=torch.float64)}}, "lr": 0.1},
        "mixed": (None, True, "text", [torch.tensor([1, 2, 3], dtype=torch.uint8), torch.tensor(True)]),
        "brain": torch.tensor([3.0, 4.0]).bfloat16(),
        "infinite": float("inf"),
    }


def same(first: Any, second: Any) -> bool:
    if type(first) is not type(second):
        return False
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.allclose(
            first.double(), second.double(), 0, 0, equal_nan=True
        )
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second))
    return bool(first == second)


def fleet(comm: Comm) -> Dict[str, Optional[str]]:
    odd = comm.rank == comm.size - 1 and comm.size > 1
    return {
        "fleet_same": refusal(lambda: check_same(comm, {"config": "a: 1", "code": "x"})),
        "fleet_config": refusal(
            lambda: check_same(comm, {"config": f"a: 1\nb: {'3' if odd else '2'}", "code": "x"})
        ),
        "fleet_names": refusal(lambda: check_same(comm, {"config": "", **({"manifest": ""} if odd else {})})),
    }


def refusal(call: Any) -> Optional[str]:
    try:
        call()
    except ValueError as error:
        return str(error)
    return None


def train(comm: Comm) -> "tuple[List[float], List[float]]":
    """Three steps of two micro-batches; every instance takes its share of each eight samples."""
    torch.manual_seed(comm.rank)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    model.load_state_dict(comm.broadcast_state(seeded_weights(model) if comm.is_root else None))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(5)
    data = torch.randn(STEPS, MICRO_BATCHES, comm.size, SAMPLES // comm.size, 4, generator=generator).double()
    sync = comm.sync_gradients(model)
    first: List[float] = []
    for step in range(STEPS):
        optimizer.zero_grad()
        for index in range(MICRO_BATCHES):
            share = data[step, index, comm.rank]
            with sync.micro_batch(last=index == MICRO_BATCHES - 1):
                ((sync.model(share[:, :3])[:, 0] - share[:, 3]) ** 2).mean().backward()
            # after the first micro-batch nothing may have travelled yet
            first = first or list(model[0].weight.grad.flatten().tolist())
        sync.finish()
        optimizer.step()
    return [value for parameter in model.parameters() for value in parameter.flatten().tolist()], first


def seeded_weights(model: nn.Module) -> Dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {n: torch.randn(p.shape, generator=generator).double() for n, p in model.state_dict().items()}


if __name__ == "__main__":
    main()
