"""Each process reads its own contiguous block; batch samplers and too small sets are refused."""

import torch

RETURNS = [[0, 1, 2, 3], [4, 5, 6, 7], "Error", "ZeroDivisionError", "AssertionError"]


def loader(poptorch, process, count, **arguments):
    options = poptorch.Options().deviceIterations(2)
    options.Distributed.configureProcessId(process, 2)
    return poptorch.DataLoader(options, torch.arange(count), **arguments)


def program(poptorch):
    found = [torch.cat(list(loader(poptorch, process, 9))).tolist() for process in (0, 1)]
    for count, arguments in ((9, {"batch_sampler": [[0], [1]]}), (3, {}), (9, {"shuffle": True})):
        try:
            list(loader(poptorch, 1, count, **arguments))
            found.append("nothing")
        except Exception as error:
            found.append(type(error).__name__)
    return found
