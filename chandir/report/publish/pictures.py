"""Pictures that a task left in its run folders, and the small drawings of the page's tables."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chandir.report.show.rows import Row
from chandir.runfolder import reading

if TYPE_CHECKING:
    from markupsafe import Markup

PIXELS = 1 << 24  # that a picture on the page may have


def pictures(rows: Sequence[Row], most: int = 12) -> list[tuple[str, str]]:
    """Return (caption, data address) of the first trial's pictures of each row."""
    found = []
    for row in rows:
        for trial in row.cell.complete[:1]:
            for path in trial.pictures:
                picture = picture_of(path)
                if picture is None:
                    continue
                data = base64.b64encode(picture).decode()
                caption = f"{row.setting.title} · {row.metric}, trial {trial.index}: {path.stem}"
                found.append((caption, f"data:image/png;base64,{data}"))
            if len(found) >= most:
                return found[:most]
    return found


def picture_of(path: Path) -> bytes | None:
    """What is to be seen in a PNG, written anew; None for anything else.

    A page is sent around: what else a file holds, or another one that a link leads to, is not.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(reading.content(path)), formats=["PNG"]) as image:
            if image.width * image.height > PIXELS:
                return None
            seen = io.BytesIO()
            plain = image.convert("RGBA" if image.has_transparency_data else "RGB")
            plain.info.clear()
            plain.save(seen, "PNG")
            return seen.getvalue()
    except Exception:  # damaged in any of the many ways that a decoder knows
        return None


def forest(row: Row, rows: Sequence[Row]) -> Markup:
    """Draw the difference to h0 with its interval, on the range that all `rows` need.

    The dot is filled where the interval excludes zero.
    """
    from markupsafe import Markup

    gain = row.difference
    if gain is None:
        return Markup("")
    reach = max(abs(x) for r in rows if (d := r.difference) for x in (d.value, *(d.interval or ())))
    scale = 66 / (reach or 1)
    low, high = gain.interval or (gain.value, gain.value)
    clear = gain.interval is not None and not low <= 0 <= high
    return Markup(
        '<svg class="forest" viewBox="-70 -8 140 16" aria-hidden="true">'
        '<path class="zero" d="M0-8V8"/>'
        f'<path d="M{low * scale:.1f} 0H{high * scale:.1f}"/>'
        f'<circle class="{"clear" if clear else "open"}" cx="{gain.value * scale:.1f}" r="3.5"/>'
        "</svg>"
    )
