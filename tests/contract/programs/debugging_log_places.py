"""The debugging log says of each operation where it runs, and which options a compilation used."""

import logging

import torch

RETURNS = [True, True, True, [0, 1]]
SIMULATOR_ONLY = "PopTorch writes these lines from C++"


class Keep(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def program(poptorch):
    model = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.ReLU())
    poptorch.BeginBlock(model[1], ipu_id=1)
    options = poptorch.Options().deviceIterations(2)
    kept = Keep()
    poptorch.logger.addHandler(kept)
    poptorch.setLogLevel("DEBUG")
    try:
        poptorch.inferenceModel(model, options).compile(torch.ones(2, 3))
    finally:
        poptorch.setLogLevel("WARN")
        poptorch.logger.removeHandler(kept)
    stages = [line for line in kept.lines if "Relu:0" in line]
    return [
        "poptorch.Options set device_iterations to value 2" in kept.lines,
        "enablePipelining set to value 1" in kept.lines,
        "mode(Pipelined), ipu(0), stage(0)" in stages[0],
        [int(line.split("ipu(")[1][0]) for line in stages],
    ]
