"""A factory told to use the CPU makes a host tensor; one told the device of an input does not."""

import torch

RAISES = ("RuntimeError", "tensor(device=cpu, shape=[2], dtype=Float)")


class Net(torch.nn.Module):
    def __init__(self, device):
        super().__init__()
        self.device = device

    def forward(self, x):
        return x + torch.ones(2, device=self.device or x.device)


def program(poptorch):
    assert poptorch.inferenceModel(Net(None))(torch.ones(2)).tolist() == [2.0, 2.0]
    poptorch.inferenceModel(Net("cpu"))(torch.ones(2))
