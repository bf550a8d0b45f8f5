"""Half logits of a large range: log_softmax in half is finite, its loss keeps the type of half."""

import torch

RETURNS = ["float16", True, "float32", 2000.0]


class Net(torch.nn.Module):
    def forward(self, logits, labels):
        logp = logits.log_softmax(1)
        nll = torch.nn.functional.nll_loss(logp, labels)
        return nll, torch.nn.functional.cross_entropy(logits.float(), labels)


def program(poptorch):
    logits = torch.tensor([[1000.0, -1000.0]]).half()
    low, high = poptorch.inferenceModel(Net())(logits, torch.tensor([1]))
    return [str(low.dtype)[6:], bool(torch.isfinite(low)), str(high.dtype)[6:], high]
