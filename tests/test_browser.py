"""The report and the executed notebook in a real browser without network.

Figures are drawn, zoom and hover work; anybody can read them.
"""
import os
import re
import shutil
import subprocess
import sys
import time
from io import BytesIO

import mido
import nbformat
import numpy as np
import pytest
from conftest import CHROMIUM, ROOT, SOAK, drawn, gru_study, jupyterlab, open_page

from gru_study.music import load_music
from gru_study.rolls import LOWEST, NOTES

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    "A small study on the real chorales: two cells, two epochs, and its report"
    home = tmp_path_factory.mktemp("study")
    env = dict(GRU_STUDY_HOME=str(home))
    done = gru_study("sweep", ROOT / "nbs/experiments/music_lm.ipynb", "--grid", "rnn=tanh,lstm", "data=chorales",
        "epoch=2", **env)
    assert done.returncode == 0, done.stderr
    shutil.copytree(ROOT / "nbs/experiments", home / "nbs/experiments")
    done = gru_study("report", **env)
    assert done.returncode == 0, done.stderr
    assert "tanh-100" in done.stdout and f"report: {home}/exp/summary.html" in done.stdout
    return home


def axis(page, figure, name, what="range"):
    return page.evaluate(f"(i) => document.querySelectorAll('.js-plotly-plot')[i]._fullLayout.{name}.{what}", figure)


@pytest.mark.parametrize("width", [1280, 1600])
def test_report(study, browser, width):
    page = open_page(browser, f"file://{study}/exp/summary.html", width)
    drawn(page)
    seeds, curves, roll = range(3)
    assert page.locator(".js-plotly-plot").count() == 3
    assert page.locator(".js-plotly-plot").nth(seeds).locator(".scatterlayer .trace").count() == 4
    assert page.locator(".js-plotly-plot").nth(curves).locator(".scatterlayer .trace").count() == 4
    assert page.locator(".js-plotly-plot").nth(roll).locator(".heatmaplayer image").count() == 3
    assert "must not be set beside published ones" in page.inner_text("body")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")  # nothing hangs over

    # hover shows exact values
    plot = page.locator(".js-plotly-plot").nth(curves)
    plot.scroll_into_view_if_needed()
    box = plot.locator(".scatterlayer .trace .point").first.bounding_box()
    page.mouse.move(box["x"] + box["width"]/2, box["y"] + box["height"]/2, steps=4)
    page.wait_for_selector(".hoverlayer .hovertext")
    assert re.search(r"epoch \d+, \d+\.\d s.*(NLL|loss) \d+\.\d{4}", plot.locator(".hoverlayer").text_content())

    # the button changes the axis
    page.get_by_text("by seconds").first.click()
    page.wait_for_function(
        "document.querySelectorAll('.js-plotly-plot')[1]._fullLayout.xaxis.title.text == 'seconds of training'")
    assert axis(page, curves, "xaxis")[1] != 60
    pressed = page.locator("figure .buttons [aria-pressed]").evaluate_all("l => l.map((b) => b.ariaPressed)")
    assert pressed == ["false", "true"]

    # a note's name and probability in the hover of a lower panel
    plot = page.locator(".js-plotly-plot").nth(roll)
    plot.scroll_into_view_if_needed()
    panel = plot.locator(".subplot.x2y2").bounding_box() or plot.locator(".heatmaplayer image").nth(1).bounding_box()
    x, y = panel["x"] + panel["width"]/3, panel["y"] + panel["height"]/2
    page.mouse.move(x, y, steps=4)
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot')[2].querySelector('.hoverlayer .hovertext')")
    assert re.search(r"[A-G]#?\d, beat [\d.]+probability 0(\.\d+)?", plot.locator(".hoverlayer").first.text_content())

    # a zoom into one panel is a zoom into all
    before = axis(page, roll, "xaxis"), axis(page, roll, "yaxis")
    page.mouse.down()
    page.mouse.move(x + 150, y + 30, steps=8)
    page.mouse.up()
    page.wait_for_function(
        f"document.querySelectorAll('.js-plotly-plot')[2]._fullLayout.xaxis.range[0] != {before[0][0]}")
    for i in ("", 2, 3):
        assert axis(page, roll, f"xaxis{i}") == axis(page, roll, "xaxis3") != before[0]
        assert axis(page, roll, f"yaxis{i}") == axis(page, roll, "yaxis3") != before[1]
    assert page.complaints == [] and page.requests == []
    if folder := os.environ.get("GRU_STUDY_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/report-{width}.png", full_page=True)


def test_page_of_one_run(study, browser):
    page = open_page(browser, f"file://{study}/exp/music_lm/chorales/lstm/music_lm.html")
    drawn(page)
    assert page.locator(".js-plotly-plot").count() == 2
    assert ("epoch 2 of 2" in page.inner_text("body") and "21,400" in page.inner_text("body")
        and "Markov baseline" in page.inner_text("body"))
    assert page.complaints == [] and page.requests == []


