"""Process settings come from mpirun's variables or a call; they are read at construction."""

import os

RETURNS = [0, 1, 1, 4, 2, 8]


def program(poptorch):
    options = poptorch.Options()
    found = [options.Distributed.processId, options.Distributed.numProcesses]
    os.environ["OMPI_COMM_WORLD_RANK"], os.environ["OMPI_COMM_WORLD_SIZE"] = "1", "4"
    try:
        options = poptorch.Options()
    finally:
        del os.environ["OMPI_COMM_WORLD_RANK"], os.environ["OMPI_COMM_WORLD_SIZE"]
    found += [options.Distributed.processId, options.Distributed.numProcesses]
    options.Distributed.configureProcessId(2, 8)
    return [*found, options.Distributed.processId, options.Distributed.numProcesses]
