"The report and the executed notebook in a real browser without network: figures are drawn, zoom and hover work."
import os
import re
import shutil

import pytest
from conftest import CHROMIUM, ROOT, gru_study, jupyterlab, open_page

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    "A small study on the real chorales: two cells, two epochs, and its report"
    home = tmp_path_factory.mktemp("study")
    env = dict(GRU_STUDY_HOME=str(home))
    done = gru_study("sweep", ROOT / "nbs/experiments/music_lm.ipynb", "--grid", "rnn=tanh,lstm", "data=chorales", "epoch=2", **env)
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
    page.wait_for_selector(".js-plotly-plot .heatmaplayer image")
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
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot')[1]._fullLayout.xaxis.title.text == 'seconds of training'")
    assert axis(page, curves, "xaxis")[1] != 60

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
    page.wait_for_function(f"document.querySelectorAll('.js-plotly-plot')[2]._fullLayout.xaxis.range[0] != {before[0][0]}")
    for i in ("", 2, 3):
        assert axis(page, roll, f"xaxis{i}") == axis(page, roll, "xaxis3") != before[0]
        assert axis(page, roll, f"yaxis{i}") == axis(page, roll, "yaxis3") != before[1]
    assert page.complaints == [] and page.requests == []
    if folder := os.environ.get("GRU_STUDY_SCREENSHOTS"): page.screenshot(path=f"{folder}/report-{width}.png", full_page=True)


def test_page_of_one_run(study, browser):
    page = open_page(browser, f"file://{study}/exp/music_lm/chorales/lstm/music_lm.html")
    page.wait_for_selector(".js-plotly-plot .heatmaplayer image")
    assert page.locator(".js-plotly-plot").count() == 2
    assert "epoch 2 of 2" in page.inner_text("body") and "21,400" in page.inner_text("body") and "Markov baseline" in page.inner_text("body")
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
