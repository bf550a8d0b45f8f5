"""Arguments of the user's own types: a parser says which tensors are inside and how to put others in their
place.
"""

from __future__ import annotations

import abc
from typing import Any, Dict, Iterator, Optional

from torch import Tensor

_parsers: Dict[type, "ICustomArgParser"] = {}


class ICustomArgParser(abc.ABC):
    """How a type of argument is taken apart and put together."""

    @abc.abstractmethod
    def yieldTensors(self, struct: Any) -> Iterator[Tensor]:
        """Yield the tensors inside."""

    @abc.abstractmethod
    def reconstruct(self, original_structure: Any, tensor_iterator: Iterator[Tensor]) -> Any:
        """Make an object like `original_structure` with the tensors of the iterator."""


def registerCustomArgParser(arg_data_type: type, arg_parser: Optional[ICustomArgParser]) -> None:
    """Use a parser for all arguments and outputs of a type; None forgets the type's parser."""
    assert isinstance(arg_data_type, type), f"arg_data_type={arg_data_type!r}: a class"
    if arg_parser is None:
        _parsers.pop(arg_data_type, None)
        return
    assert isinstance(arg_parser, ICustomArgParser), f"arg_parser={arg_parser!r}: a poptorch.ICustomArgParser"
    _parsers[arg_data_type] = arg_parser


def parser_of(value: Any) -> Any:
    """The parser registered for a value's class or a base of it, None if there is none."""
    if not _parsers:
        return None
    exact = _parsers.get(type(value))
    if exact is not None:
        return exact
    return next((parser for kind, parser in _parsers.items() if isinstance(value, kind)), None)
