"""Immutable values, as `dataclasses` makes them, in the modules that every command and worker imports.

Importing `dataclasses` takes half as long as starting the interpreter does (it needs `inspect`), and every
class of it is compiled anew in every process. `coachman check` would notice; elsewhere they are as good.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, dataclass_transform
else:

    def dataclass_transform(**_):
        """Say it to type checkers alone."""
        return lambda decorated: decorated


@dataclass_transform(frozen_default=True)
class Value:
    """The base of a class whose annotations are its fields, in order, with their defaults.

    Equal are values of the same class with equal fields. They can be hashed where their fields can, matched
    by position, and not be changed.
    """

    __match_args__: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        """Take the fields from the class's own annotations; there is one level of classes only."""
        type.__setattr__(cls, "__match_args__", tuple(cls.__annotations__))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the fields by position or by name; raise TypeError where one is missing, unknown or twice."""
        names, fields = self.__match_args__, self.__dict__
        for name, value in zip(names, args, strict=False):
            fields[name] = value
        for name in names[len(args) :]:
            if name in kwargs:
                fields[name] = kwargs.pop(name)
            elif hasattr(type(self), name):
                fields[name] = getattr(type(self), name)
            else:
                raise TypeError(f"{type(self).__name__} needs the field {name!r}")
        if kwargs or len(args) > len(names):
            raise TypeError(f"{type(self).__name__} has the fields {names}, each of them once")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed: {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed: {name!r}")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({fields})"
