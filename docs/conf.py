"Sphinx: how the pages look; docs/build.py makes them from the notebooks"
import ast
import sys
from configparser import ConfigParser
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
ini = ConfigParser(delimiters=["="])
ini.read(ROOT / "settings.ini", encoding="utf-8")
settings = ini["DEFAULT"]

project, author, release = settings["title"], settings["author"], settings["version"]
copyright = settings["copyright"]
sys.path.insert(0, str(ROOT / "docs"))
extensions = ["myst_nb", "sphinx.ext.linkcode", "sphinx.ext.mathjax", "linking"]
root_doc = "index"

nb_execution_mode = "off" # build.py executes
nb_merge_streams = True
nb_render_markdown_format = "myst"
myst_enable_extensions = ["amsmath", "attrs_block", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}}

nitpicky = True # a reference that leads nowhere is an error,
nitpick_ignore_regex = [("py:(class|exc|func|meth|data|attr)", ".*")] # but not the types in a signature
add_module_names = False
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True

html_theme = "sphinx_book_theme"
html_title = "gru-study"
html_logo = html_favicon = "_static/logo.svg"
html_static_path = ["_static"] # and what build.py takes from packages
html_css_files = ["figures.css", "site.css"]
html_copy_source = html_show_sourcelink = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "repository_url": settings["git_url"],
    "repository_branch": settings["branch"],
    "path_to_docs": "nbs",
    "use_repository_button": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "logo": {"text": "gru-study", "alt_text": "gru-study"},
    "navbar_persistent": [],
    "home_page_in_toc": True,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


@cache
def lines(path: Path) -> dict[str, int]:
    "Where each name of a module is defined"
    from build import defined
    tops = [n for n in ast.parse(path.read_text()).body if defined(n)]
    inside = {f"{n.name}.{m.name}": m.lineno
        for n in tops if isinstance(n, ast.ClassDef) for m in n.body if isinstance(m, ast.FunctionDef)}
    return inside | {defined(n): n.lineno for n in tops}


def linkcode_resolve(domain, info):
    "The line of the repository where an exported name is defined"
    path = ROOT / (info["module"].replace(".", "/") + ".py")
    return f"{settings['git_url']}/blob/{settings['branch']}/{path.relative_to(ROOT)}#L{lines(path)[info['fullname']]}"


FOUND = """
DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = location.protocol !== 'file:';
document.addEventListener('DOMContentLoaded', () => {
  const whole = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, 'text/html');
    page.querySelector('[role=main]').replaceChildren(page.querySelector('article'));
    page.querySelectorAll('summary').forEach((button) => button.remove());
    return whole(page.documentElement.outerHTML, anchor);
  };
});
"""


def scripts_where_needed(app, pagename, templatename, context, doctree):
    """Pages with a figure load plotly, which has five megabytes; pages with an app what it runs on

    What is found is shown with a piece of its page, of its text and not of the menus around that; but for pages opened
    as files, which no script may read.
    """
    if templatename == "search.html": app.add_js_file(None, body=FOUND)
    for mark, files in (('class="plotly"', ("plotly.min.js", "play/sound.js", "play/roll.js", "figures.js")),
        ('class="gru-play"', tuple(f"play/{name}.js" for name in ("networks", "cells", "sound", "roll", "play")))):
        if mark not in context.get("body", ""): continue
        for file in files: app.add_js_file(file, loading_method="defer")
        if "play" in mark: app.add_css_file("play/play.css")


def setup(app): app.connect("html-page-context", scripts_where_needed)
