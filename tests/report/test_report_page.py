"""The page: self-contained and complete; tests/browser opens it."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chandir import report
from chandir.report.judge.claims_file import arm, artefacts, digest
from scripts import report as script
from tests import fake_runs
from tests.fake_runs import H0, SOBOLEV

ROOT = Path(__file__).parents[2]
LABELS = ("40 epochs (paper: 100)", "<synthetic> data")


class Page(HTMLParser):
    """Collects ids, links and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.links, self.sources, self.labels, self.text = [], [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag == "a" else []
        self.sources += [found["src"]] if "src" in found else []
        self.labels += [found["aria-label"]] if "aria-label" in found else []

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    runs = root / "runs"
    fake_runs.demo(runs, labels=LABELS, epochs=12)
    fake_runs.trial(runs, 5, SOBOLEV, 10.0, status="diverged", labels=LABELS, epochs=12)
    fake_runs.trial(runs, 6, SOBOLEV, 0.0, status="failed", labels=LABELS, epochs=12)
    fake_runs.trial(runs, 7, H0, 90.0, code="b" * 64, labels=LABELS, epochs=12)
    (fake_runs.trial(runs, 8, H0, 0.0, labels=LABELS, epochs=12) / "config.yaml").unlink()
    fake_runs.cell(runs, SOBOLEV, [97.0, 97.2], task="mnist-swap", name="mnist")
    return report.build(runs, root / "out")


@pytest.fixture(scope="module")
def page(built):
    return Page(built.read_text(encoding="utf-8"))


def test_it_is_one_file_without_a_network(built, page):
    text = built.read_text(encoding="utf-8")
    assert page.sources == []
    assert not re.search(r"@import|url\((?!#)", text)
    addresses = set(re.findall(r"https?://[^\s\"'<]+", text))
    assert all(address.startswith("http://www.w3.org/") for address in addresses), addresses
    assert all("://" not in link for link in page.links)


def test_every_link_leads_somewhere_and_no_id_is_used_twice(built, page):
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:
            assert (built.parent / link).exists(), link
    assert any(link.endswith("/trial-0") for link in page.links)


def test_it_says_what_ran_how_and_what_did_not(page):
    for text in (
        "21 trials of 5 cells: 18 done, 1 diverged, 1 failed, 1 damaged.",
        "92.00 [91.38, 92.62]",
        "+2.00 [+1.27, +2.73]",
        *LABELS,
        "nesterov is off for sgd",
        "Example CPU, cpu, 2 cores",
        "torch 2.15.0",
        "0123456789ab",
        "python run.py task=digits",
        "OSError: disk full",
        "config.yaml is missing",
        "shown apart, never averaged",
        "mnist-swap · mnist · convnet · sgd · batch 100: no complete h0",
    ):
        assert text in page.text, text
    assert page.text.count(LABELS[0]) >= 4, "a label is wherever a number is"


def test_the_answer_stands_first_then_results_and_the_papers_claims_last(page):
    said = [page.text.index(text) for text in (
        "What the data say", "h0_lambda was better than plain gradients", "+2.00 [+1.27, +2.73]",
        "digits: every cell in full", "versions, hardware", "The paper's claims",
        "python run.py experiment=table3",
    )]  # fmt: skip
    assert said == sorted(said)
    assert "Verdicts" not in page.text, "none of these runs is of a claim"
    assert "How the verdict rule behaves." in page.labels


def test_an_exhibit_has_claims_verdicts_and_the_command_for_the_rest(tmp_path):
    for name, mean in (("h0", 93.0), ("sobolev", 95.0), ("h0_mean", 94.0)):
        values = fake_runs.scores(mean, 0.3, 5, len(name))
        fake_runs.arm(tmp_path / "runs", arm(name, "digits"), values, epochs=2)
    page = Page(report.build(tmp_path / "runs", tmp_path / "out").read_text(encoding="utf-8"))
    assert "digits" in page.ids
    assert digest()[:16] in page.text
    assert page.text.index("Verdicts") < page.text.index("All results")
    for text in (
        "sobolev better than h0_mean", "Better than a larger step along the mean alone?", "+1.00",
        "Not comparable",
        "direction agrees", "sobolev: 5 of 25 trials", "h0_lambda: 0 of 25 trials",
        "and 3 more. python run.py experiment=digits runs what is missing",
        "claims lack an arm and",
    ):  # fmt: skip
        assert text in page.text, text


def test_pictures_of_run_folders_are_on_the_page(tmp_path):
    from PIL import Image

    folder = fake_runs.cell(tmp_path / "runs", H0, [90.0, 91.0])
    Image.new("RGB", (8, 8), "red").save(folder / "trial-0" / "samples.png")
    page = Page(report.build(tmp_path / "runs", tmp_path / "out").read_text(encoding="utf-8"))
    assert any(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "h0, trial 0: samples" in page.text


def test_an_empty_folder_teaches_the_next_command(tmp_path, capsys):
    assert script.main([str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert "python run.py" in said.err
    assert str(tmp_path / "out" / "index.html") in said.out
    text = Page((tmp_path / "out" / "index.html").read_text(encoding="utf-8")).text
    for command in ("python run.py", "make demo", "'trial=range(25)'", "scripts/report.py"):
        assert command in text
    for artefact in artefacts():
        assert artefact.command in text


def test_an_absent_folder_is_one_clear_line(tmp_path, capsys):
    assert script.main([str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "nowhere is not a folder" in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_script_prints_the_table_without_torch(tmp_path):
    fake_runs.demo(tmp_path / "runs")
    code = (
        "import sys; from scripts import report; "
        f"status = report.main([{str(tmp_path / 'runs')!r}, '--out', {str(tmp_path / 'out')!r}]); "
        "assert 'torch' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "\nh0_lambda " in done.stdout
    assert "92.00 ± 0.50" in done.stdout
