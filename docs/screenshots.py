"Take the pictures of site and README anew: python docs/screenshots.py [--readme]; the lab's by running start.ipynb in JupyterLab and using each app a little."
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/"tests"))
from conftest import CHROMIUM, jupyterlab, open_page  # noqa: E402


def take(page, folder: Path) -> None:
    "Each app after a few clicks, in a window tall enough for all of it"
    app = lambda code: page.locator(".jp-CodeCell").filter(has=page.locator(".jp-InputArea", has_text=code)).last
    def shot(code, name, height):
        page.mouse.move(0, 0)
        app(code).scroll_into_view_if_needed()
        page.wait_for_timeout(1500)
        box = app(code).locator(".jp-OutputArea-output").first.bounding_box()
        page.screenshot(path=folder/f"{name}.png", clip=dict(x=box["x"], y=box["y"], width=box["width"], height=min(box["height"], height)))

    shot("Browse()", "browse", 720)
    train = app("Train(epoch=60")
    for rnn in ("tanh", "gru"):
        train.locator(".widget-label:text-is('rnn')").locator("xpath=..").locator("input").first.fill(rnn)
        train.get_by_role("button", name="Start").click()
        page.wait_for_function(f"document.body.innerText.includes('{rnn}-1 finished epoch 60 of 60')", timeout=120_000)
    shot("Train(epoch=60", "train", 1400)
    app("Compose()").get_by_role("button", name="harmonise the piece").click()
    app("Compose()").get_by_role("button", name="Compose").click()
    page.wait_for_function("[...document.querySelectorAll('.js-plotly-plot')].some(e => /^Harmonise/.test(e._fullLayout.title.text))")
    shot("Compose()", "compose", 900)
    shot("LookInside()", "lookinside", 1235)
    shot("Compare()", "compare", 1770)
    shot("Speak()", "speak", 1000)


def lab(browser, folder: Path) -> None:
    "All apps of the lab, in JupyterLab"
    with tempfile.TemporaryDirectory() as d:
        home = Path(d)
        shutil.copy(ROOT/"nbs/start.ipynb", home)
        with jupyterlab(home, home/"jupyter", GRU_STUDY_HOME=d) as address:
            page = open_page(browser, f"{address}/lab/tree/start.ipynb?reset", offline=False)
            page.set_viewport_size(dict(width=1280, height=3400))
            page.get_by_text("| Idle").wait_for(timeout=90_000)
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_text("Run All Cells", exact=True).click()
            page.wait_for_function("document.querySelectorAll('.gru-plot .main-svg').length >= 12", timeout=120_000)
            take(page, folder)


def picture(browser, html: str, to: Path) -> None:
    "A page of 1240 pixels as a picture"
    page = browser.new_page(viewport=dict(width=1240, height=200), device_scale_factor=1.5)
    with tempfile.TemporaryDirectory() as d:
        file = Path(d)/"page.html"
        file.write_text(f"<body style='margin:0; background:white'>{html}</body>")
        page.goto(file.as_uri())
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(1500)
        page.screenshot(path=to, full_page=True)
    Image.open(to).quantize(128).save(to, optimize=True)


def lab_picture(apps: Path) -> str:
    "Three apps side by side"
    def shown(app, height, above=0):
        image = f"<img src='{(apps/app).as_uri()}.png' style='width:100%; margin-top:-{above}px'>"
        return f"<div style='height:{height}px; overflow:hidden; border:1px solid #d0d7de; border-radius:8px; padding:12px'>{image}</div>"
    column = "<div style='flex:1; display:flex; flex-direction:column; gap:16px'>"
    return f"<div style='display:flex; gap:16px; padding:2px'>{column}{shown('train', 930)}</div>{column}{shown('compose', 506)}{shown('lookinside', 380, 88)}</div></div>"


def results_picture() -> str:
    "What every seed reached, in music and in translation"
    from gru_study.plots import seeds_figure
    from gru_study.report import read_study, reported
    from gru_study.translations import read_translations
    runs, words = reported(read_study()), read_translations().runs
    runs = runs[runs.cell.isin(["tanh", "lstm", "gru"]) & (runs.sizes == "paper")]
    words = words[(words.data == "multi30k_de_en") & (words.test == words.test.iloc[0])]
    words = words.assign(data=words.attention.map(lambda a: "Multi30k without attention" if a == "none" else "Multi30k with attention"), model=words.cell)
    music = seeds_figure(runs, title="Music: test NLL of every seed, lower is better")
    text = seeds_figure(words, "bleu_lower", "lowercased BLEU", "Translation: BLEU of every seed, higher is better")
    return "".join(f.update_layout(width=1240).to_html(full_html=False, include_plotlyjs=f is music, config=dict(displayModeBar=False)) for f in (music, text))


if __name__ == "__main__":
    static = ROOT/"docs/_static"
    for name in ("lab", "readme"): (static/name).mkdir(exist_ok=True)
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"])
        if "--readme" not in sys.argv: lab(browser, static/"lab")
        picture(browser, lab_picture(static/"lab"), static/"readme/lab.png")
        picture(browser, results_picture(), static/"readme/results.png")
        browser.close()
