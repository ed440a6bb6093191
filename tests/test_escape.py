"Names of files, pieces, runs and cells, sentences and messages are text on every page: none is live, all are shown."
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import nbformat
import numpy as np
import plotly.graph_objects as go
import pytest
from conftest import CHROMIUM, drawn, jupyterlab, open_page
from nbconvert import HTMLExporter

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")

NAME = "<img src=x onerror=alert(1)> $x$ &lt;b&gt; [a](javascript:0)"  # of files and folders: no slash
HOSTILE = [NAME, "<script>alert(2)</script>", '"><svg onload=alert(3)>', "[a](javascript:alert(4))",
           "![x](http://127.0.0.1:9/x.png)", "https://example.org/bare", r"$\alert$ \(y\) \begin{align}z\end{align}",
           "</script><script>alert(5)</script>", "%{x} %{y}", "&lt;i&gt; &amp;",
           "</style><style>body { display: none }</style>", '<a href="http://127.0.0.1:9/">y</a>',
           "**e** _f_ `g` ~~h~~ | i", "- # j",
           '<meta http-equiv="refresh" content="0;url=http://127.0.0.1:9/">', "<iframe src=javascript:alert(6)>"]
SENTENCES = [t for t in HOSTILE if len(t.split()) < 5]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    "A study home in which everything that can be named is named by markup"
    from gru_study.files import write_file
    from gru_study.experiment import Experiment, Search
    from gru_study.rolls import MusicData
    from gru_study.search import search
    from gru_study.sets import to_npz
    from gru_study.train import fit

    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRU_STUDY_HOME", str(home))
        patch.setenv("OMP_NUM_THREADS", "1")
        rng = np.random.default_rng(0)
        pieces = lambda n: [np.eye(88, dtype=np.uint8)[rng.integers(30, 50, 16)] for _ in range(n)]
        data = MusicData("any", pieces(6), pieces(2), pieces(len(HOSTILE)), names={"test": HOSTILE})
        write_file(home / f"{NAME}.npz", to_npz(data))
        lines = "".join(f"{t} {i}\n" for i in range(12) for t in SENTENCES)
        for language in ("de", "en"): write_file(home / f"{NAME}.{language}", lines)
        common = dict(data=str(home / f"{NAME}.npz"), epoch=2, hidden=3, lr=0.01)
        for i, text in enumerate(HOSTILE[:5]):
            result = fit(Experiment(**common, seed=i, save_dir=f"music/{i} {NAME}"))
            first = dict(summary=" ".join(HOSTILE))
            result.run.write_json("result.json", result.facts | (dict(cell=text) if i else first))
        del common["lr"]
        found = search(Search(**common, trials=2, seeds=1, workers=1, save_dir="music/search"))
        first, *trials = found["trials"]
        lost = first | dict(state="diverged", valid_nll=None, message=" ".join(HOSTILE))
        found.run.write_json("search_result.json", found.facts | dict(trials=[lost, *trials]))
        tiny = dict(task="translate", data=str(home / f"{NAME}_de_en"), epoch=1, hidden=8, emb=8, beam=1, min_freq=1)
        result = fit(Experiment(**tiny, save_dir=f"text/{NAME}"))
        said = {test: (SENTENCES*len(lines))[:len(lines)] for test, lines in result["translations"].items()}
        result.run.write_json("result.json", result.facts | dict(cell=HOSTILE[2], translations=said))
        yield home


LIVE = """() => [...document.querySelectorAll(`img[src='x'], [src*='127.0.0.1:9'], svg[onload], [onerror],
    mjx-container, script, iframe[src^='javascript'], meta[http-equiv='refresh'], a[href^='javascript'],
    a[href^='http://127.0.0.1:9'], a[href*='example.org']`)]
    .filter((e) => e.localName != "script" || /^alert/.test(e.textContent)).map((e) => e.outerHTML.slice(0, 200))"""
