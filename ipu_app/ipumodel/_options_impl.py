"""The checked store under every options object: known names, checked types, frozen once a model uses it."""

from __future__ import annotations

import copy
from typing import Any, Dict, Optional, TypeVar

Self = TypeVar("Self", bound="OptionsDict")

FROZEN = "Can't modify frozen Options"


class OptionsDict:
    """Named values with defaults; a new value must be an instance of the present one's type (AssertionError
    otherwise), so a bool given for an int stays a bool.

    Attributes that begin with an underscore are declared before the values are: a new one is an
    AttributeError.
    """

    def __init__(self, **default_values: Any) -> None:
        self._is_frozen = False
        self._values: Dict[str, Any] = dict(default_values)

    def checkIsFrozen(self, option: Optional[str] = None) -> None:
        """AttributeError once the options were handed to a model or a data loader."""
        if option != "_is_frozen" and self.__dict__.get("_is_frozen", False):
            raise AttributeError(FROZEN)

    def exists(self, option: str) -> bool:
        """Whether a value of that name is stored."""
        return option in self.__dict__.get("_values", {})

    def set(self, **kwargs: Any) -> None:
        """Change stored values; AssertionError for an unknown name or a value of another type."""
        self.checkIsFrozen()
        for option, value in kwargs.items():
            assert self.exists(option), f"Invalid option {option}: choose one of {sorted(self._values)}"
            expected = type(self._values[option])
            assert isinstance(value, expected), (
                f"Unexpected type {type(value)} for option {option}: it takes {expected}"
            )
            self._values[option] = value

    def createOrSet(self, **kwargs: Any) -> None:
        """As set, but a name not stored yet is added, and its first value fixes its type."""
        self.checkIsFrozen()
        for option, value in kwargs.items():
            if self.exists(option):
                self.set(**{option: value})
            else:
                self._values[option] = value

    def deleteIfExists(self, option: str) -> None:
        """Forget a value."""
        self.checkIsFrozen()
        self._values.pop(option, None)

    def __getattr__(self, option: str) -> Any:
        if option.startswith("_") or not self.exists(option):
            raise AttributeError(f"{type(self).__name__} has no option or attribute '{option}'")
        return self._values[option]

    def __setattr__(self, option: str, value: Any) -> None:
        self.checkIsFrozen(option)
        if option.startswith("_"):
            if "_values" in self.__dict__ and option not in ("__class__", *self.__dict__):
                raise AttributeError(f"Invalid private attribute {option}")
            object.__setattr__(self, option, value)
        else:
            self.set(**{option: value})

    def __call__(self, option: str) -> Any:
        """The stored value of that name; AssertionError if there is none."""
        assert self.exists(option), f"Invalid option {option}: choose one of {sorted(self._values)}"
        return self._values[option]

    def update(self, other: Dict[str, Any]) -> Dict[str, Any]:
        """Add the stored values to ``other``; a name in both is an AssertionError."""
        common = set(self._values) & set(other)
        assert not common, f"Both sets of options hold {sorted(common)}"
        other.update(self._values)
        return other

    def toDict(self) -> Dict[str, Any]:
        """The stored values."""
        return self.update({})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._values.items())})"

    def __getstate__(self) -> Dict[str, Any]:
        return dict(self.__dict__)

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __deepcopy__(self: Self, memo: Dict[int, Any]) -> Self:
        # A copy of frozen options is free again: that is what Options.clone is for.
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
        twin.__dict__["_is_frozen"] = False
        return twin

    def _freeze(self) -> None:
        self._set_frozen(True)

    def _unfreeze(self) -> None:
        self._set_frozen(False)

    def _set_frozen(self, state: bool) -> None:
        for part in self.__dict__.values():
            if hasattr(part, "_set_frozen"):
                part._set_frozen(state)
        self._is_frozen = state
