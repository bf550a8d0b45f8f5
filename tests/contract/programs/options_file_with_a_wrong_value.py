"""A line whose value is refused, or whose arguments do not fit, is an error of the file."""

import os
import tempfile

RETURNS = ["ConfigFileError", "ConfigFileError", "ConfigFileError", 2]


def program(poptorch):
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "options.cfg")
        for text in ('deviceIterations("2")', "deviceIterations(1, 2, 3)", "deviceIterations = 2"):
            with open(path, "w") as file:
                file.write(text)
            try:
                poptorch.Options().loadFromFile(path)
            except poptorch.ConfigFileError as error:
                found.append(type(error).__name__)
        with open(path, "w") as file:
            file.write("# comment\n\noutputMode(poptorch.OutputMode.All)\ndeviceIterations(2)\n")
        options = poptorch.Options()
        options.loadFromFile(path)
    return [*found, options.device_iterations]
