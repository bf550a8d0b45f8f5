"""Saving a compiled executor to a file and taking it up again."""

from __future__ import annotations

import os
import pickle
from collections import defaultdict
from typing import Any, Dict, Optional

from .._errors import py_error
from .._logging import logger
from ..enums import ConnectionType
from . import files, host_model


class Files:
    """The saving half of PoplarExecutor."""

    def _need_compiled(self) -> None:
        raise NotImplementedError

    def save(self, filename: str, export_model: bool = True, save_rng_state: bool = True) -> None:
        """Write the compiled executor, with the model and its optimizer unless told otherwise, into a file.

        Missing folders are made; in a folder the file is called model.poptorch.
        """
        self._need_compiled()
        executor: Any = self
        executor.copyWeightsToHostIfNeeded()
        content = _content(executor, export_model, save_rng_state)
        folder = os.path.dirname(filename)
        if folder:
            os.makedirs(folder, exist_ok=True)
        if os.path.isdir(filename):
            logger.warning("save(): %s is a directory, saving model to model.poptorch in it", filename)
            filename = os.path.join(filename, "model.poptorch")
        files.write(filename, content)

    def compileAndExport(self, filename: str, *args: Any, export_model: bool = True, **kwargs: Any) -> None:
        """Compile for these arguments and save; also for an offline target."""
        executor: Any = self
        executor.compile(*args, **kwargs)
        self.save(filename, export_model)

    def loadExecutable(self, filename: str) -> None:
        """Take up what a file was compiled for; Error if another version wrote it."""
        try:
            content = files.read(filename)
        except AssertionError as error:
            raise py_error(f"Invalid file {filename}: {error}") from error
        restore(self, content)


def _content(executor: Any, export_model: bool, save_rng_state: bool) -> Dict[str, Any]:
    model: Optional[Any] = None
    if export_model:
        model = host_model.plain_copy(executor._user_model)
    return {
        "model": model,
        "options": executor._options.clone(),
        "training": executor._training,
        "optimizer": _optimizer_content(executor) if export_model else None,
        "arguments": (executor._first_arguments.args, executor._first_arguments.kwargs),
        "rng_state": executor.rng_state if save_rng_state else None,
    }


def _optimizer_content(executor: Any) -> Optional[Dict[str, Any]]:
    """The optimizer with its state, and the names of its parameters: those are the saved model's."""
    optimizer = executor._optimizer
    if optimizer is None:
        return None
    state = optimizer.state_dict()  # reads the device
    names = {id(parameter): name for name, parameter in executor._user_model.named_parameters()}
    groups = [
        {**group, "params": [names[id(parameter)] for parameter in group["params"]]}
        for group in optimizer.param_groups
    ]
    held = ("state", "param_groups", "state_dict", "_host_twin")
    attributes = {
        k: v
        for k, v in optimizer.__dict__.items()
        if k not in held and not k.startswith("_optimizer_") and not callable(v)
    }
    return pickle.loads(
        pickle.dumps({"class": type(optimizer), "groups": groups, "attributes": attributes, "state": state})
    )


def optimizer_of(content: Dict[str, Any]) -> Optional[Any]:
    """The optimizer in a file, over the parameters of the model in it."""
    saved = content["optimizer"]
    if saved is None:
        return None
    parameters = dict(content["model"].named_parameters())
    optimizer = object.__new__(saved["class"])
    groups = [
        {**group, "params": [parameters[name] for name in group["params"]]} for group in saved["groups"]
    ]
    optimizer.__setstate__({**saved["attributes"], "state": defaultdict(dict), "param_groups": groups})
    if saved["state"].get("ipu_state") is not None:
        optimizer.load_state_dict(saved["state"])
    return optimizer


def options_to_run(content: Dict[str, Any]) -> Any:
    """The options in a file, free to be changed; an offline target becomes the device that is there."""
    options = content["options"]
    options._unfreeze()
    options.deleteIfExists("ipu_version")
    if options.connection_type == ConnectionType.Never:
        options.connectionType(ConnectionType.Always)
    return options


def restore(executor: Any, content: Dict[str, Any]) -> None:
    """Compile an executor for the arguments in a file."""
    args, kwargs = content["arguments"]
    executor.compile(*args, **kwargs)
    if content["rng_state"] is not None:
        executor.rng_state = content["rng_state"]
