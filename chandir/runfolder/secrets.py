"""What a run folder may hold and nobody should publish: secrets and the names of home folders.

A command is recorded as typed, and a setting as given. What leaves this machine (a publication, a
dashboard) is masked first: the values of keys that are named like a secret, values that look like
one, and the home folder of whoever ran it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MASK = "***"

_NAMED = re.compile(
    r"(?i)(?:^|[._-])(?:\w*(?:token|secret|passw(?:or)?d|credential)s?|(?:\w*[_-])?key|auth(?:orization)?)$"
    r"|(?i:api_?key|access_?key|private_?key)$"
)
_ASSIGNED = re.compile(r"""(?P<key>[\w./@+~-]+)=(?P<value>'[^']*'|"[^"]*"|[^\s'"]+)""")
# Tokens by the beginning that their issuers give them, and what stands in an address before an @.
_LOOKS = re.compile(
    r"\b(?:gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|hf_\w{16,}|sk-[\w-]{16,}"
    r"|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{12,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*|wandb_v\d_\w{16,})"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)
_HOME = re.compile(r"(?<![\w.])/(?:home|Users)/[^/\s'\",:;]+|(?<![\w.])/root(?=/|$|['\"\s,])")


def named(key: str) -> bool:
    """Whether a setting's name is one of a secret: ``tracker.api_key``, ``my_token``."""
    return _NAMED.search(key) is not None


def masked(text: str) -> str:
    """A command or another text with its secrets as ``***`` and home folders as ``~``."""

    def assigned(match: re.Match[str]) -> str:
        key = match["key"].lstrip("+~-")
        return f"{match['key']}={MASK}" if named(key) else match[0]

    text = _HOME.sub("~", _LOOKS.sub(MASK, _ASSIGNED.sub(assigned, text)))
    home = str(Path.home())  # wherever this system keeps it
    return text.replace(f"{home}/", "~/") if len(Path(home).parts) > 2 else text


def mask(value: Any, key: str = "") -> Any:
    """A configuration or another nested value, every text in it masked.

    Args:
        value: of texts, numbers, lists and mappings; a copy is returned.
        key: the name that it stands under.
    """
    if isinstance(value, Mapping):
        return {name: mask(inner, name) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [mask(inner, key) for inner in value]
    if isinstance(value, str):
        return MASK if value and named(key) else masked(value)
    return value
