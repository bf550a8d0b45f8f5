"""PopTorch's own operations compute what they say, on the device and on the host."""

import torch

RETURNS = [[2.0, 3.0], [[7.0], [15.0]], [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], [9.0, 2.0, 3.0, 4.0]]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch

    def forward(self, x, start):
        p = self.poptorch
        rows = x.reshape(2, 2)
        product = p.serializedMatMul(
            rows, torch.ones(2, 1) * rows.new_tensor([[1.0], [3.0]]), p.MatMulSerializationMode.Disabled
        )
        with p.NameScope("scope"):
            same = p.nop(p.set_available_memory(x, 0.2))
        changed = p.dynamic_update(x, torch.full((1,), 9.0), 0, start - 1, 1)
        return p.dynamic_slice(x, 0, start, 2, 1), product, same, p.recomputationCheckpoint(x), changed


def program(poptorch):
    x = torch.tensor([1.0, 2.0, 3.0, 4.0])
    return poptorch.inferenceModel(Net(poptorch))(x, torch.tensor([1], dtype=torch.int32))