SHOWN = """(e) => [...e.querySelectorAll("title, td, th, li, p, h1, option, text, figcaption, .widget-html-content")]
    .map((e) => e.textContent)"""


def watched(browser, url, **options):
    "A page, with all dialogs and requests that its texts have caused"
    page = open_page(browser, url, **options)
    page.dialogs = []
    page.on("dialog", lambda d: (page.dialogs.append(d.message), d.dismiss()))
    page.reload()  # what it says while it loads is heard, too
    return page


def plain(text):
    "As a reader sees it: spaces are spaces"
    return " ".join(text.split())


def check(page, *texts, at=None):
    "Nothing is live, and each text is shown as it was written, in a part of the page or anywhere"
    assert page.evaluate(LIVE) == [] and page.dialogs == []
    shown = plain(" ¶ ".join((at or page.locator("html")).evaluate(SHOWN)))
    assert [t for t in texts if plain(t) not in shown] == []


def hovered(page, figure, curve, point):
    "What a figure tells of a point"
    plot = page.locator(".js-plotly-plot").nth(figure)
    plot.evaluate("(e, at) => Plotly.Fx.hover(e, [at])", dict(curveNumber=curve, pointNumber=point))
    page.wait_for_selector(".hoverlayer .hovertext")
    return plain(plot.locator(".hoverlayer").text_content())


def test_report(home, browser):
    from gru_study.colours import in_figure
    from gru_study.report import make_report
    page = watched(browser, make_report().as_uri())
    drawn(page)
    check(page, *(f"{t}-3" for t in HOSTILE[1:5]), " ".join(HOSTILE), f"{NAME}, test): what came")
    lost = page.evaluate("document.querySelectorAll('.js-plotly-plot')[2].data[0].marker.symbol").index("x")
    assert plain(" ".join(HOSTILE)) in hovered(page, 2, 0, lost)
    models = page.evaluate("document.querySelectorAll('.js-plotly-plot')[1].data.map((t) => t.name)")
    assert f"{HOSTILE[1]}-3, seed 1" in hovered(page, 1, models.index(in_figure(f"{HOSTILE[1]}-3")), 0)
    check(page)
    assert page.title() == "gru-study: report" and page.complaints == [] and page.requests == []


def test_report_of_translations(home, browser):
    from gru_study.report import make_report
    page = watched(browser, make_report(task="translate").as_uri())
    drawn(page)
    check(page, f"{NAME}_de_en", f"{HOSTILE[2]}-8", f"Learning curves on {NAME}_de_en")
    assert page.complaints == [] and page.requests == []


@pytest.mark.parametrize("notebook", ["music_lm", "translate"])
def test_pages_of_runs(home, browser, notebook):
    from gru_study.sweep import sweep
    music = notebook == "music_lm"
    name, small = (f"{NAME}.npz", {}) if music else (f"{NAME}_de_en", dict(emb=8, min_freq=1, beam=1))
    values = dict(data=str(home / name), hidden=8, epoch=1, **small)
    (folder, outcome), = sweep(notebook, {k: [v] for k, v in values.items()}, 1, f"page {NAME}").items()
    assert outcome.state == "done", outcome
    page = watched(browser, (home / "exp" / folder / f"{notebook}.html").as_uri())
    drawn(page)
    check(page, f"gru-8 on {name.removesuffix('.npz')}: learning curves")
    check(page, *([f"{NAME} ({NAME}, test) and what"] if music else [f"{t} 0" for t in SENTENCES[:2]]))
    assert page.title() == folder and page.complaints == [] and page.requests == []


