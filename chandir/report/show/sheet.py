"""A sheet: one table as text, and its forms as Markdown, LaTeX (booktabs) and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

# Columns of words; all others hold numbers and are aligned to the right.
LEFT = ("Setting", "Metric", "Labels", "Claim", "Arm", "Verdict", "Artefact", "Network", "Question",
        "Direction")  # fmt: skip

PREAMBLE = "% needs \\usepackage{booktabs} and a line of 140 mm\n"

_LINE = 394  # points in 140 mm, less what wide letters take
_BREAK = r"\\"

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "%": r"\%", "&": r"\&",
    "#": r"\#", "$": r"\$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$",
    ">": "$>$", "|": "$|$", "\N{MINUS SIGN}": "$-$", "±": r"$\pm$", "·": r"$\cdot$",
    "\N{EM DASH}": "---", "[": "{[}", "]": "{]}", "\n": " ",
    "α": r"$\alpha$", "λ": r"$\lambda$", "×": r"$\times$", "≥": r"$\ge$", "≤": r"$\le$",
}  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """A table as text.

    Attributes:
        caption: What it shows, with every deviation that all rows share.
        header: Column titles; "Setting" first where the rows are in named groups.
        body: One line per row; a group's name stands in its first row alone.
        notes: Below the table.
        values: Per row, by column title, the numbers to sort by.
    """

    caption: str
    header: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    values: tuple[dict[str, float | None], ...] = ()

    @property
    def grouped(self) -> bool:
        """Whether the first column names groups."""
        return self.header[0] == "Setting"

    @property
    def groups(self) -> list[tuple[str, list[int]]]:
        """(name, row numbers) of every group; one without a name if there are none."""
        found: list[tuple[str, list[int]]] = []
        for i, line in enumerate(self.body):
            if not found or (self.grouped and line[0]):
                found.append((line[0] if self.grouped else "", []))
            found[-1][1].append(i)
        return found


def markdown(sheet: Sheet) -> str:
    """Return it as Markdown that can also be read as it stands, in a terminal."""
    lines = [tuple(map(plain, line)) for line in (sheet.header, *sheet.body)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(sheet.header))]
    left = [title in LEFT for title in sheet.header]
    rule = tuple("-" * w if lt else "-" * (w - 1) + ":" for w, lt in zip(widths, left, strict=True))
    out = [f"**{plain(sheet.caption)}**", ""]
    for line in (lines[0], rule, *lines[1:]):
        padded = (
            cell.ljust(width) if lt else cell.rjust(width)
            for cell, width, lt in zip(line, widths, left, strict=True)
        )  # fmt: skip
        out.append(f"| {' | '.join(padded)} |")
    return "\n".join([*out, "", *(f"{plain(note)}  " for note in sheet.notes)]).rstrip() + "\n"


def plain(text: str) -> str:
    """Return `text` as Markdown that prints it: a label may hold anything.

    Marked is what would begin markup alone, so that intervals, ``h0_lambda`` and ``p < 0.01`` can
    be read in a terminal.
    """
    text = re.sub(r"[\r\n\t\v\f]+", " ", text)
    text = re.sub(r"([`*|]|\\(?=[!-/:-@\[-`{-~])|<(?=[\w/!?])|(?<=\])[(\[])", r"\\\1", text)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def latex(
    sheet: Sheet, titles: dict[str, str] | None = None, span: tuple[str, int, str] | None = None
) -> str:
    r"""Return it as LaTeX, which needs ``\usepackage{booktabs}`` and a line of 140 mm.

    One line per group, then its rows: a column for the group would be too wide.

    Args:
        sheet: The table.
        titles: Shorter column titles.
        span: (first column, number of columns, title above them).
    """
    header = [(titles or {}).get(title, title) for title in sheet.header[sheet.grouped :]]
    left = [title in LEFT for title in sheet.header[sheet.grouped :]]
    rows = [row[sheet.grouped :] for row in sheet.body]
    size, columns = _columns(header, rows, left)
    lines = [
        r"\begin{table}[ht]",
        rf"  \centering\{size}\setlength{{\tabcolsep}}{{3pt}}",
        rf"  \caption{{{escape(sheet.caption)}}}",
        rf"  \begin{{tabular}}{{@{{}}{''.join(columns)}@{{}}}}",
        r"    \toprule",
    ]
    if span:
        first = sheet.header.index(span[0]) - sheet.grouped + 1  # LaTeX counts columns from 1
        lines += [
            rf"    {'& ' * (first - 1)}\multicolumn{{{span[1]}}}{{c}}{{{escape(span[2])}}} \\",
            rf"    \cmidrule(lr){{{first}-{first + span[1] - 1}}}",
        ]
    stacked = [escape(t) if lt else _stack(t) for t, lt in zip(header, left, strict=True)]
    lines += ["    " + " & ".join(stacked) + r" \tabularnewline", r"    \midrule"]
    for i, row in enumerate(rows):
        if sheet.grouped and sheet.body[i][0]:
            lines += [r"    \addlinespace"] * bool(i)
            group = escape(sheet.body[i][0])
            lines.append(rf"    \multicolumn{{{len(header)}}}{{@{{}}l}}{{{group}}} \\")
        cells = (r"\raggedright " * (c[0] == "p") + escape(x)
                 for c, x in zip(columns, row, strict=True))  # fmt: skip
        lines.append("    " + " & ".join(cells) + r" \tabularnewline")
    lines += [r"    \bottomrule", r"  \end{tabular}", r"  \par\smallskip\raggedright"]
    lines += [rf"  {escape(note)}\par" for note in sheet.notes]
    return "\n".join([*lines, r"\end{table}", ""])


def _columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[bool]
) -> tuple[str, list[str]]:
    """Return the size and the column types with which a table fits: words wrap, numbers never."""
    columns = [[title, *(row[i] for row in rows)] for i, title in enumerate(header)]
    words = [1 + max(len(word) for cell in c for word in ["", *cell.split()]) for c in columns]
    natural = [1 + max(map(len, column)) for column in columns]
    numbers = [max(w - 1, *map(len, c[1:])) for w, c in zip(words, columns, strict=True)]
    for size, width in (("scriptsize", 4.0), ("tiny", 3.1)):  # points a character
        fixed = sum(n * width for n, lt in zip(numbers, left, strict=True) if not lt)
        room = _LINE - fixed - 6 * len(header)
        most = sum(n * width for n, lt in zip(natural, left, strict=True) if lt)
        least = sum(n * width for n, lt in zip(words, left, strict=True) if lt)
        if most <= room:
            return size, ["l" if lt else "r" for lt in left]
        if 1.3 * least <= room:
            break
    share = max(0.0, (room - least) / (most - least)) if most > least else 0.0
    wraps = [width * (w + (n - w) * share) for w, n in zip(words, natural, strict=True)]
    return size, [f"p{{{w:.0f}pt}}" if lt else "r" for w, lt in zip(wraps, left, strict=True)]


def _stack(title: str) -> str:
    """A title of several words, one above the other."""
    words = [escape(word) for word in title.split()]
    return rf"\shortstack[r]{{{_BREAK.join(words)}}}" if len(words) > 1 else words[0]


def to_csv(sheet: Sheet) -> str:
    """Return it as CSV, every group's name in each of its rows and numbers in full precision."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(sheet.header)
    group = ""
    for i, line in enumerate(sheet.body):
        group = line[0] or group if sheet.grouped else ""
        values = sheet.values[i] if sheet.values else {}
        cells = [values.get(t, c) for t, c in zip(sheet.header, line, strict=True)]
        if sheet.grouped:
            cells[0] = group
        writer.writerow(["" if cell is None else cell for cell in cells])
    return out.getvalue()


def escape(text: str) -> str:
    """Return `text` as LaTeX that prints it."""
    return "".join(_LATEX.get(character, character) for character in text)


def letters(texts: Sequence[str]) -> dict[str, str]:
    """Give each distinct text a letter: a, b, ..., z, aa, ab, ..."""
    found: dict[str, str] = {}
    for text in texts:
        i = len(found)
        found.setdefault(text, (chr(96 + i // 26) if i >= 26 else "") + chr(97 + i % 26))
    return found
