"""Parts: what an option's file names by ``_target_``, a class anywhere importable, and settings.

Which settings a part has follows from the signature of its class, their types from the annotations,
and their ranges from ``Annotated`` types, from the class's own ValueErrors, and from what 32-bit
numbers hold. Nothing is registered: a new metric, optimizer or schedule is a class and a file.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from chandir.harness.base import folders
from chandir.harness.base.errors import UserError, nearest, one_of
from chandir.harness.config import limits
from chandir.harness.config.schema import BelowOne, Built, NotNegative, Part
from chandir.harness.config.wording import as_typed, sentence

# Settings that mean the same in every optimizer, whether or not its class says what they may be.
USUAL_RANGES: dict[str, Any] = {
    "momentum": BelowOne,
    "betas": Annotated[list[BelowOne], Field(min_length=2, max_length=2)],
    "alpha": BelowOne,
    "rho": BelowOne,
    "eps": NotNegative,
}
# Settings that the harness reads itself; a part's class is given them only if it takes them.
OWN = {
    "metric": frozenset(("direction", "scope")),
    "optimizer": frozenset(("lr", "lr_g", "lr_d", "reset_momentum")),
    "schedule": frozenset[str](),
}
# How far a number may be from 1: products of two of a metric's are taken.
WITHIN = {"metric": limits.strength}


def load(group: str, part: Built) -> Any:
    """The class, or the function, that a part names.

    Raises:
        UserError: if it cannot be imported, with the reason.
    """
    try:
        return _load(part.target)
    except (ImportError, AttributeError, ValueError) as error:
        where = f" and {one_of(map(str, folders.own()))}" if folders.own() else ""
        raise UserError(
            f"{group}={part.name}: cannot import _target_: {part.target} ({error}): expected "
            f"module.Class, where Python looks{where}; --config-dir FOLDER adds a folder"
        ) from None
    except (SyntaxError, NameError, TypeError) as error:
        raise UserError(f"{group}={part.name}: importing {part.target}: {error}") from None


@cache
def _load(target: str) -> Any:
    folders.importable()
    module, _, name = target.rpartition(".")
    made = getattr(import_module(module), name)
    if not callable(made):
        raise AttributeError(f"{name} is no class")
    return made


def checked(group: str, part: Part, first: int, file: Mapping[str, Any]) -> Part:
    """A part whose settings have the types of its class's signature.

    Args:
        group: of options, for the messages.
        part: as composed.
        first: arguments that the harness gives the class, before the settings.
        file: what the option's file says.

    Raises:
        UserError: for a setting that the class has not, one that it needs, a type or a range.
    """
    own, parameters = OWN[group], signature(group, part)[first:]
    named = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    anything = any(p.kind == p.VAR_KEYWORD for p in parameters)
    settings = part.settings
    for key in settings:
        if key not in named and key not in own and not anything:
            raise UserError(
                f"{group}.{key}: {part.target} has no such setting: expected {one_of(named)}"
                f"{nearest(key, named)}"
            )
    for key, parameter in named.items():
        if parameter.default is parameter.empty and key not in settings and key not in own:
            raise UserError(
                f"{group}.{key}: missing; the file of {group}={part.name} has to give it"
            )
    hints = _hints(part.target)
    for key in settings.keys() - own:
        usual = USUAL_RANGES.get(key) if group == "optimizer" else None
        settings[key] = _checked(group, key, settings[key], usual or hints.get(key), file.get(key))
    return type(part).model_validate(part.with_settings(settings))


def signature(group: str, part: Part) -> list[inspect.Parameter]:
    """The parameters of a part's class, in order."""
    made = load(group, part)
    try:
        return list(inspect.signature(made).parameters.values())
    except (TypeError, ValueError):
        raise UserError(f"{group}={part.name}: expected _target_ to be a class") from None


@cache
def _hints(target: str) -> dict[str, Any]:
    made = _load(target)
    try:
        return typing.get_type_hints(
            made.__init__ if inspect.isclass(made) else made, include_extras=True
        )
    except (NameError, TypeError, AttributeError):  # names that only a type checker sees
        return {}


def _checked(group: str, key: str, value: Any, kind: Any, usual: Any) -> Any:
    """A value of the type, or of the file's where the signature tells none; lists stay lists."""
    try:
        value = _like(value, usual) if kind is None else _validated(kind, value)
        _held(group, value)
    except ValidationError as error:
        problem = error.errors()[0]
        at = [part for part in problem["loc"] if isinstance(part, int)]
        raise UserError(sentence({**problem, "loc": (group, key, *at)})) from None
    return list(value) if isinstance(value, tuple) else value


def _like(value: Any, usual: Any) -> Any:
    """A number of the file's kind, so that 1 and 1.0 are one cell."""
    if type(value) is int and type(usual) is float:
        return float(value)
    whole = type(value) is float and type(usual) is int and value.is_integer()
    return int(value) if whole else value


def _validated(kind: Any, value: Any) -> Any:
    try:
        adapter = _adapter(kind)
    except PydanticUserError:  # a type that pydantic knows nothing of
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        if not isinstance(value, list) or error.errors()[0]["type"] != "tuple_type":
            raise
        return adapter.validate_python(tuple(value))  # what YAML has no other word for


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind, config=ConfigDict(strict=True, arbitrary_types_allowed=True))


def _held(group: str, value: Any) -> None:
    """Hold every number in a value to what 32-bit ones can be computed with."""
    for each in value if isinstance(value, list | tuple) else ():
        _held(group, each)
    if isinstance(value, float):
        _finite(group).validate_python(value)


@cache
def _finite(group: str) -> TypeAdapter[Any]:
    within = WITHIN.get(group, limits.single)
    number = Annotated[
        float, Field(allow_inf_nan=False), AfterValidator(lambda value: within(abs(value)))
    ]
    return TypeAdapter(number)


def make(group: str, part: Part, *given: Any, **more: Any) -> Any:
    """Build a part: its class is given what comes first, its settings, and more.

    Settings of the harness's own that the class does not take are left out.

    Raises:
        UserError: with the class's own reason, for settings that it refuses.
    """
    made = load(group, part)
    parameters = signature(group, part)
    taken = {p.name for p in parameters}
    anything = any(p.kind == p.VAR_KEYWORD for p in parameters)
    settings = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in part.settings.items()
        if key in taken or (anything and key not in OWN[group])
    }
    try:
        return made(*given, **settings, **more)
    except (ValueError, TypeError, RuntimeError, ArithmeticError, AssertionError) as error:
        raise UserError(_named(group, part, str(error))) from None


def _named(group: str, part: Part, message: str) -> str:
    """A class's reason, with the setting as a user types it: Sobolev(lam=0.0) is metric.lam=0."""
    one = re.match(r"\w+\((\w+)=([^,=()]*)\): ", message)
    if one and one[1] in part.settings:
        value = part.settings[one[1]]
        shown = f"{value:g}" if isinstance(value, float) else as_typed(value)
        return f"{group}.{one[1]}={shown}: {message[one.end() :]}"
    return f"{group}={part.name}: {message}"
