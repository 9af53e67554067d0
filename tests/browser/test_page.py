"""The page in a real browser: what a reader sees first, by mouse and keyboard, bright and dark."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from chandir import report
from chandir.report.judge.claims_file import arm
from tests import fake_runs, planted

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BROWSER, reason="needs chromium"),
]
DESK, PHONE = (1280, 800), (390, 800)
PAGES = ("demo", "many", "own", "smoke", "empty")


def demo(runs: Path) -> None:
    for i, name in enumerate(("h0", "h0_lambda", "sobolev")):
        values = fake_runs.scores(95.4 + 0.05 * i, 0.5, 5, i)
        labels = ("digits is not in the paper",)
        fake_runs.arm(
            runs, arm(name, "digits"), values, labels=labels, epochs=8,
            correlation=lambda k, i=i: planted.correlation(0.1 * i),
        )  # fmt: skip


def many(runs: Path) -> None:
    """As published: the digits in full, Figure 6 shortened, a lone arm, a failure."""
    for i, name in enumerate(("h0", "h0_lambda", "sobolev", "h0_mean", "h0_norm", "sobolev, input",
                              "sobolev, rasterized", "h0_lambda, input")):  # fmt: skip
        values = fake_runs.scores(95.5 - 0.1 * (i % 3), 0.4, 25, i)
        fake_runs.arm(runs, arm(name, "digits"), values, epochs=4)
    short = {"scale": "short", "labels": ("scale short", "10 epochs (paper: 100)"), "epochs": 10}
    planted.figure6(runs, **short)
    lone = arm("sobolev", "resnet56-sgd", task__batch_size=32)
    fake_runs.arm(runs, lone, [55.0], labels=("3 epochs (paper: 240)",), epochs=3)
    fake_runs.trial(runs, 3, fake_runs.H0, 0.0, status="failed")


def own(runs: Path) -> None:
    for i, name in enumerate(("h0", "h0_lambda", "sobolev", "h0_mean")):
        values = fake_runs.scores(80.0 + i, 1.0, 5, i)
        fake_runs.cell(runs, {"name": name}, values, task="folder", model="torchvision")


def smoke(runs: Path) -> None:
    for name in ("h0", "sobolev", "h0_mean"):
        one = arm(name, "digits")
        fake_runs.arm(runs, one, [70.0, 83.0], scale="smoke", labels=("scale smoke",), epochs=2)


class Places(dict[str, Path]):
    """Each page, built when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __missing__(self, name: str) -> Path:
        runs = self.root / name / "runs"
        runs.mkdir(parents=True)
        if name != "empty":
            {"demo": demo, "many": many, "own": own, "smoke": smoke}[name](runs)
        self[name] = report.build(runs, self.root / name / "out")
        return self[name]


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    return Places(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = {"args": ["--no-sandbox"], "executable_path": BROWSER}
        one = playwright.chromium.launch(**options)
        yield one
        one.close()


@pytest.fixture
def open_page(browser: Any, places: Places) -> Iterator[Any]:
    """Open a page of `places`; what its console says of errors fails the test."""
    contexts, errors = [], []

    def opened(name: str, size: tuple[int, int] = DESK, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: said.type == "error" and errors.append(said.text))
        page.on("request", lambda asked: asked.url.startswith("http") and errors.append(asked.url))
        page.goto(places[name].as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == [], "no error in the console, and nothing from a network"


# The texts of a drawing that stand out of it to a side.
CUT = """(svg) => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter((text) => {
    const own = text.getBoundingClientRect();
    return own.left < box.left - 2 || own.right > box.right + 2;
  }).map((text) => text.textContent);
}"""


def unfold(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")


def height(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollHeight"))


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_nothing_leaves_the_page_sideways(open_page, name, size):
    page = open_page(name, size)
    for _ in ("folded", "unfolded"):
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        # What a box that scrolls holds may be wider; of the page's own text nothing is cut.
        cut = page.evaluate(
            """() => [...document.querySelectorAll('p, td, th, summary, figcaption, .image svg')]
              .filter((one) => one.checkVisibility() && !one.closest('.unseen'))
              .filter((one) => innerWidth < 640 ? !one.closest('.scroll:not(:has(.cards))')
                                                : !one.closest('.scroll'))
              .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
              .map((one) => one.textContent.slice(0, 60))"""
        )
        assert cut == []
        unfold(page)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_mend(open_page, name, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(name, color_scheme=scheme)
    dark = page.evaluate("getComputedStyle(document.body).color") == "rgb(228, 231, 235)"
    assert dark == (scheme == "dark")
    for _ in ("folded", "unfolded"):
        found = Axe().run(page).response["violations"]
        said = [f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:150]}" for v in found]
        assert said == []
        unfold(page)


@pytest.mark.parametrize("name", PAGES)
def test_headings_are_in_order(open_page, name):
    page = open_page(name)
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4')].map((one) => Number(one.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("name", ["demo", "many", "own"])
def test_every_fold_opens_and_closes_by_keyboard(open_page, name):
    page = open_page(name)
    for summary in page.query_selector_all("summary"):
        fold = summary.evaluate_handle("(one) => one.parentElement")
        summary.evaluate(
            """(one) => { for (let at = one.parentElement.parentElement; at; at = at.parentElement)
              if (at.tagName === 'DETAILS') at.open = true; }"""
        )
        before = fold.evaluate("(one) => one.open")
        for expected in (not before, before):
            summary.focus()
            page.keyboard.press("Enter")
            assert fold.evaluate("(one) => one.open") is expected, summary.inner_text()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("script", [True, False])
def test_a_link_within_the_page_opens_what_it_points_to(open_page, places, name, script):
    page = open_page(name, java_script_enabled=script)
    links = page.query_selector_all("a[href^='#']")
    if not script:  # a script may be refused: what can be clicked then still leads somewhere
        links = [link for link in links if link.is_visible()]
    for target in sorted({link.get_attribute("href") for link in links}):
        page.goto("about:blank")
        page.goto(places[name].as_uri() + target)
        shown = page.locator(target)
        assert shown.is_visible(), target
        box = shown.bounding_box()
        assert box["y"] < DESK[1], "and scrolls to it"


@pytest.mark.parametrize("name", ["demo", "own"])
def test_the_answer_is_in_the_first_screen(open_page, name):
    page = open_page(name)
    for part in (".sentence", ".beside table", ".beside figure svg"):
        box = page.locator(f"#answer {part} >> visible=true").first.bounding_box()
        assert box["y"] + box["height"] <= DESK[1], part
    text = page.locator("#answer").inner_text()
    assert "was resolved" in text or "than plain gradients" in text


def test_a_users_own_comparison_comes_first_and_the_papers_claims_are_one_line(open_page):
    page = open_page("own")
    assert "folder" in page.locator("h1").inner_text()
    text = page.locator("main").inner_text()
    assert text.index("What the data say") < text.index("The paper's claims")
    assert "experiment=" not in text
    assert height(page) < 1300
    assert page.locator("summary h2").last.inner_text() == "The paper's claims"


def test_a_smoke_run_answers_nothing_and_removes_no_command(open_page):
    page = open_page("smoke")
    assert "Nothing yet" in page.locator("#answer").inner_text()
    assert page.locator(".exhibit").count() == 0
    unfold(page)
    assert "experiment=digits" in page.locator("#absent").inner_text()


def test_a_large_page_is_short_until_it_is_opened(open_page):
    assert height(open_page("many")) < 5000
    assert height(open_page("many", PHONE)) < 9000


def test_on_a_phone_panels_stack_and_letters_can_be_read(open_page):
    page = open_page("many", PHONE)
    unfold(page)
    shown = page.locator(".image svg >> visible=true")
    assert shown.count() > 4
    for i in range(shown.count()):
        one = shown.nth(i)
        assert one.bounding_box()["width"] <= PHONE[0]
        size = one.evaluate(
            """(svg) => Math.min(...[...svg.querySelectorAll('text')]
              .map((text) => text.getBoundingClientRect().height))"""
        )
        assert size > 6.5, "pixels of the smallest line"
    # An interval is never broken over two lines, nor cut.
    assert page.evaluate(
        """() => [...document.querySelectorAll('.cards td.number')]
          .filter((cell) => cell.checkVisibility() && cell.scrollWidth > cell.clientWidth + 1)
          .length"""
    ) == 0  # fmt: skip


@pytest.mark.parametrize("name", ["demo", "many", "own"])
def test_no_letter_of_a_figure_is_cut(open_page, name):
    for size in (DESK, PHONE):
        page = open_page(name, size)
        unfold(page)
        for drawing in page.query_selector_all(".image svg"):
            if drawing.is_visible():
                assert drawing.evaluate(CUT) == []


def test_a_table_that_scrolls_shows_it(open_page):
    page = open_page("many", (700, 800))
    unfold(page)
    scrolls = page.evaluate(
        """() => [...document.querySelectorAll('.scroll')]
          .filter((one) => one.scrollWidth > one.clientWidth + 1)
          .map((one) => getComputedStyle(one).backgroundImage)"""
    )
    assert scrolls
    assert all(image.count("gradient") == 4 for image in scrolls)


def test_it_sorts_and_opens_figures(open_page, places):
    page = open_page("demo")
    page.goto(places["demo"].as_uri() + "#results")
    title = page.locator("#results > .scroll thead button", has_text="Mean").first
    values = """() => [...document.querySelectorAll('#results > .scroll tbody tr:not(.group)')]
      .map((row) => Number(row.cells[2].dataset.value))"""
    title.click()
    up = page.evaluate(values)
    assert up == sorted(up)
    title.click()
    assert page.evaluate(values) == sorted(up, reverse=True)
    image = page.locator("#answer button.image").first
    image.focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog .large svg").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("dialog").is_hidden()
    assert image.locator(".wide svg").count() == 1


def test_paper_shows_everything(open_page):
    page = open_page("demo")
    page.emulate_media(media="print")
    assert page.locator("#method").is_visible()
