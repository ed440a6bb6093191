"""Take the pictures of the site and of README anew: python docs/screenshots.py [--readme]

The lab's are made by running start.ipynb in JupyterLab and using each app a little; those of README from the lab's
and from results/.
"""
import argparse
import hashlib
import sys
import tempfile
from pathlib import Path

from PIL import Image, PngImagePlugin
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
STATIC = ROOT/"docs/_static"
sys.path.insert(0, str(ROOT/"tests"))
from conftest import CHROME, COMMAND, jupyterlab, open_page  # noqa: E402


def take(page, folder: Path) -> None:
    "Each app after a few clicks, in a window tall enough for all of it"
    app = lambda code: page.locator(".jp-CodeCell").filter(has=page.locator(".jp-InputArea", has_text=code)).last
    def shot(code, name, height):
        page.mouse.move(0, 0)
        app(code).scroll_into_view_if_needed()
        page.wait_for_timeout(1500)
        box = app(code).locator(".jp-OutputArea-output").first.bounding_box()
        page.screenshot(path=folder/f"{name}.png",
            clip=dict(x=box["x"], y=box["y"], width=box["width"], height=min(box["height"], height)))

    shot("Browse()", "browse", 720)
    train = app("Train(epoch=60")
    for rnn in ("tanh", "gru"):
        train.locator(".widget-label:text-is('rnn')").locator("xpath=..").locator("input").first.fill(rnn)
        train.get_by_role("button", name="Start").click()
        page.wait_for_function(f"document.body.innerText.includes('{rnn}-1 finished epoch 60 of 60')", timeout=120_000)
    shot("Train(epoch=60", "train", 1480)
    train.locator(".widget-label:text-is('task')").locator("xpath=..").locator("select").select_option("speech")
    train.get_by_text("more fields").click()
    train.locator(".widget-label:text-is('length')").wait_for(state="attached") # the fields of speech are there
    for name, value in dict(epoch=15, train_subset=600).items():
        train.locator(f".widget-label:text-is('{name}')").locator("xpath=..").locator("input").first.fill(str(value))
    train.get_by_role("button", name="Start").click()
    page.wait_for_function("document.body.innerText.includes('gru-1 finished epoch 15 of 15')", timeout=300_000)
    app("Listen()").get_by_role("button", name="Look for new runs").click()
    page.wait_for_function("[...document.querySelectorAll('option')].some(o => o.textContent == 'lab/vowels/gru-1')")
    app("Listen()").get_by_role("button", name="Listen", exact=True).click()
    app("Listen()").locator(".gru-plot .main-svg").nth(3).wait_for()
    shot("Listen()", "listen", 560)
    app("Compose()").get_by_role("button", name="harmonise the piece").click()
    app("Compose()").get_by_role("button", name="Compose").click()
    page.wait_for_function("[...document.querySelectorAll('.js-plotly-plot')]"
        ".some(e => /^Harmonise/.test(e._fullLayout.title.text))")
    shot("Compose()", "compose", 900)
    shot("LookInside()", "lookinside", 1235)
    shot("Compare()", "compare", 1770)
    shot("Speak()", "speak", 1000)


def lab(browser) -> None:
    "All apps of the lab, in JupyterLab"
    with (tempfile.TemporaryDirectory() as d,
            jupyterlab(d, Path(d)/"jupyter", *COMMAND, "lab", GRU_STUDY_HOME=d) as address):
        page = open_page(browser, f"{address}/lab/tree/nbs/start.ipynb?reset", offline=False)
        page.set_viewport_size(dict(width=1280, height=3400))
        page.get_by_text("| Idle").wait_for(timeout=90_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        page.wait_for_function("document.querySelectorAll('.gru-plot .main-svg').length >= 12", timeout=120_000)
        take(page, STATIC/"lab")


def digest() -> str:
    "Of the recorded results that the picture shows"
    return hashlib.sha256(b"".join(
        (ROOT/f"results/{name}/runs.csv").read_bytes() for name in ("table2", "multi30k"))).hexdigest()


def results(browser) -> None:
    "What every seed reached, in music and in translation, as README shows it; the file says of which results it is"
    from gru_study.seeds import seeds_figure
    from gru_study.study import as_the_paper, read_study
    from gru_study.translations import read_translations
    runs = as_the_paper(read_study()).query("cell in ['tanh', 'lstm', 'gru']")
    words = read_translations().runs.query("data == 'multi30k_de_en' and test == 'test_2016_flickr'")
    words = words.assign(data=words.attention.map(lambda a: "without attention" if a == "none" else "with attention"),
        model=words.cell)
    figures = [seeds_figure(runs, title="Music: test NLL of every seed, lower is better"),
        seeds_figure(words, "bleu_lower", "lowercased BLEU",
            "Multi30k, German to English, test 2016: BLEU of every seed, higher is better")]
    html = "".join(f.update_layout(width=1000).to_html(
        full_html=False, include_plotlyjs=f is figures[0], config=dict(displayModeBar=False)) for f in figures)
    page = browser.new_page(viewport=dict(width=1000, height=200), device_scale_factor=1.5)
    file = STATIC/"readme/results.png"
    page.set_content(f"<body style='margin:0; background:white'>{html}</body>")
    page.wait_for_timeout(1500)
    page.screenshot(path=file, full_page=True)
    mark = PngImagePlugin.PngInfo()
    mark.add_text("results", digest())
    Image.open(file).quantize(128).save(file, optimize=True, pnginfo=mark)


def train_app() -> None:
    "The app that trains, as README shows it: its runs, the curves, what the last network expected"
    whole = Image.open(STATIC/"lab/train.png").convert("RGB")
    parts = [whole.crop((0, top, whole.width, bottom)) for top, bottom in ((184, 822), (1168, whole.height))]
    picture = Image.new("RGB", (whole.width, sum(p.height for p in parts)), "white")
    picture.paste(parts[0], (0, 0))
    picture.paste(parts[1], (0, parts[0].height))
    # the end of the piece's colour bar
    picture.paste("white", (735, parts[0].height, whole.width, parts[0].height + 40))
    picture.quantize(128).save(STATIC/"readme/lab.png", optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readme", action="store_true",
        help="only those of README, from the lab's pictures as they are")
    only_readme = parser.parse_args().readme
    with sync_playwright() as p:
        browser = p.chromium.launch(**CHROME)
        if not only_readme: lab(browser)
        train_app()
        results(browser)
        browser.close()
