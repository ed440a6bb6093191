"""The documentation site: built without a warning, every link leads somewhere, and in a real browser without network.

The site is built once. Only some pages are executed, which has no bearing on what is looked at here; `make docs`
executes all. GRU_STUDY_SITE names a site that is built already, such as _docs/html.
"""
import gzip
import os
import re
import subprocess
import sys
from functools import cache, partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from conftest import ROOT, SOAK, drawn, open_page
from playwright.sync_api import expect

EXECUTED = re.search("^SITE := (.*)", (ROOT / "Makefile").read_text(), re.M)[1].split()  # make test runs the others


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    "The folder of the built site; a warning of Sphinx is an error"
    if built := os.environ.get("GRU_STUDY_SITE"): return Path(built).resolve()
    work = tmp_path_factory.mktemp("docs")
    words = [sys.executable, ROOT / "docs/build.py", "--work", work, "--execute", *(f"*/{name}" for name in EXECUTED)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0 and "WARNING: " not in done.stderr, done.stderr[-5000:]
    return work / "html"


@pytest.fixture(scope="module")
def address(site):
    "The site on this machine's own address"
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


class Page(HTMLParser):
    "What a page links to and loads, and what can be linked to"
    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.ids = [], [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, pairs):
        attrs = dict(pairs)
        self.ids.add(attrs.get("id"))
        if tag == "a" and "href" in attrs: self.links.append(attrs["href"])
        if tag == "link" and attrs.get("rel") in ("stylesheet", "icon", "preload"): self.loaded.append(attrs["href"])
        if tag in ("script", "img", "audio", "iframe") and "src" in attrs: self.loaded.append(attrs["src"])


def pages(site): return sorted(p for p in site.rglob("*.html") if "_static" not in p.parts)


def test_every_part_is_there(site):
    names = {str(p.relative_to(site)) for p in pages(site)}
    modules = {p.stem[3:] for p in (ROOT / "nbs").glob("[0-9]*.ipynb")}
    notes = {f"docs/{p.stem}.html" for p in (ROOT / "nbs/docs").glob("*.ipynb") if p.stem != "home"}
    assert {f"{m}.html" for m in modules} | notes <= names
    experiments = {f"experiments/{p.stem}.html" for p in (ROOT / "nbs/experiments").glob("*.ipynb")}
    assert {"index.html", "find.html", "start.html"} | experiments <= names
    text = (site / "cells.html").read_text()
    for part in ('id="gru_study.cells.lstm_paper"', "/blob/main/gru_study/cells.py#L", "/blob/main/nbs/03_cells.ipynb"):
        assert part in text


def test_search_of_pages_that_are_files(site, browser):
    "Pages are found, without a word of what a browser forbids"
    tab = open_page(browser, f"{(site / 'find.html').as_uri()}?q=weight_noise")
    found = tab.locator("#search-results li a")
    found.first.wait_for()
    tab.get_by_text("Search finished").first.wait_for()
    assert "All flags" in found.all_text_contents()
    assert not tab.complaints


def test_internal_links(site):
    "Every link within the site leads to a file, and to a place in it where it names one; nothing loads from elsewhere"
    parsed = {p: Page(p) for p in pages(site)}
    broken = []
    for path, page in parsed.items():
        for url in page.links + page.loaded:
            parts = urlsplit(url)
            if parts.scheme == "data": continue
            if parts.scheme or parts.netloc:
                if url in page.loaded: broken.append((path.name, url))
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file() or (parts.fragment and target in parsed
                    and unquote(parts.fragment) not in parsed[target].ids):
                broken.append((path.name, url))
    assert not broken
    assert sum(len(p.links) for p in parsed.values()) > 3000


def test_what_nbdev_calls_pages_and_names_is_there(site):
    "Other sites link to these addresses"
    from gru_study._modidx import d
    named = {address for names in d["syms"].values() for address, _ in names.values()}
    assert len(named) > 1000
    ids = {page: Page(site / page).ids for page in {a.partition("#")[0] for a in named}}
    assert [a for a in sorted(named) if a.partition("#")[2] not in ids[a.partition("#")[0]]] == []


def test_a_notebook_is_launched_where_it_can_be(site, monkeypatch):
    "A link beside the notebook's, from settings.ini; none while the repository is not public"
    monkeypatch.syspath_prepend(ROOT / "docs")
    from build import SETTINGS, launch
    assert launch("03_cells", SETTINGS | dict(public="False")) == ""
    project = dict(public="True", git_url="https://github.com/some/body", branch="dev")
    assert launch("03_cells", project) == ("[run it in Binder]"
        "(https://mybinder.org/v2/gh/some/body/dev?urlpath=lab%2Ftree%2Fnbs%2F03_cells.ipynb)")
    assert ("mybinder.org" in (site / "cells.html").read_text()) == (SETTINGS["public"] == "True")


def text_of(output):
    "What a reader sees of an output, a figure in words"
    data = output.get("data", {})
    told = re.sub("<style.*?</style>|<[^>]+>", "", data.get("text/html", ""), flags=re.S)  # a style has a random name
    return output.get("text") or data.get("text/markdown") or told


def test_stored_outputs_are_current(site, monkeypatch):
    "They are of the cells and of the recorded results as these are now, small, without errors; the summary's like new"
    monkeypatch.syspath_prepend(ROOT / "docs")
    from build import STORED, code_cells, origin
    notebooks = {page: nbformat.read(ROOT / f"nbs/{page}.ipynb", 4) for page in STORED}
    for page, nb in notebooks.items():
        assert nb.metadata.get("outputs_of") == origin(page, nb), f"{page}: python docs/build.py --store, make export"
        outputs = [o for c in code_cells(nb) for o in c.outputs]
        assert outputs and not any("plotly" in kind for o in outputs for kind in o.get("data", {}))
        told = [t for o in outputs if len(t := "".join(o.get("data", {}).get("text/markdown", ""))) > 100]
        assert len(told) == len({*told}), f"{page} says something twice"
    assert sum((ROOT / f"nbs/{page}.ipynb").stat().st_size for page in STORED) < 2e6
    page = "experiments/summary"
    new = nbformat.read(site.parent / f"executed/{page}.ipynb", 4)
    for old, cell in zip(code_cells(notebooks[page]), code_cells(new), strict=True):
        assert [*map(text_of, old.outputs)] == [*map(text_of, cell.outputs)], cell.source


def test_words_lead_to_the_glossary(site):
    "Each once on a page, from prose alone; all that the notebook has are there, with a sentence and where it is taught"
    rows = re.findall(r"^\| (.+?) \| .+\. \| \[\w+\]\(.+\) \|$", "\n".join(
        c.source for c in nbformat.read(ROOT / "nbs/docs/glossary.ipynb", 4).cells), re.M)
    places = {"term-" + re.sub("[^a-z]+", "-", word.lower().replace("'", "")) for word in rows}
    assert len(places) == len(rows) > 50 and places <= Page(site / "docs/glossary.html").ids
    led = {p: [l.partition("#")[2] for l in Page(p).links if "glossary.html#" in l] for p in pages(site)}
    assert all(len(set(words)) == len(words) for words in led.values()) and set().union(*led.values()) <= places
    assert "term-piano-roll" in led[site / "rolls.html"] and "term-gate" in led[site / "cells.html"]
    for p in led:
        wrong = r'<(h[1-6]|code|dt|pre|table)\b(?:(?!</\1>).)*?<a class="word'
        assert not re.search(wrong, p.read_text(), re.S), p.name


def test_plotly_only_where_a_figure_is(site):
    for path in pages(site):
        text = path.read_text()
        assert ("plotly.min.js" in text) == ('class="plotly"' in text), path.name
    assert 'class="plotly"' in (site / "experiments/summary.html").read_text()


def visit(browser, address, width=390, scheme="light"):
    "A browser's tab that knows only the site, and notes every complaint and what was loaded"
    tab = browser.new_context(viewport=dict(width=width, height=900), color_scheme=scheme).new_page()
    tab.complaints, tab.loaded = [], set()
    tab.on("console", lambda m: tab.complaints.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda e: tab.complaints.append(str(e)))
    tab.on("requestfailed",
        lambda r: tab.complaints.append(f"failed: {r.url}") if "ERR_ABORTED" not in r.failure else None)
    tab.on("response", lambda r: tab.loaded.add(r.url) if r.ok or r.status == 304
        else tab.complaints.append(f"{r.status}: {r.url}"))
    tab.route(lambda url: not url.startswith((address, "data:", "blob:")),
        lambda route: (tab.complaints.append(f"another host: {route.request.url}"), route.abort()))
    return tab


def test_every_page_on_a_phone(site, address, browser):
    "No console error, no failed request, no request to another host; nothing hangs over; under 3 MB compressed"
    size = cache(lambda url: len(gzip.compress((site / unquote(urlsplit(url).path[1:])).read_bytes(), 6)))
    tab, heaviest = visit(browser, address), (0, "")
    for path in pages(site):
        name = str(path.relative_to(site))
        tab.loaded.clear()
        tab.goto(address + name)
        tab.evaluate("window.MathJax?.startup?.promise")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390, name
        assert tab.complaints == [], name
        heaviest = max(heaviest,
            (sum(size(u) for u in tab.loaded if u.startswith(address) and not u.endswith("/")), name))
    print(f"heaviest page: {heaviest[1]}, {heaviest[0]/1e6:.2f} MB")
    assert heaviest[0] < 3e6


def test_a_wide_table_keeps_its_first_column(address, browser):
    tab = visit(browser, address, 390)
    tab.goto(address + "experiments/summary.html")
    box = tab.locator("#the-table .text_html:has(table)").first
    cells = [box.locator("tbody tr").first.locator("td").nth(i) for i in (0, -1)]
    before = [cell.bounding_box()["x"] for cell in cells]
    box.evaluate("box => box.scrollLeft = 1e4")
    after = [cell.bounding_box()["x"] for cell in cells]
    assert after[0] == before[0] < after[1] < 390 < before[1]


def test_search_finds_peephole(address, browser):
    tab = visit(browser, address, 1280)
    tab.goto(address + "index.html")
    tab.keyboard.press("Control+k")
    tab.keyboard.type("peephole")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#search-results li a >> text=Cells")
    tab.wait_for_selector("#search-results p.context")
    tab.goto(address + "find.html?q=curves+equal+rules")  # which the page's list of contents holds, too
    told = tab.locator("#search-results li", has_text="GRU, LSTM and tanh compared").locator("p.context")
    assert "Equal size, by two rules One piece, every network" not in re.sub(r"\s+", " ", told.inner_text())
    assert tab.complaints == []


def test_a_figure_zooms_and_shows_hover_and_the_theme_changes(address, browser):
    tab = visit(browser, address, 1280)
    tab.goto(address + "experiments/summary.html#learning-curves")
    figure = tab.locator("#learning-curves .plotly").first
    figure.scroll_into_view_if_needed()
    tab.wait_for_selector("#learning-curves .plotly .scatterlayer .trace")
    tab.wait_for_timeout(300)
    box = figure.locator(".scatterlayer .trace .point:visible").first.bounding_box()
    x, y = box["x"] + box["width"]/2, box["y"] + box["height"]/2
    tab.mouse.move(x - 4, y, steps=3)
    tab.mouse.move(x, y, steps=3)
    tab.wait_for_selector(".hoverlayer .hovertext")
    assert re.search(r"epoch \d+, .*NLL \d+\.\d{4}", figure.locator(".hoverlayer").text_content())

    layout = lambda what: tab.evaluate(f"document.querySelector('#learning-curves .js-plotly-plot')._fullLayout.{what}")
    before = layout("xaxis2.range")
    tab.mouse.down()
    tab.mouse.move(x - 90, y - 60, steps=8)
    tab.mouse.up()
    tab.wait_for_function(
        f"document.querySelector('#learning-curves .js-plotly-plot')._fullLayout.xaxis2.range[0] != {before[0]}")

    light, paper = layout("font.color"), tab.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.locator("button.theme-switch-button:visible").first.click()
    tab.locator("button.theme-change-button[data-mode=dark]:visible").click()
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    tab.wait_for_function(
        f"document.querySelector('#learning-curves .js-plotly-plot')._fullLayout.font.color != '{light}'")
    tab.wait_for_function(f"getComputedStyle(document.body).backgroundColor != '{paper}'")
    assert layout("xaxis2.range") != before  # the zoom is kept
    assert tab.complaints == []


@pytest.mark.parametrize("page", ["index.html", "experiments/summary.html"])
@pytest.mark.parametrize("width,scheme", [(1400, "light"), (420, "dark"),
    *(pytest.param(*view, marks=SOAK) for view in ((1400, "dark"), (420, "light")))])
def test_anybody_can_read_a_page(address, browser, page, scheme, width):
    "axe-core finds nothing serious; figures are said in words, and stand on no slab of their own"
    tab = visit(browser, address, width, scheme)
    tab.goto(address + page)
    figures = drawn(tab)
    assert tab.complaints == []  # axe-core asks for style sheets in places of its own
    found = pytest.importorskip("axe_playwright_python.sync_playwright").Axe().run(tab).response
    assert [(v["id"], v["impact"]) for v in found["violations"] if v["impact"] in ("serious", "critical")] == []
    assert len(found["passes"]) > 10 and figures == (6 if "summary" in page else 1)
    assert all("axis: " in t for t in tab.locator(".main-svg[role=img]").evaluate_all("l => l.map((e) => e.ariaLabel)"))
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme, width", [("light", 1400), ("dark", 390)])
def test_networks_play_in_the_page(address, browser, tmp_path, scheme, width):
    "Compose, go on, harmonise, hear, play along, guess; translate, with an unknown word; nothing serious for axe-core"
    tab = visit(browser, address, width, scheme)
    tab.goto(address + "docs/play.html")
    compose = tab.locator("[data-app=compose]")
    compose.locator(".gru-drawn svg").wait_for()
    choice = lambda name: compose.get_by_role("combobox", name=name, exact=True)
    network, way, chorale = map(choice, ("network", "what it does", "piece"))
    rolls = compose.locator(".gru-drawn")
    said = lambda: rolls.evaluate_all("l => l.map((c) => c.ariaLabel)")
    twice = "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))"
    drawn = lambda: tab.evaluate(f"new Promise((done) => {twice})")  # an answer is given in the frame after what asks
    compose.get_by_label("the three cells").check()
    expect(rolls).to_have_count(3)
    assert [label.split(":")[0] for label in said()] == [f"Piano roll of {c}" for c in ("GRU", "LSTM", "tanh")]
    first = rolls.first.inner_html()
    compose.get_by_text("Another").click()
    drawn()
    assert rolls.first.inner_html() != first
    compose.get_by_label("the three cells").uncheck()
    network.select_option("LSTM")
    assert not chorale.is_visible()
    way.select_option("go on from a beginning")
    compose.get_by_label("beats given").fill("12")
    drawn()
    assert len(said()) == 1 and said()[0].startswith("Piano roll of LSTM: 48 beats, ")
    way.select_option("harmonise a melody")
    chorale.select_option(index=5)
    drawn()
    assert said()[0].startswith("Piano roll of LSTM: 32 beats, ")  # as long as that chorale
    compose.get_by_text("▶ Play").click()
    tab.wait_for_function("parseFloat(document.querySelector('.gru-roll-head').style.left) > 50")
    assert compose.locator(".gru-units span").count() == 6 * 36 and compose.locator(".gru-sounds").count() > 0
    equations = compose.locator(".gru-equation")
    assert [e.partition(" = ")[0] for e in equations.all_inner_texts()] == [
        "forget", "input", "candidate", "c′", "output", "h′"]
    compose.get_by_text("■ Stop").click()
    assert not compose.locator(".gru-roll-head").is_visible()
    line = compose.locator(".gru-line").nth(1)
    line.evaluate("e => e.scrollIntoView({block: 'center'})")
    line.locator("em").first.hover()
    assert compose.locator("em.gru-lit").all_inner_texts() == ["input", "input"]  # its own line, and its use

    grey, made = (compose.locator(f"rect[fill='{c}' i]") for c in ("#8a9099", "#d55e00"))
    melody, below = grey.count(), made.evaluate_all("l => l.map((r) => r.outerHTML)")
    rolls.focus()
    for _ in range(12): tab.keyboard.press("Shift+ArrowRight")
    for _ in range(9): tab.keyboard.press("ArrowRight")
    compose.get_by_role("button", name="Compose beats 10 to 21 anew").click()
    drawn()
    now = made.evaluate_all("l => l.map((r) => r.outerHTML)")
    assert grey.count() == melody and now != below and len({*now} & {*below}) > 10  # the melody and the rest stay

    compose.get_by_role("button", name="C4", exact=True).click()
    for letter in "dg": tab.keyboard.press(letter)
    drawn()
    assert said()[0].startswith("Piano roll of LSTM: 3 beats, ") and grey.count() == 3  # it harmonises what is played
    way.select_option("go on from a beginning")
    drawn()
    assert said()[0].startswith("Piano roll of LSTM: 51 beats, ")
    assert grey.evaluate_all("l => l.map((r) => r.textContent)") == [
        f"{n}, beats {t} to {t}, given" for n, t in (("C4", 1), ("E4", 2), ("G4", 3))]
    compose.get_by_text("Take the last chord back").click()
    drawn()
    assert grey.count() == 2
    compose.locator("summary").click()
    with tab.expect_download() as kept: compose.get_by_role("button", name="MIDI", exact=True).click()
    assert kept.value.suggested_filename == "LSTM goes on from what was played, temperature 1, seed 3.mid"
    compose.locator("input[type=file]").set_input_files(kept.value.path().rename(tmp_path / "mine.mid"))
    expect(chorale).to_have_value("file: mine.mid")
    drawn()
    assert grey.count() >= 8  # of it the first beats are given
    (tmp_path / "no.mid").write_bytes(b"MThd")
    compose.locator("input[type=file]").set_input_files(tmp_path / "no.mid")
    tab.wait_for_selector(".gru-status >> text=this file cannot be read as MIDI: it ends too early")

    blind = tab.locator("[data-app=blind]")
    blind.scroll_into_view_if_needed()
    blind.get_by_text("▶ Hear B").click()
    blind.get_by_text("■ Stop").first.click()
    blind.get_by_text("▶ Hear B").click()
    assert blind.locator(".gru-drawn").count() == 0  # nothing is to be seen yet
    blind.get_by_text("A is the composer's").click()
    assert blind.locator(".gru-drawn").count() == 2
    right = blind.locator(".gru-verdict").text_content().startswith("Right: A is bwv")
    assert f"{int(right)} of 1 right; who guesses does as well or better" in blind.text_content()
    assert ("with a probability of 50 %" if right else "of 100 %") in blind.text_content()

    translate = tab.locator("[data-app=translate]")
    translate.scroll_into_view_if_needed()
    sentence = translate.locator(".gru-sentence")
    sentence.wait_for()
    assert sentence.text_content() == "The clown who is dancing with the policeman is sitting by the window."
    translate.get_by_text("Ein Zebra schläft").click()
    translate.locator("mark").wait_for()
    assert translate.locator("mark").text_content() == "Zebra"
    translate.get_by_label("a German caption").fill("  ")
    translate.get_by_role("button", name="Translate").click()
    tab.wait_for_selector(".gru-status >> text=write a sentence first")
    assert tab.complaints == []
    found = pytest.importorskip("axe_playwright_python.sync_playwright").Axe().run(tab).response
    assert [(v["id"], v["impact"]) for v in found["violations"] if v["impact"] in ("serious", "critical")] == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_networks_play_without_a_server(site, browser):
    "The same page opened as a file, without network; how long an answer takes is printed"
    tab = open_page(browser, (site / "docs/play.html").as_uri())
    tab.wait_for_selector("[data-app=compose] .gru-drawn svg")
    slider = tab.get_by_label("temperature")
    took = []
    for value in ("0.4", "0.6", "0.8", "1"):
        before = tab.locator("[data-app=compose]").get_attribute("data-answers")
        slider.fill(value)
        tab.wait_for_function(f"document.querySelector('[data-app=compose]').dataset.answers > {before}")
        took.append(int(tab.locator("[data-app=compose]").get_attribute("data-milliseconds")))
    heard, answered = [], "document.querySelector('.gru-drawn').ariaLabel"
    tab.get_by_role("button", name="C4", exact=True).focus()
    for beats, letter in enumerate("adgk", 49):
        tab.keyboard.press(letter)
        tab.wait_for_function(f"{answered}.startsWith('Piano roll of GRU: {beats} beats, ')")
        heard.append(int(tab.locator("[data-app=compose]").get_attribute("data-milliseconds")))
    tab.locator("[data-app=translate]").scroll_into_view_if_needed()
    tab.wait_for_selector(".gru-sentence")
    print(f"from slider to roll: {took} ms; from key to answer: {heard} ms; a translation: "
        + tab.locator("[data-app=translate]").get_attribute("data-milliseconds") + " ms")
    assert tab.complaints == []


def test_mathematics_is_drawn(address, browser):
    tab = visit(browser, address, 1280)
    tab.goto(address + "cells.html")
    tab.wait_for_selector("mjx-container mjx-math")
    assert tab.locator("mjx-container").count() > 20 and tab.locator("mjx-merror").count() == 0
    assert any("mathjax/output/chtml/fonts" in u for u in tab.loaded) and tab.complaints == []


def test_the_architecture_is_that_of_the_imports(site, address, browser):
    "As many modules as notebooks, each a link to its page; pointing at one shows its imports"
    tab = visit(browser, address, 1280)
    tab.goto(address + "docs/architecture.html")
    modules = [p.stem.split("_", 1)[1] for p in (ROOT / "nbs").glob("[0-9]*.ipynb")]
    assert tab.locator("svg.modules a").count() == len(modules)
    tab.locator("#module-kernels").hover()
    edge = "getComputedStyle(document.querySelector('.edge.from-kernels')).opacity"
    assert tab.evaluate(edge) == "1"
    names = tab.locator("svg.calls text").all_text_contents()
    path = ["fit", "load_music", "MusicLM", "collect", "study_text"]
    assert [n for n in names if n in path] == path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_architecture_is_read_on_a_phone_and_in_words(address, browser, scheme):
    "No letter smaller than 8 pixels nor beyond its box, arrows down only, every module said in words"
    tab = visit(browser, address, 420, scheme)
    tab.goto(address + "docs/architecture.html")
    svg = tab.locator("svg.modules")
    scale = svg.bounding_box()["width"]/400
    assert scale <= 1 and scale*9.5 > 8 and tab.evaluate("document.documentElement.scrollWidth") <= 420
    inside = "l => l.every(a => a.querySelector('text').getBBox().width < a.querySelector('rect').getBBox().width)"
    assert svg.locator("a").evaluate_all(inside)
    at = "p.getPointAtLength(0).y, p.getPointAtLength(p.getTotalLength()).y"
    ends = svg.locator("path.edge").evaluate_all(f"l => l.map(p => [{at}])")
    assert len(ends) > 100 and all(a < b for a, b in ends)
    modules = {p.stem.split("_", 1)[1] for p in (ROOT / "nbs").glob("[0-9]*.ipynb")}
    words = tab.locator("details:has(ol) li").all_text_contents()
    assert {w.split(",")[0] for w in words} == modules and all(" lines, imports " in w for w in words)
    assert tab.complaints == []  # axe-core asks for style sheets in places of its own
    found = pytest.importorskip("axe_playwright_python.sync_playwright").Axe().run(tab).response
    assert [(v["id"], v["impact"]) for v in found["violations"] if v["impact"] in ("serious", "critical")] == []
