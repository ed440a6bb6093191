"""gru_study/ from the notebooks: nbdev_export, and docstrings that say what the comments beside parameters do.

`help()`, Jupyter's question mark and editors read docstrings alone. The modules that compiled code is made of stay as
written: their text is the version of the kernels, which runs are recorded with.
"""
import ast
import sys
from io import StringIO
from itertools import count, takewhile
from pathlib import Path
from tokenize import COMMENT, generate_tokens

import nbdev.export
from nbdev.doclinks import nbdev_export

sys.path.insert(0, str(Path(__file__).parents[1]))
from gru_study.arithmetic import COMPILED


def places(node: ast.AST) -> dict[int, str]:
    "Lines on which something stands that a comment may explain: the last parameter there, a field, or what comes back"
    if isinstance(node, ast.ClassDef):
        return {n.lineno: ast.unparse(n.target) for n in node.body if isinstance(n, ast.AnnAssign)}
    a = node.args
    named = [x for x in (*a.posonlyargs, *a.args, a.vararg, *a.kwonlyargs, a.kwarg) if x]
    return {x.lineno: x.arg for x in named} | ({node.returns.lineno: "return"} if node.returns else {})


def comment(line: int, comments: dict[int, str], others: dict[int, str]) -> str:
    "What stands beside it, else above it where nothing else stands"
    above = takewhile(lambda k: k in comments and k not in others, count(line - 1, -1))
    return comments.get(line) or " ".join([comments[k] for k in above][::-1])


def docstring(node: ast.AST, comments: dict[int, str]) -> str:
    "What it says now, then each parameter or field that has a comment, then what comes back; empty without comments"
    at = places(node)
    said = {name: told for line, name in at.items() if (told := comment(line, comments, at))}
    if not said: return ""
    parts, back = [ast.get_docstring(node) or ""], said.pop("return", "")
    title = "Attributes:" if isinstance(node, ast.ClassDef) else "Args:"
    if said: parts.append("\n".join([title, *(f"    {name}: {told}" for name, told in said.items())]))
    if back: parts.append(f"Returns:\n    {back}")
    return "\n\n".join(parts)


def explained(source: str) -> str:
    "The source of a cell with such docstrings; a body on the line of its `def` has no room for one"
    lines = source.splitlines()
    comments = {t.start[0]: said for t in generate_tokens(StringIO(source).readline)
        if t.type == COMMENT and not (said := t.string[1:].strip()).startswith(("type:", "noqa"))} # no tool's own
    kinds = ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef
    found = [n for n in ast.walk(ast.parse(source)) if isinstance(n, kinds)]
    for node in sorted(found, key=lambda n: -n.lineno):
        text, body = docstring(node, comments).replace("\\", "\\\\").replace('"""', r'\"\"\"'), node.body[0]
        indent, begin = " "*body.col_offset, min(x.lineno for x in (body, *getattr(body, "decorator_list", ()))) - 1
        if not text or lines[begin][:body.col_offset].strip(): continue
        end = body.end_lineno if ast.get_docstring(node) else begin
        lines[begin:end] = [(indent + line).rstrip() for line in f'"""{text}\n"""'.split("\n")]
    return "\n".join(lines)


class Explained:
    "A step of nbdev's export"
    def __init__(self, nb): self.compiled = Path(nb.path_).stem.partition("_")[2] in COMPILED

    def _export_(self, cell, *to):
        if not self.compiled: cell.source = explained(cell.source)

    _exports_ = _exporti_ = _export_


if __name__ == "__main__":
    nbdev.export.Explained = Explained # where nbdev_export looks steps up by their names
    nbdev_export(procs="Explained")
