"""Values that are cached by a text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Keyed(Generic[T]):
    """An argument of a cached function that cannot be hashed, and the text that stands for it.

    Attributes:
        text: equal texts, equal values.
        value: what the function works with.
    """

    text: str
    value: T = field(compare=False)
