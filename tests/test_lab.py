"The lab in real JupyterLab: start.ipynb is run as a reader runs it, and every app is used."
import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from conftest import CHROMIUM, COMMAND, jupyterlab, open_page

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
SCREENSHOTS = os.environ.get("GRU_STUDY_SCREENSHOTS")
SECONDS = {}  # what a reader waits for: reported, not judged, because it depends on the machine


@pytest.fixture(scope="module", params=[1280, 1600] if SCREENSHOTS else [1280])
def lab(browser, tmp_path_factory, request):
    "The page after `gru-study lab` in an empty folder and Run All Cells"
    home = tmp_path_factory.mktemp("lab")
    with jupyterlab(home, home / "jupyter", *COMMAND, "lab", GRU_STUDY_HOME=str(home)) as address:
        page = open_page(browser, f"{address}/lab/tree/nbs/start.ipynb?reset", request.param, offline=False)
        page.home, page.width = home, request.param
        page.set_default_timeout(90_000)  # a busy machine
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=90_000)
        page.get_by_text("| Idle").wait_for(timeout=90_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        page.wait_for_function("[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].every(e => /\\d/.test(e.textContent))", timeout=120_000)
        page.wait_for_function("document.querySelectorAll('.gru-plot .main-svg').length >= 12", timeout=60_000)
        yield page
        assert page.locator(".jp-RenderedError, [data-mime-type='application/vnd.jupyter.stderr']").all_text_contents() == []
        assert page.complaints == []
        assert not [u for u in page.requests if "127.0.0.1" not in u]
        if SCREENSHOTS: (page.home / SCREENSHOTS / f"lab-{page.width}.json").write_text(json.dumps(SECONDS, indent=1))
        print("seconds until the page answered:", json.dumps(SECONDS))


class AppOnPage:
    "One app: the output of the cell that holds some text"
    def __init__(self, page, code):
        self.page, self.cell = page, page.locator(".jp-CodeCell").filter(has=page.locator(".jp-InputArea", has_text=code)).last
        self.cell.scroll_into_view_if_needed()

    def labelled(self, name):
        return self.cell.locator(f".widget-label:text-is('{name}')").locator("xpath=..")

    def control(self, name):
        return self.labelled(name).locator("select, input").first

    def slide(self, name, value):
        box = self.labelled(name).locator(".widget-readout")
        box.fill(str(value))
        box.press("Enter")

    def plot(self, i):
        return self.cell.locator(".gru-plot").nth(i).locator(".js-plotly-plot")

    def title(self, i):
        return self.plot(i).evaluate("e => e._fullLayout.title.text")

    def waits(self, what, act, check):
        "Do something and wait until it shows"
        start = time.monotonic()
        act()
        deadline = start + 60
        while not check():
            assert time.monotonic() < deadline, f"{what}: nothing changed"
            self.page.wait_for_timeout(10)
        SECONDS[what] = round(time.monotonic() - start, 2)

    def shot(self, name):
        if SCREENSHOTS: self.cell.locator(".jp-OutputArea").first.screenshot(path=f"{SCREENSHOTS}/lab-{name}-{self.page.width}.png")


def test_first_outputs(lab):
    "Each app is run again on its own: how long until it stands there"
    for code in ("Browse()", "Train(epoch", "Compose()", "LookInside()", "Compare()", "Speak()"):
        app = AppOnPage(lab, code)
        app.cell.locator(".jp-InputArea-editor").click()
        old = app.cell.locator(".widget-box").first.element_handle()
        app.waits(f"first output of {code}", lambda: lab.keyboard.press("Control+Enter"),
            lambda: not old.is_visible() and app.cell.locator(".gru-plot .main-svg" if "Train" not in code else "button").first.is_visible())


def test_browse(lab):
    app = AppOnPage(lab, "Browse()")
    before = app.title(0)
    app.waits("browse: another piece", lambda: app.control("piece").select_option(index=5), lambda: app.title(0) != before)
    assert "(chorales, test)" in app.title(0) and "notes a frame" in app.cell.inner_text()
    assert app.plot(0).evaluate("e => e._fullLayout.yaxis.title.text + e._fullLayout.xaxis.title.text") == "notebeat (quarter note)"
    kept = lambda: app.cell.locator("a[download]").first.get_attribute("download")
    old = kept()
    app.waits("browse: another split", lambda: app.control("split").select_option("valid"), lambda: "valid" in app.title(0) and kept() != old)
    assert app.cell.locator("a[download]").evaluate_all("e => e.map(a => a.download.split('.').pop())") == ["wav", "mid", "npz"]
    sound = app.cell.locator("audio")
    sound.evaluate("a => { a.muted = true; return a.play() }")
    head = app.cell.locator(".gru-head")
    head.wait_for()
    first = head.bounding_box()["x"]
    app.waits("browse: the play-head moves with the sound", lambda: None, lambda: head.bounding_box()["x"] > first + 5)
    app.shot("browse")
    sound.evaluate("a => a.pause()")
    app.control("data").fill("nothing")
    app.control("data").press("Enter")
    lab.wait_for_function("document.body.innerText.includes(\"data: found 'nothing'\")")
    app.control("data").fill("chorales")
    app.control("data").press("Enter")
    lab.wait_for_function("!document.body.innerText.includes(\"data: found 'nothing'\")")


def test_train(lab):
    app = AppOnPage(lab, "Train(epoch=60")
    start = app.cell.get_by_role("button", name="Start")
    app.control("epoch").fill("5")
    app.waits("train: first curves", start.click, lambda: app.cell.locator(".gru-plot .scatterlayer").count())
    lab.wait_for_function("document.body.innerText.includes('lab/chorales/gru-1 finished epoch 5 of 5')")
    app.control("rnn").fill("tanh")
    app.control("epoch").fill("3000")
    start.click()
    lab.wait_for_function("/tanh-1 training epoch \\d+/.test(document.body.innerText)")
    lab.wait_for_function("[...document.querySelectorAll('.js-plotly-plot')].some(e => e.data.length == 8 && /tanh-1/.test(e.data[7].name))")  # two runs overlaid, training and validation in two panels
    lab.wait_for_function("[...document.querySelectorAll('.js-plotly-plot')].some(e => /Expected by tanh-100/.test(JSON.stringify(e._fullLayout.annotations.map(a => a.text))))")
    line = app.cell.locator(".jupyter-widgets", has_text="tanh-1 ").last
    app.waits("train: pause", app.cell.get_by_role("button", name="Pause").last.click, lambda: "paused" in app.cell.inner_text())
    lab.wait_for_timeout(2000)  # the epoch that is under way is finished first
    told = re.search(r"tanh-1 paused epoch (\d+)", app.cell.inner_text())[1]
    lab.wait_for_timeout(1000)
    assert re.search(r"tanh-1 paused epoch (\d+)", app.cell.inner_text())[1] == told and line.is_visible()
    app.cell.get_by_role("button", name="Resume").last.click()
    lab.wait_for_function(f"+/tanh-1 training epoch (\\d+)/.exec(document.body.innerText)?.[1] > {told}")
    app.shot("train")
    app.waits("train: stop", app.cell.get_by_role("button", name="Stop").last.click, lambda: "tanh-1 stopped" in app.cell.inner_text())
    assert (lab.home / "exp/lab/chorales/tanh-1/checkpoint.pt").exists() and (lab.home / "log/lab/chorales/gru-1/metrics.csv").read_text().count("\n") == 6
    app.control("lr").fill("-1")
    start.click()
    lab.wait_for_function("/lr: found/.test(document.body.innerText)")


def test_compose(lab):
    app = AppOnPage(lab, "Compose()")
    button, before = app.cell.get_by_role("button", name="Compose"), app.plot(0).evaluate("e => JSON.stringify(e.data[0].z)")
    assert app.title(0).startswith("From nothing")
    app.cell.get_by_role("button", name="harmonise the piece").click()
    app.waits("compose: harmonise 64 beats", button.click, lambda: app.title(0).startswith("Harmonise"))
    app.cell.get_by_role("button", name="continue the piece").click()
    app.slide("temperature", 0.8)
    app.waits("compose: continue", button.click, lambda: app.title(0).startswith("Continue"))
    assert app.plot(0).evaluate("e => JSON.stringify(e.data[0].z)") != before
    assert app.cell.locator("a[download]").evaluate_all("e => e.map(a => a.download.split('.').pop())") == ["wav", "mid", "npz"]
    kept = []
    for link in app.cell.locator("a[download]").all():
        with lab.expect_download() as download: link.click()
        kept.append(Path(download.value.path()).read_bytes())
    assert [k[:4] for k in kept] == [b"RIFF", b"MThd", b"PK\x03\x04"] and len(kept[0]) == 44 + 2*22050*64*60//96
    app.shot("compose")


def test_look_inside(lab):
    app = AppOnPage(lab, "LookInside()")
    units = lambda: app.plot(0).evaluate("e => e.data[1].y.join()")
    panels = lambda: app.plot(0).evaluate("e => e._fullLayout.annotations.map(a => a.text).join()")
    before = units()
    assert "Reset gate" in panels() and "Update gate" in panels()
    app.waits("inside: sort by time constant", lambda: app.control("sort by").select_option("time constant"), lambda: units() != before)
    app.waits("inside: another model", lambda: app.control("model").select_option("pretrained/chorales/lstm"), lambda: "Forget gate" in panels())
    lines = app.plot(2).evaluate("e => e.data.filter(d => d.name).map(d => d.line.color)")
    assert len(set(lines)) >= 3 and "#009E73" in lines  # tanh, LSTM and GRU side by side
    app.shot("inside")


def test_compare(lab):
    app = AppOnPage(lab, "Compare()")
    app.cell.get_by_role("button", name="Look for new runs").click()
    assert "Markov baseline" in app.cell.inner_text() and "verdict" in app.cell.inner_text() and "seconds" in app.cell.inner_text()
    lab.wait_for_function("[...document.querySelectorAll('option')].some(o => o.textContent == 'lab/chorales/gru-1')")
    app.waits("compare: another set of runs", lambda: app.control("runs").select_option(["pretrained/chorales/gru", "lab/chorales/gru-1"]), lambda: "(lab/chorales/gru-1)" in app.title(1))
    assert "there is no verdict" in app.cell.inner_text()  # the two differ in their settings too
    dot = app.plot(1).locator(".scatterlayer .trace").last.locator(".point").nth(7)
    dot.scroll_into_view_if_needed()
    box = dot.bounding_box()
    app.waits("compare: a piece", lambda: lab.mouse.click(box["x"] + box["width"]/2, box["y"] + box["height"]/2), lambda: app.cell.locator("audio").count())
    app.plot(2).locator(".heatmaplayer image").nth(2).wait_for()
    app.shot("compare")


def test_translate(lab):
    app = AppOnPage(lab, "Speak()")
    app.control("sentence").fill("Eine Frau liest ein Buch.")
    app.waits("translate: a sentence", lambda: app.control("sentence").press("Enter"), lambda: "A woman is reading a book." in app.cell.inner_text())
    app.waits("translate: another map", lambda: app.control("map of").select_option("pretrained/captions_de_en/lstm"), lambda: "lstm" in app.title(0))
    assert app.plot(0).locator(".heatmaplayer image").count() == 1
    app.control("sentence").fill("Ein Wal liest ein Buch.")
    named = lambda: "not in its vocabulary" in app.cell.inner_text() and "Wal" in app.cell.inner_text()
    app.waits("translate: an unknown word", lambda: app.control("sentence").press("Enter"), named)
    app.shot("translate")


def test_own_cell(lab):
    app = AppOnPage(lab, 'Train(rnn="mgu"')
    app.control("epoch").fill("2")
    app.cell.get_by_role("button", name="Start").click()
    lab.wait_for_function("document.body.innerText.includes('mgu-1 finished epoch 2 of 2')", timeout=120_000)
    assert "mgu-62" in json.dumps(app.plot(0).evaluate("e => e.data.map(d => d.name)"))
    app.shot("own cell")