def test_pictures_in_the_pages_of_others(browser, tmp_path):
    "What nbconvert shows of a figure: an image, and words as they were written"
    from gru_study.pictures import outputs
    from gru_study.colours import in_figure
    fig = go.Figure([go.Scatter(y=[1, 2], name=in_figure(t)) for t in HOSTILE], dict(title=in_figure(NAME)))
    fig.add_annotation(text=in_figure(HOSTILE[1]), x=0, y=1, xref="paper", yref="paper")
    kept = nbformat.v4.new_output("display_data", outputs(json.loads(fig.to_json())))
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[kept])])
    (tmp_path / "x.html").write_text(HTMLExporter().from_notebook_node(nb)[0])
    page = watched(browser, (tmp_path / "x.html").as_uri())
    assert page.evaluate(LIVE) == [] and page.dialogs == []
    alt = page.locator("main img").get_attribute("alt")
    assert [t for t in (NAME, *HOSTILE[:12]) if plain(t) not in plain(alt)] == []
    assert page.locator("main img").evaluate("(e) => e.naturalWidth") == 900


LAB = """
from gru_study.beam import Translation
from gru_study.browse import Browse
from gru_study.compare import Compare, finished
from gru_study.look import LookInside
from gru_study.page import in_markdown, styled
from gru_study.play import Compose
from gru_study.watch import Train
browse = Browse("NAME.npz")
browse.controls["piece"].index = 1
browse
###
compare = Compare()
ours = [run for run in finished("music_lm") if run.startswith("music/")]
compare.controls["runs"].value = [run for run in ours if "search" not in run]
compare.open_piece(2)
compare
###
inside = LookInside()
inside.controls["run"].value = "music/0 NAME"
inside
###
Compose()
###
import gru_study.sentences
import numpy as np
said = Translation(HOSTILE, HOSTILE[:2], " ".join(HOSTILE), -1., np.ones((2, len(HOSTILE))))
gru_study.sentences.said_by = lambda names, sentence, beam: dict.fromkeys(names, said)
speak = gru_study.sentences.Speak(" ".join(HOSTILE))
speak.controls["runs"].value = ["text/NAME"]
speak
###
train = Train(data="NAME.npz", epoch=1, hidden=3)
train.add()
train.runs[0].training.thread.join()
train.form.fields["lr"].value = " ".join(HOSTILE)
train.add()
train
###
from IPython.display import Markdown, display
for text in HOSTILE: display(Markdown(f"- **{in_markdown(text)}**, {in_markdown(text)}"))
###
import pandas as pd
styled(pd.DataFrame([HOSTILE], columns=HOSTILE))
"""


@pytest.fixture
def cells(home, browser, tmp_path):
    "The page of a notebook in JupyterLab that has shown hostile text in every app; the outputs of its cells"
    code = LAB.replace("HOSTILE", repr(HOSTILE)).replace("NAME", NAME).split("###\n")
    kernel = dict(kernelspec=dict(name="python3", display_name="python3", language="python"))
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c.strip()) for c in code], metadata=kernel)
    nbformat.write(nb, home / "lab.ipynb")
    with jupyterlab(home, tmp_path, GRU_STUDY_HOME=str(home)) as address:
        page = watched(browser, f"{address}/lab/tree/lab.ipynb?reset", offline=False)
        page.set_default_timeout(90_000)
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        page.get_by_text("| Idle").wait_for()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        prompts = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
        page.wait_for_function(f"{prompts}.every(e => /\\d/.test(e.textContent))")
        page.wait_for_function("document.querySelectorAll('.gru-plot .main-svg').length >= 3*10")  # each plot has three
        yield page, [cell.locator(".jp-OutputArea").first for cell in page.locator(".jp-CodeCell").all()]


