"""An in-place update of a buffer under replicas is refused unless broadcasting is switched off."""

import torch

RAISES = ("poptorch.Error", "broadcast")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(1))

    def forward(self, x):
        self.total.add_(x.sum())
        return x + self.total


def program(poptorch):
    own = poptorch.Options().replicationFactor(2).broadcastBuffers(False)
    assert poptorch.inferenceModel(Net(), own)(torch.tensor([1.0, 2.0])).tolist() == [2.0, 4.0]
    return poptorch.inferenceModel(Net(), poptorch.Options().replicationFactor(2))(torch.ones(2))
