"""The device has a name: factories take it, tensors move to it and say that they are there."""

import torch

RETURNS = [[8.0], "ipu", True]


class Net(torch.nn.Module):
    def forward(self, x):
        made = torch.ones(1, device="ipu") + torch.full((1,), 1.0, device=torch.device("ipu"))
        moved = torch.as_tensor([2.0], device="cpu").to("ipu") + torch.tensor([3.0]).to(x.device)
        self.seen = [x.device.type, x.is_ipu]
        return x + made + moved


def program(poptorch):
    executor = poptorch.inferenceModel(Net())
    return [executor(torch.ones(1)), *executor._model.seen]