def test_a_piece_in_a_figure_sounds_and_is_kept(study, browser, tmp_path):
    "Play moves a head over all panels; MIDI that is kept holds the notes of the data, and nothing else"
    page = open_page(browser, f"file://{study}/exp/music_lm/chorales/lstm/music_lm.html")
    page.click("figure .gru-sound")
    at = lambda: page.eval_on_selector(".gru-roll-head", "e => e.hidden ? null : parseFloat(e.style.left)")
    page.wait_for_selector(".gru-roll-head:not([hidden])")
    first, limit = at(), time.time() + 30
    while at() < first + 5 and time.time() < limit: page.wait_for_timeout(50)
    assert at() > first + 5
    head = page.locator(".gru-roll-head").bounding_box()
    for panel in page.locator(".heatmaplayer image").all():
        box = panel.bounding_box()
        assert head["y"] <= box["y"] + 1 and head["y"] + head["height"] >= box["y"] + box["height"] - 1
    assert page.inner_text("figure .gru-sound") == "■ Stop"
    page.click("figure .gru-sound")
    assert at() is None
    page.click("figure .gru-keep summary")
    with page.expect_download() as kept: page.click("figure .gru-keep button:has-text('MIDI')")
    kept.value.save_as(tmp_path / "kept.mid")
    now, notes, sounding = 0., [], {}
    for message in mido.MidiFile(tmp_path / "kept.mid"):
        now += message.time * 96 / 60
        if message.type == "note_on": sounding[message.note] = now
        if message.type == "note_off": notes.append((message.note, round(sounding.pop(message.note)), round(now)))
    roll = np.zeros((84, 128), int)
    for note, begin, end in notes: roll[begin:end, note] = 1
    piece = load_music("chorales").test[0]
    assert (roll[:len(piece), LOWEST:LOWEST + NOTES] == piece).all() and roll.sum() == piece.sum()
    assert page.complaints == [] and page.requests == []


def test_executed_notebook_in_jupyterlab(study, browser, tmp_path):
    with jupyterlab(study, tmp_path) as address:
        page = open_page(browser, f"{address}/lab/tree/exp/music_lm/chorales/tanh/music_lm.ipynb?reset", offline=False)
        page.wait_for_selector(".jp-Notebook", timeout=90_000)
        page.wait_for_selector(".js-plotly-plot .main-svg", timeout=60_000)
        assert page.locator(".js-plotly-plot").count() == 2
        assert not [u for u in page.requests if "127.0.0.1" not in u]
        page.locator(".js-plotly-plot").last.scroll_into_view_if_needed()
        if folder := os.environ.get("GRU_STUDY_SCREENSHOTS"): page.screenshot(path=f"{folder}/jupyterlab.png")


@pytest.fixture(scope="module")
def kept(study):
    "An executed notebook"
    return study / "exp/music_lm/chorales/lstm/music_lm.ipynb"


def colours(picture):
    "How many colours there are in a screenshot"
    Image = pytest.importorskip("PIL.Image")
    return len(np.unique(np.asarray(Image.open(BytesIO(picture)).convert("RGB")).reshape(-1, 3), axis=0))


@pytest.mark.parametrize("words", [
    ["html"], ["html", "--template", "classic"], ["html", "--theme", "dark"], ["slides"]])
