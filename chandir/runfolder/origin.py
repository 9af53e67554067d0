"""What a trial ran with, its code and its data, as its provenance tells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any


def codes(provenance: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """The sources that ran it; several if it was continued with other ones."""
    segments = provenance.get("segments") or []
    ran = [each["sources"] for each in segments if "sources" in each]
    return _distinct(ran or [provenance.get("sources") or {}])


def digest(codes: Sequence[Mapping[str, str]]) -> str:
    """SHA-256 of what `codes` found; equal digests ran equal code."""
    texts = (json.dumps(each, sort_keys=True) for each in codes)
    return sha256("\n".join(texts).encode()).hexdigest()


def checksums(provenance: Mapping[str, Any]) -> list[str]:
    """Those of the data that it ran on; several likewise, none where no record tells."""
    ran = [each["data"] for each in provenance.get("segments") or [] if "data" in each]
    told = [each.get("checksum") for each in ran or [provenance.get("data") or {}]]
    return _distinct([checksum for checksum in told if checksum])


def checksum(provenance: Mapping[str, Any]) -> str:
    """One text for all of `checksums`: the only one, their digest, or the empty text."""
    found = checksums(provenance)
    return sha256("\n".join(found).encode()).hexdigest() if len(found) > 1 else "".join(found)


def _distinct(values: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
