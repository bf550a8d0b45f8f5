"""Lines of an options file are Python: only what is none is an error of the file, others pass as they are."""

import os
import tempfile

RETURNS = ["AssertionError", "TypeError", "NameError", "ConfigFileError", 2, 8]


def program(poptorch):
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "options.cfg")
        for text in ('deviceIterations("2")', "deviceIterations(1, 2, 3)", "logDir(Nowhere)", "logDir('"):
            with open(path, "w") as file:
                file.write(text)
            try:
                poptorch.Options().loadFromFile(path)
            except Exception as error:
                found.append(type(error).__name__)
        with open(path, "w") as file:
            file.write("# comment\n\noutputMode(poptorch.OutputMode.All)\ndevice_iterations = 2\n")
            file.write("replicationFactor(2 * 4)\n")
        options = poptorch.Options()
        options.loadFromFile(path)
    return [*found, options.device_iterations, options.replication_factor]
