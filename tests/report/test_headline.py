"""What the READMEs say of the claims: it is made of what is published, and of nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from chandir import report
from chandir.report.judge import claims_file
from chandir.report.publish import brief, headline, publication
from scripts.publish import headlines
from tests import fake_runs, planted

ROOT = Path(__file__).parents[2]
SHORT = ("scale short", "10 epochs (paper: 100)")


class Shelf:
    """Publications of planted effects, each made once, of which a test's results/ gets copies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lay(self, name: str, results: Path) -> None:
        if not (made := self.folder / name).exists():
            runs = self.folder / f"{name}-runs"
            if name == "digits":
                planted.digits(runs, epochs=2)
            elif name == "short":
                planted.figure6(runs, labels=SHORT, scale="short")
            else:
                planted.figure6(runs)
            publication.publish(runs, made)
        shutil.copytree(made, results / name)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.mark.slow
def test_the_headline_is_the_findings(shelf: Shelf, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shelf.lay("short", results)
    text = headline.full(results)
    assert "Not as in the paper: scale short; 10 epochs (paper: 100)." in text
    # Planted: 0.8 points for every lambda; those of other strengths are the figure's to show.
    assert "| mnist: h0_lambda, lam 1 better than h0 | +0.80 [" in text, "the paper has no number"
    assert "lam 20" not in text
    assert "](results/short/scores.csv)" in text
    assert "Not comparable, direction agrees" in text
    fake_runs.demo(tmp_path / "more")
    report.build(tmp_path / "more", results / "page")
    assert headline.full(results) == text, "what `make report` writes is not published"


@pytest.mark.slow
def test_of_two_answers_the_headline_takes_the_one_nearer_to_the_protocol(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for name, gain, labels in (("a", 1.0, ("scale short",)), ("b", 2.0, ())):
        runs = tmp_path / name
        for own, seed, mean in (("h0", 1, 90.0), ("h0_lambda", 2, 90.0 + gain)):
            found = claims_file.arm(own, "mnist-swap", data__name="mnist")
            values = fake_runs.scores(mean, 0.1, 5, seed)
            fake_runs.arm(runs, found, values, labels=labels)
        publication.publish(runs, results / name)
    text = headline.full(results)
    assert "+2.00 [" in text
    assert "+1.00 [" not in text
    assert "results/b/index.html" in text


@pytest.mark.slow
def test_in_brief_the_papers_claims_are_counted_and_both_metrics_have_a_column(
    shelf: Shelf, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    assert brief.brief(results) == "Nothing is published yet.\n"
    shelf.lay("short", results)
    claims, *rows = brief.brief(results).splitlines()
    mnist = next(row for row in rows if "; mnist;" in row)
    assert claims.startswith("Of the paper's 88 claims **none has been judged by the full protocol")
    setting, baseline, mean, sobolev, h0_lambda = mnist.strip("| ").split(" | ")
    table = "results/short/tables/fig6.md"  # a code host shows it, and of a page its source
    assert f"({table}); mnist; lam 1 and weight 1; 5 trials each; scale short" in setting
    assert (tmp_path / table).is_file()
    assert baseline == "plain gradients"
    assert " ± " in mean
    for difference in (sobolev, h0_lambda):
        assert difference.startswith("+0.80 [")
        assert difference.endswith("**not comparable, direction agrees**")
    shelf.lay("full", results)
    text = brief.brief(results)
    assert "reproduced" in text
    assert "none has been judged" not in text
    assert "scale short" not in text


def test_in_brief_a_run_that_has_begun_takes_no_place_and_shares_no_row(
    shelf: Shelf, tmp_path: Path
) -> None:
    """At full scale one metric is complete and one has two trials: its short run still stands."""
    runs, results = tmp_path / "runs", tmp_path / "results"
    shelf.lay("short", results)
    for name, mean, n in (("h0", 98.0, 5), ("h0_lambda", 98.5, 5), ("sobolev", 90.0, 2)):
        where = {"metric__weight": 1.0} if name == "sobolev" else {}
        found = claims_file.arm(name, "mnist-swap", data__name="mnist", **where)
        fake_runs.arm(runs, found, fake_runs.scores(mean, 0.1, n, len(name)))
    publication.publish(runs, results / "begun")
    text = brief.brief(results)
    assert "has begun" not in text.splitlines()[0], "the short run stands for it"
    lines = [line for line in text.splitlines() if "; mnist;" in line]
    rows = {line.split("](results/")[1].split("/")[0]: line.strip("| ").split(" | ")
            for line in lines if "| plain gradients |" in line}  # fmt: skip
    assert set(rows) == {"short", "begun"}
    _, _, mean, sobolev, h0_lambda = rows["begun"]
    assert mean.startswith("98.00 ±")
    assert sobolev == "—"
    assert h0_lambda.startswith("+0.50 [")
    _, _, mean, sobolev, h0_lambda = rows["short"]
    assert mean.startswith("97.00 ±")
    assert sobolev.startswith("+0.80 [")
    assert h0_lambda == "—"
    assert headline.full(results).count("**Figure 6: accuracy over lambda**") == 2
    shutil.rmtree(results / "short")
    text = brief.brief(results)
    assert "shortened" not in text, "nothing is"
    assert text.splitlines()[0].endswith("**1 reproduced**; 1 has begun, with trials to come.")
    shutil.rmtree(results / "begun")
    shutil.rmtree(next(runs.glob("mnist-swap/*h0_lambda*")))
    publication.publish(runs, results / "begun")
    assert "|" not in brief.brief(results), "no row has all its trials"


def test_in_brief_is_what_has_all_its_trials(shelf: Shelf, tmp_path: Path) -> None:
    """Five trials of lambda 1 answer Figure 6, and not yet our own question, with fifteen."""
    shelf.lay("full", tmp_path / "results")
    lines = brief.brief(tmp_path / "results").splitlines()
    (row,) = (line for line in lines if "; mnist;" in line and "| plain gradients |" in line)
    assert "/fig6.md" in row
    assert "/fig6-power.md" in headline.full(tmp_path / "results")


def test_in_brief_each_strength_has_a_row_and_what_rows_share_is_said_once(
    shelf: Shelf, tmp_path: Path
) -> None:
    """At full scale every strength of Figure 6 is judged: lambda 1 is not the whole of it."""
    results = tmp_path / "results"
    shelf.lay("full", results)
    rows = [line.strip("| ").split(" | ") for line in brief.brief(results).splitlines()]
    first = next(k for k, row in enumerate(rows) if "; mnist;" in row[0])
    strengths = ("0.5", "1", "2", "5", "10", "20")
    names = [f"lam {value} and weight {value}; 5 trials each" for value in strengths]
    assert rows[first][0].endswith(f"; mnist; {names[0]}")
    assert [row[0] for row in rows[first + 1 : first + 6]] == names[1:]
    for row in rows[first : first + 6]:
        assert row[3].startswith("+0.80 [")
        assert row[4].startswith("+0.80 [")
    text = headline.full(results)
    assert "| mnist: h0_lambda, lam 20 better than h0 | +0.80 [" in text
    assert "| mnist: sobolev, weight 0.5 to 20 within 0.3 of sobolev | " in text


@pytest.mark.slow
def test_in_brief_the_mean_is_of_the_trials_that_are_compared(shelf: Shelf, tmp_path: Path) -> None:
    """Whatever else the cell's folder holds: trials of another code, more trials than planned."""
    shelf.lay("digits", tmp_path / "results")
    before = brief.brief(tmp_path / "results")
    path = tmp_path / "results" / "digits" / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    (plain,) = (each for each in summary["cells"] if each["metric"]["name"] == "h0")
    summary["cells"].insert(0, plain | {"name": "h0, other code", "n": 40, "mean": 1.0})
    path.write_text(json.dumps(summary), encoding="utf-8")
    assert brief.brief(tmp_path / "results") == before


def test_in_brief_the_larger_step_is_a_baseline(shelf: Shelf, tmp_path: Path) -> None:
    shelf.lay("digits", tmp_path / "results")
    lines = brief.brief(tmp_path / "results").splitlines()
    (row,) = (line for line in lines if "`h0_mean`: plain gradients" in line)
    assert "+0.60 [" in row.split(" | ")[3]


def test_a_readme_keeps_what_stands_around_the_headline() -> None:
    text = f"before\n{headline.BEGIN}\nold\n{headline.END}\nafter\n"
    once = headline.into(text, "new\n")
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "new" in once
    assert "old" not in once
    assert headline.into(once, "new\n") == once
    with pytest.raises(ValueError, match="no place for the headline"):
        headline.into("nothing here", "new")


def test_the_readmes_say_what_the_publications_say() -> None:
    short, full = headlines(ROOT / "results").items()
    for path, own in (short, full):
        text = path.read_text(encoding="utf-8")
        assert headline.into(text, own) == text, f"{path}: python scripts/publish.py"
    assert "same rate" in full[1]
    assert "same rate" not in short[1]
    assert "](results/" not in full[1]


def test_both_sides_of_our_questions_are_in_the_headline(shelf: Shelf, tmp_path: Path) -> None:
    """Better than the other directions, and no different from them: the second has the answer."""
    shelf.lay("digits", tmp_path / "results")
    lines = headline.full(tmp_path / "results").splitlines()
    rows = {line.split(" | ")[0].lstrip("| "): line for line in lines if line.startswith("| ")}
    better = rows["Is the output direction better than the others?"]
    alike = rows["No different from the other directions? (within 0.5)"]
    assert better.count("Inconclusive") == 4
    assert alike.count("Yes") == 4
    assert "sobolev against sobolev, input: 0.00 [" in alike
    assert "sobolev: +0.60 [" in rows["Better than a larger step along the mean alone?"]
    assert "sobolev: log sd ratio +0.8" in rows["Does the spread between trials shrink?"]
