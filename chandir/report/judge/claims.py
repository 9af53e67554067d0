"""Claims: what is compared, over how many trials, and what the paper found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chandir.report.statistics import Summary

KINDS = ("gain", "level", "trend", "spread", "equal")


@dataclass(frozen=True)
class Arm:
    """One side of a comparison.

    Attributes:
        name: As in claims.yaml, with what `vary` sets.
        where: What its config.yaml has to say, as ((dotted name, value), ...).
    """

    name: str
    where: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Claim:
    """One claim, with every list in the file expanded.

    Attributes:
        artefact: The artefact's name.
        kind: One of `KINDS`.
        family: The comparisons that are corrected together; empty for levels.
        context: Where both arms are, in words: ``batch size 8``.
        arms: What the claim is about; several only for "equal".
        baseline: What it is compared with: (), (one,), or for "trend" the baseline at `at`, then
            arm and baseline at `against`.
        trials: The planned number of each arm.
        value: Of which number of a trial: "score", "gap" or a path into correlation.json.
        paper: The paper's effect, signed so that positive supports the claim; its mean for "level".
        samples: The paper's (n, mean, sd) of arm and baseline, sd from the size of the test set
            where it prints none; empty where neither is known.
        relative: The paper's gain in per cent of the measured baseline, in place of `paper`.
        margin: What counts as equal, or as the same level.
        smallest: The least difference that counts; None for the score's own.
        ours: Whether this is our question, not the paper's claim.
        question: Which of our questions it answers; empty for the paper's claims.
    """

    artefact: str
    kind: str
    family: str
    context: str
    arms: tuple[Arm, ...]
    baseline: tuple[Arm, ...]
    trials: int
    value: str
    paper: float | None
    samples: tuple[Summary, ...]
    relative: float | None
    margin: float | None
    smallest: float | None
    ours: bool
    question: str = ""

    @property
    def heading(self) -> str:
        """Under what it stands in a table: its question, then where both arms are."""
        return " ".join(x for x in (self.question, self.context) if x)

    @property
    def text(self) -> str:
        """The claim in words."""
        arm = self.arms[0].name
        base = self.baseline[0].name if self.baseline else "0"
        what = "" if self.value == "score" else f" ({self.value.replace('.', ', ')})"
        if self.kind == "equal":
            arm = arm if len(self.arms) == 1 else f"{arm} to {self.arms[-1].name.split()[-1]}"
        words = {
            "gain": f"{arm} better than {base}{what}",
            "level": f"{arm} reaches {self.paper}",
            "trend": f"{arm} gains more over {base}",
            "spread": f"{arm} varies less than {base}",
            "equal": f"{arm} within {self.margin:g} of {base}{what}" if self.margin else "",
        }
        if self.value.startswith("correlation") and self.kind == "gain":
            words["gain"] = f"{arm} more correlated than {base}{what}"
        return words[self.kind]


@dataclass(frozen=True)
class Artefact:
    """A table or figure of the paper: its claims and the command that runs it."""

    name: str
    title: str
    trials: int
    ours: bool
    claims: tuple[Claim, ...]
    shown: tuple[Arm, ...]

    @property
    def command(self) -> str:
        """What runs every cell of it."""
        return f"python run.py experiment={self.name}"

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Every arm that it shows or that its claims need, each once."""
        needed = (arm for c in self.claims for arm in (*c.arms, *c.baseline))
        found: dict[str, Arm] = {}
        for own in (*self.shown, *needed):  # "h0_lambda" and "h0_lambda, lam 1" are one arm
            found.setdefault(str(sorted(own.where)), own)
        return tuple(found.values())
