"""Each wrong value has its own exception."""

import torch

RETURNS = [
    "AssertionError",
    "AssertionError",
    "AttributeError",
    "AssertionError",
    "AssertionError",
    "ValueError",
    "ValueError",
    "ValueError",
    "ValueError",
    "AssertionError",
    "AssertionError",
    "AssertionError",
    "AssertionError",
    "ValueError",
    "ValueError",
]


def program(poptorch):
    options = poptorch.Options().replicationFactor(4)
    group = poptorch.CommGroupType
    calls = (
        lambda: options.deviceIterations(2.0),
        lambda: setattr(options, "no_such_option", 1),
        lambda: options.no_such_option,
        lambda: options.outputMode(poptorch.OutputMode.EveryN),
        lambda: options.setExecutionStrategy("pipelined"),
        lambda: options.inputReplicaGrouping(1, group.All),
        lambda: options.inputReplicaGrouping(8, group.Consecutive),
        lambda: options.inputReplicaGrouping(3, group.Consecutive),
        lambda: options.Precision.setPartialsType(torch.int32),
        lambda: options.setAvailableMemoryProportion({"0": 0.2}),
        lambda: options.TensorLocations.numIOTiles(33),
        lambda: options.TensorLocations.setOptimizerLocation("off chip"),
        lambda: options.Precision.enableFloatingPointExceptions(1),
        lambda: options.Training.accumulationAndReplicationReductionType(poptorch.ReductionType.NoReduction),
        lambda: options.Jit.traceModel(True),
    )
    found = []
    for call in calls:
        try:
            call()
            found.append("nothing")
        except Exception as error:
            found.append(type(error).__name__)
    return found
