"""What the schema refuses, in a user's words: key and value as typed, and what was expected."""

from __future__ import annotations

from typing import Any

from chandir.harness.base import folders
from chandir.harness.base.errors import nearest

# By pydantic's kind of error, where its own words do not fit.
EXPECTATIONS = {
    "greater_than": "a number greater than {gt:g}",
    "greater_than_equal": "a number from {ge:g} up",
    "less_than": "a number less than {lt:g}",
    "less_than_equal": "a number up to {le:,}",
    "model_type": "settings of its own: name them one by one",
    "model_attributes_type": "settings of its own: name them one by one",
    "string_pattern_mismatch": "auto, cpu, cuda or cuda:N",  # device is the one that has a pattern
    "string_too_short": "some text",
    "too_long": "{max_length} of them",
    "too_short": "{min_length} of them",
}


def sentence(problem: Any) -> str:
    """One of pydantic's errors as ``key=value: expected ...; did you mean ...?``."""
    # A discriminated union puts its tag into the location: ('tracker', 'wandb', 'mode').
    where = [str(part) for part in problem["loc"]]
    if where[0] == "tracker" and len(where) > 2:
        where.pop(1)
    key, kind, context = ".".join(where), problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return f"{key}: there is no such setting; remove it"
    if kind == "missing":
        return f"{key}: missing: expected in {_file(where[0], problem['input'])}; add it there"
    value = as_typed(problem["input"])
    expectation = EXPECTATIONS.get(kind) or problem["msg"].removeprefix("Input should be ")
    guess = ""
    if _looks_right(problem["input"], kind):
        guess = (
            f", and {value!r} is a text, as all that ${{oc.env:NAME}} gives: leave the quotes out, "
            f"or let the shell fill it in: {key}=$NAME"
        )
    if kind == "literal_error":
        expectation = expectation.replace("True", "true").replace("False", "false")
        choices = context["expected"].replace(" or ", ", ").split(",")
        guess = nearest(value, [choice.strip("' ") for choice in choices])
    return f"{key}={value}: expected {expectation.format(**context)}{guess}"


def _looks_right(value: Any, kind: str) -> bool:
    """Whether a text reads like the number or the truth that was expected."""
    if not isinstance(value, str) or not kind.endswith(("_type", "_parsing")):
        return False
    if kind.startswith("bool"):
        return value.lower() in ("true", "false")
    try:
        float(value)
    except ValueError:
        return False
    return kind.startswith(("int", "float"))


def _file(group: str, content: Any) -> str:
    """The file that a part's settings come from, as far as they tell."""
    option = content.get("name") if isinstance(content, dict) else None
    known = folders.options()
    if file := known.get((group, str(option))):
        return str(file)
    return f"its file, {group}/NAME.yaml" if group in {g for g, _ in known} else "conf/config.yaml"


def as_typed(value: Any) -> str:
    """As on the command line: null and true, where Python says None and True."""
    return "null" if value is None else str(value).lower() if value in (True, False) else str(value)