def test_nbconvert_shows_the_figures(kept, browser, tmp_path, words):
    "Anybody's tool, which knows nothing of plotly, makes pages in which the figures are seen without network"
    convert = ["-m", "nbconvert", "--output", tmp_path / "page", "--to", *words, kept]
    done = subprocess.run([sys.executable, *convert], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = open_page(browser, next(tmp_path.glob("page*.html")).as_uri())
    seen = page.locator("img[alt*='learning curves'], img[alt*='Expected by lstm-36']")
    assert seen.count() == 2
    for alt, (wide, high) in seen.evaluate_all("l => l.map((e) => [e.alt, [e.naturalWidth, e.naturalHeight]])"):
        assert wide > 400 and high > 300 and "axis: " in alt
    if words[0] == "html":
        assert [colours(seen.nth(i).screenshot()) > 50 for i in (0, 1)] == [True, True]
        assert seen.nth(0).bounding_box()["height"] > 200
    assert "Plotly" not in page.content()


def test_a_kept_notebook_is_small(kept):
    assert kept.stat().st_size < 250_000 # 117,000 without pictures and words


def faults(page):
    "What axe-core finds to be serious; it is a script of ours in a page that runs only its own (bypass_csp)"
    found = pytest.importorskip("axe_playwright_python.sync_playwright").Axe().run(page).response
    assert len(found["passes"]) > 10
    serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    return [(v["id"], n["target"]) for v in serious for n in v["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_goes_wrong_can_be_read(browser, tmp_path, scheme):
    "Links, errors, warnings and every colour of a terminal, as contrast is asked of text"
    from gru_study.page import to_page
    text = "".join(f"\x1b[{bold}{n}m word {n}\x1b[0m" for n in range(30, 38) for bold in ("", "1;"))
    outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="x", traceback=[text]),
               *(nbformat.v4.new_output("stream", name=name, text=text) for name in ("stdout", "stderr"))]
    code = "# a comment\n@decorated\ndef f(x: int = 1): return f'text {x!r}' + str(x != 2) and None"
    cells = [nbformat.v4.new_markdown_cell("[a link](https://example.org), `code` and **bold**"),
             nbformat.v4.new_code_cell(code, outputs=outputs)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "x.ipynb")
    url = to_page(tmp_path / "x.ipynb", tmp_path / "x.html", "x").as_uri()
    page = browser.new_context(color_scheme=scheme, offline=True, bypass_csp=True).new_page()
    page.goto(url)
    assert page.locator("span[class*=ansi]").count() > 20
    assert faults(page) == []


PAGES = ["summary", "music_lm/chorales/lstm/music_lm", "recorded/summary", "recorded/summary_translate"]


@pytest.fixture(scope="module")
def recorded(study):
    "The pages of the recorded studies, too"
    for task in ("music_lm", "translate"):
        done = gru_study("report", "--recorded", "--task", task, GRU_STUDY_HOME=str(study))
        assert done.returncode == 0, done.stderr
    return study


@pytest.mark.parametrize("page_name", PAGES)
@pytest.mark.parametrize("width,scheme", [(1400, "light"), (420, "dark"),
    *(pytest.param(*view, marks=SOAK) for view in ((1400, "dark"), (420, "light")))])
def test_anybody_can_read_a_page(recorded, browser, page_name, scheme, width):
    "axe-core finds nothing that keeps someone out; each figure is said in words; what can be pressed shows its focus"
    view = dict(viewport=dict(width=width, height=900), color_scheme=scheme, offline=True)
    page = browser.new_context(**view, bypass_csp=True).new_page()
    page.goto((recorded / f"exp/{page_name}.html").as_uri())
    figures = drawn(page)
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    told = page.locator(".main-svg[role=img]").evaluate_all("l => l.map((e) => e.ariaLabel)")
    assert figures >= 2 and all("axis: " in t for t in told)
    told = "figcaption, .buttons > button, .buttons summary, .infolayer .g-xtitle, .gtitle, .annotation"
    shown = page.locator(told).evaluate_all(BOXES)
    assert not [(a, b) for i, a in enumerate(shown) for b in shown[:i] if overlap(a, b)]
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(17, 17, 17)") == (scheme == "dark")
    white = ("l => l.filter((e) => /255, 255, 255/.test(getComputedStyle(e).fill)"
        " && getComputedStyle(e).fillOpacity > 0.1).length")
    assert page.locator(".main-svg .bg").evaluate_all(white) == 0  # no slab
    if page_name == "summary":
        button = page.get_by_role("button", name="by seconds")
        button.focus()
        page.keyboard.press("Enter")
        assert button.get_attribute("aria-pressed") == "true"
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        assert page.evaluate("document.activeElement.ariaLabel")
    if folder := os.environ.get("GRU_STUDY_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{page_name.replace('/', '-')}-{width}-{scheme}.png", full_page=True)


BOXES = ("l => l.map((e) => [e.textContent, e.getBoundingClientRect()])"
    ".map(([t, b]) => [t, b.left, b.top, b.right, b.bottom])")


def overlap(a, b):
    "Do two boxes share more than an edge?"
    return min(a[3], b[3]) - max(a[1], b[1]) > 2 and min(a[4], b[4]) - max(a[2], b[2]) > 2


def test_a_colour_bar_leaves_room_on_a_phone(study, browser):
    page = open_page(browser, (study / "exp/summary.html").as_uri(), 420)
    drawn(page)
    plot = page.locator(".js-plotly-plot").last
    widths = plot.evaluate("(e) => [e._fullLayout.xaxis._length, e.clientWidth]")
    assert widths[0] > 0.75*widths[1]


def test_keys_do_what_a_mouse_does(study, browser):
    "A name of the legend hides its line, the bar zooms"
    page = open_page(browser, (study / "exp/summary.html").as_uri())
    drawn(page)
    plot = page.locator(".js-plotly-plot").nth(1)
    before = axis(page, 1, "xaxis")
    plot.get_by_role("button", name="Zoom in").focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(1000)
    assert axis(page, 1, "xaxis")[1] < before[1]
    plot.get_by_role("button", name="show or hide tanh-100").focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(1000)
    seen = plot.evaluate("(e) => e.data.map((t) => [t.name, t.visible ?? true])")
    assert all((visible == "legendonly") == (name == "tanh-100") for name, visible in seen)
    assert page.complaints == []
