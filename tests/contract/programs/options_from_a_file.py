"""A file of options is one call per line; a bad line is a ConfigFileError."""

import os
import tempfile

RETURNS = [3, 5, "ConfigFileError", 7]


def program(poptorch):
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "options.cfg")
        for text in ("deviceIterations(3)\nTraining.gradientAccumulation(5)\n", "deviceIterations(3\n"):
            with open(path, "w") as file:
                file.write(text)
            options = poptorch.Options()
            try:
                options.loadFromFile(path)
                found += [options.device_iterations, options.Training.gradient_accumulation]
            except poptorch.ConfigFileError as error:
                found.append(type(error).__name__)
    os.environ["POPTORCH_DEFAULT_OPTIONS"] = '{"deviceIterations": 7}'
    try:
        found.append(poptorch.Options().device_iterations)
    finally:
        del os.environ["POPTORCH_DEFAULT_OPTIONS"]
    return found
