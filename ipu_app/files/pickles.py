"""Pickles from elsewhere: numbers, text, lists, tables and what a caller allows by name; no code ever runs.

Python's own unpickler runs what a file names. This one knows the classes that its caller gives it; any other
becomes a ``Stranger``, which does nothing and is counted by name, so that a checkpoint which also holds its
author's arguments can be used. It is made from the library's version in Python, without the operations that
take memory by a number in the file, or that let a key nest without end.
"""

from __future__ import annotations

import pickle
from typing import Any, BinaryIO, Callable, Dict, List, Mapping, Optional, Set, Tuple

from pipelines.door import BadFile, shown

MOST_OPERATIONS = 20_000_000  # CIFAR's 10 000 labels take 30 000
Allowed = Mapping[Tuple[str, str], Any]

# what containers of numbers, text and arrays are made of, in the protocols 0 to 5
_OPERATIONS = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT "
    "BINBYTES SHORT_BINBYTES BINBYTES8 BINSTRING SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS "
    "GLOBAL STACK_GLOBAL REDUCE BUILD NEWOBJ NEWOBJ_EX BINPERSID MEMOIZE BINPUT LONG_BINPUT PUT "
    "BINGET LONG_BINGET GET"
).split()


class Stranger:
    """Stands for an object of a class that is not allowed: takes everything, and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> Stranger:
        """Make one from whatever the class was called with."""
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass

    def __setitem__(self, _: Any, __: Any) -> None:
        pass

    def append(self, _: Any) -> None:
        """Take an item."""

    def extend(self, _: Any) -> None:
        """Take items."""

    def __call__(self, *_: Any, **__: Any) -> Stranger:
        """Stand for what a call returns, too."""
        return self


class PlainUnpickler(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """Reads one pickle from ``file``. ``strangers``: the classes that were not made, as module.name."""

    def __init__(
        self,
        file: BinaryIO,
        allowed: Allowed,
        *,
        persistent: Optional[Callable[[Any], Any]] = None,
        encoding: str = "ASCII",
    ) -> None:
        super().__init__(file, encoding=encoding)
        self._allowed, self._persistent = allowed, persistent
        self._operations = 0
        self.strangers: Set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        """One of the classes that are allowed, or a stranger."""
        if (module, name) in self._allowed:
            return self._allowed[module, name]
        self.strangers.add(shown(f"{module}.{name}", 100))
        return Stranger

    def persistent_load(self, pid: Any) -> Any:
        """What the format keeps outside of the pickle."""
        if self._persistent is None:
            raise BadFile("refers to data outside of it")
        return self._persistent(pid)

    def _count(self) -> None:
        self._operations += 1
        if self._operations > MOST_OPERATIONS:
            raise BadFile(f"holds more than {MOST_OPERATIONS} values")


def _counted(name: str, perform: Callable[[Any], None]) -> Callable[[Any], None]:
    def operation(unpickler: PlainUnpickler) -> None:
        unpickler._count()
        perform(unpickler)

    operation.__name__ = name
    return operation


def _checked_items(unpickler: Any) -> None:
    """Refuse keys that nest: hashing them would take the machine's stack."""
    items: List[Any] = unpickler.stack
    if any(not isinstance(key, (str, bytes, int, float, type(None))) for key in items[::2]):
        raise BadFile("has a key that is no text and no number")


def _set_items(unpickler: Any) -> None:
    _checked_items(unpickler)
    pickle._Unpickler.load_setitems(unpickler)  # type: ignore[attr-defined]


def _make_dict(unpickler: Any) -> None:
    _checked_items(unpickler)
    pickle._Unpickler.load_dict(unpickler)  # type: ignore[attr-defined]


def _set_item(unpickler: Any) -> None:
    if not isinstance(unpickler.stack[-2], (str, bytes, int, float, type(None))):
        raise BadFile("has a key that is no text and no number")
    pickle._Unpickler.load_setitem(unpickler)  # type: ignore[attr-defined]


def _build(unpickler: Any) -> None:
    """Set an object's state only where its class is one of those allowed to have one."""
    state, instance = unpickler.stack[-1], unpickler.stack[-2]
    if isinstance(instance, dict):  # an OrderedDict's attributes, such as torch's _metadata
        unpickler.stack.pop()
        return
    if not hasattr(instance, "__setstate__") or isinstance(instance, type):
        raise BadFile(f"sets the state of {shown(type(instance).__name__)}")
    instance.__setstate__(state)
    unpickler.stack.pop()


def _operations() -> Dict[int, Callable[[Any], None]]:
    own = {"SETITEMS": _set_items, "DICT": _make_dict, "SETITEM": _set_item, "BUILD": _build}
    table = {}
    for name in _OPERATIONS:
        code = getattr(pickle, name)[0]
        table[code] = _counted(name, own.get(name) or pickle._Unpickler.dispatch[code])  # type: ignore[attr-defined]
    table[pickle.PROTO[0]] = pickle._Unpickler.dispatch[pickle.PROTO[0]]  # type: ignore[attr-defined]
    return table


PlainUnpickler.dispatch = _operations()


def load_pickle(unpickler: PlainUnpickler, name: Any) -> Any:
    """Return the object that ``unpickler`` reads; BadFile naming ``name`` for whatever is wrong with it."""
    try:
        return unpickler.load()
    except (MemoryError, KeyboardInterrupt):
        raise
    except BadFile as error:
        raise BadFile(f"{shown(name)}: {error}") from None
    except KeyError as error:
        raise BadFile(f"{shown(name)}: no pickle of plain data (operation {error})") from None
    except Exception as error:  # any bytes may follow any others: what they lead to is not foreseeable
        raise BadFile(
            f"{shown(name)}: no pickle of plain data ({shown(error) or type(error).__name__})"
        ) from None
