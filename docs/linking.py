"""What Sphinx does not link itself: words to the glossary, and what nbdev calls pages and names.

`gru_study/_modidx.py` says where the site tells about a name, kernels.html#layout for instance, so that the sites of
other nbdev projects can link to it: a module's page is called after the module, and has each of these anchors. Sphinx's
own search page, which would be search.html too, is find.html.
"""
import re

from docutils import nodes
from gru_study._modidx import d as index
from sphinx import addnodes
from sphinx.builders.html import StandaloneHTMLBuilder

GLOSSARY = "docs/glossary"
COMMON = {"beat", "match", "role", "spec", "study"} # mostly said in another sense
NO_PROSE = (nodes.reference, nodes.literal, nodes.math, nodes.title, nodes.table, addnodes.desc) # no links in these


class Site(StandaloneHTMLBuilder):
    "HTML with the search page out of the way of the module search"
    def handle_page(self, pagename, addctx, templatename="page.html", **given):
        super().handle_page("find" if templatename == "search.html" else pagename, addctx, templatename, **given)


def find_page(app, pagename, templatename, context, doctree):
    "Templates ask for `search` where they mean Sphinx's page"
    context["pagename"], pathto = {"find": "search", "search": "_search"}.get(pagename, pagename), context["pathto"]
    context["pathto"] = lambda other, *args, **given: pathto("find" if other == "search" else other, *args, **given)


def anchors(app, doctree):
    "Those of nbdev on the page of a module: at a name's entry, of a method that has none at its class's"
    module = f"gru_study.{app.env.docname}"
    entries = {i: node for node in doctree.findall(addnodes.desc_signature) for i in node["ids"]}
    there = {i for node in doctree.findall(nodes.Element) for i in node["ids"]}
    for name, (address, _) in index["syms"].get(module, {}).items():
        anchor = address.partition("#")[2]
        if anchor in there: continue
        entries[name if name in entries else name.rpartition(".")[0]]["ids"].append(anchor)
        there.add(anchor)


def words(app, doctree):
    "A place for each word of the glossary"
    if app.env.docname != GLOSSARY: return
    for row in (row for body in doctree.findall(nodes.tbody) for row in body):
        row["ids"].append(f"term-{nodes.make_id(row[0].astext())}")


def is_prose(text: nodes.Text) -> bool:
    within: list[nodes.Node] = [text]
    while within[-1].parent is not None: within.append(within[-1].parent)
    kinds = [type(node) for node in within]
    return nodes.paragraph in kinds and not any(issubclass(kind, NO_PROSE) for kind in kinds)


def link_words(app, doctree, docname):
    "Where a page's prose first has a word of the glossary, in the singular or plural, it leads there"
    if docname == GLOSSARY: return
    rows = [row for row in app.env.get_doctree(GLOSSARY).findall(nodes.row) if row["ids"]]
    places = {row[0].astext(): row["ids"][0] for row in rows if row[0].astext() not in COMMON}
    spelt = [f"(?i:{re.escape(w)})" if w.islower() else re.escape(w) for w in sorted(places, key=len, reverse=True)]
    word = re.compile(rf"(?<![\w-])({'|'.join(spelt)})s?(?![\w-])")
    for text in filter(is_prose, [*doctree.findall(nodes.Text)]):
        parts, at = [], 0
        for m in word.finditer(text):
            place = places.pop(m[1], None) or places.pop(m[1].lower(), None)
            if not place: continue
            uri = app.builder.get_relative_uri(docname, GLOSSARY) + f"#{place}"
            parts += [nodes.Text(text[at:m.start()]),
                nodes.reference("", m[0], internal=True, refuri=uri, classes=["word"])]
            at = m.end()
        if parts: text.parent.replace(text, [*parts, nodes.Text(text[at:])])


def setup(app):
    app.add_builder(Site, override=True)
    app.connect("html-page-context", find_page)
    app.connect("doctree-read", anchors)
    app.connect("doctree-read", words)
    app.connect("doctree-resolved", link_words)