def test_lab(cells):
    page, (browse, compare, inside, compose, speak, train, markdown, table) = cells
    every, run = plain(" ".join(HOSTILE)), f"gru-3 (music/0 {NAME})"
    check(page, *HOSTILE, f"{HOSTILE[1]} ({NAME}, test)", f"{NAME}, test", at=browse)
    check(page, *(f"{t}-3" for t in HOSTILE[1:5]), f"{HOSTILE[2]} ({NAME}, test)", at=compare)
    check(page, f"NLL a frame, {run}", f"Expected by {run}", at=compare)
    check(page, *HOSTILE, f"Inside {run}", run, at=inside)
    compose.get_by_role("combobox", name="network").select_option(label=run)
    compose.get_by_role("combobox", name="what it does").select_option("go on from a beginning")
    compose.locator("figcaption strong").get_by_text(run).wait_for()
    compose.get_by_role("combobox", name="piece").select_option(label=HOSTILE[1])
    check(page, run, *HOSTILE, at=compose)
    check(page, every, *HOSTILE, f"{HOSTILE[2]}-8 (text/{NAME})", at=speak)
    check(page, f"{NAME} ({NAME}, test)", f"lr: found {every!r}"[:60], at=train)
    for shown in (markdown, table): check(page, *HOSTILE, at=shown)
    names = browse.locator("a[download]").evaluate_all("links => links.map((a) => a.download)")
    assert len(names) == 3 and not set('/\\:*?"<>|') & set("".join(names)) and all("alert(2)" in n for n in names)
    dot = compare.locator(".gru-plot").nth(1).locator(".scatterlayer .trace").last.locator(".point").nth(2)
    dot.scroll_into_view_if_needed()
    box = dot.bounding_box()
    page.mouse.move(box["x"] + box["width"]/2, box["y"] + box["height"]/2, steps=4)
    page.wait_for_selector(".hoverlayer .hovertext")
    assert any(plain(t) in plain(compare.locator(".hoverlayer").all_text_contents()[1]) for t in HOSTILE)
    check(page)
    errors = page.locator(".jp-RenderedError, [data-mime-type='application/vnd.jupyter.stderr']")
    assert errors.all_text_contents() == []
    assert page.complaints == [] and not [u for u in page.requests if u.endswith(("/x", ":9/", "/x.png"))]


@pytest.fixture
def listener():
    "A place that an output may try to reach: its address, and what has been asked of it"
    asked = []
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self): asked.append(self.path)
        do_POST = do_GET
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


def test_what_an_output_brings_is_dead(tmp_path, browser, listener):
    "Also where nobody has escaped it"
    from gru_study.page import to_page
    there, asked = listener
    act = f"document.title = 'seen'; fetch('{there}/fetch'); alert(7)"
    raw = [f"<script>{act}</script>", f'<img src=x onerror="{act}"><img src="{there}/img">',
           f'<svg onload="{act}"><script>{act}</script></svg>', f'<a id="link" href="javascript:{act}">go</a>',
           f'<iframe srcdoc="<script>parent.{act}</script>"></iframe><iframe src="{there}/frame"></iframe>',
           f'<MeTa http-equiv="refresh" content="0;url={there}/refresh">', f'<base href="{there}/">',
           f"<link rel=stylesheet href={there}/link>",
           f'<form action="{there}/form"><button id="send">send</button></form>',
           f"<style>@import '{there}/import'; body {{ background: url({there}/url) }}</style>",
           f"<script src={there}/script></script><embed src={there}/embed><object data={there}/object></object>",
           f"<video src={there}/video onerror='{act}'></video>"]
    data = [{kind: text} for kind in ("text/html", "text/markdown") for text in raw]
    data += [{"application/javascript": act}, {"image/svg+xml": raw[2]}]
    figure = {"application/vnd.plotly.v1+json": json.loads(go.Figure(go.Heatmap(z=[[1, 2]])).to_json())}
    outputs = [nbformat.v4.new_output("display_data", d) for d in (*data, figure)]
    cells = [nbformat.v4.new_code_cell("x", outputs=outputs), nbformat.v4.new_markdown_cell("".join(raw))]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "x.ipynb")
    page = watched(browser, to_page(tmp_path / "x.ipynb", tmp_path / "x.html", HOSTILE[2]).as_uri(), offline=False)
    drawn(page)
    page.locator("#link").first.click()
    page.wait_for_timeout(500)
    assert page.title() == HOSTILE[2] and page.url.endswith("x.html")
    page.locator("#send").first.click(no_wait_after=True)
    page.wait_for_timeout(500)
    assert page.dialogs == [] and asked == []
