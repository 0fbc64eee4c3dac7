"""The description of the facades as a page for people: static, and without a byte from elsewhere."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from troupe.gateway.pages import Page, security_headers

_STYLE: Final = """
:root { --paper: #fbfaf7; --ink: #22252b; --muted: #63686f; --line: #dedad1; --accent: #a3432a; --code: #f1eee6; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181c; --ink: #e6e4de; --muted: #9a9fa6; --line: #30343b; --accent: #e8917a; --code: #1f2228; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 17px/1.6 system-ui, sans-serif; }
main { max-width: 48rem; margin: 0 auto; padding: 4rem 1.5rem; }
h1 { margin: 0 0 .25rem; font-size: 2rem; letter-spacing: -.02em; }
h2 { margin: 3rem 0 .25rem; font-size: 1.15rem; overflow-wrap: anywhere; }
h2 b { color: var(--accent); margin-right: .4em; }
h3 { margin: 1.5rem 0 .25rem; font-size: .95rem; color: var(--muted); font-weight: 600; }
p { margin: .5rem 0; }
a { color: var(--accent); }
table { border-collapse: collapse; width: 100%; }
td { border-top: 1px solid var(--line); padding: .35rem .75rem .35rem 0; vertical-align: top; overflow-wrap: anywhere; }
td:first-child { width: 10rem; }
@media (max-width: 30rem) { td:first-child { width: 7rem; } }
code, pre { font: .87em/1.55 ui-monospace, monospace; }
code { background: var(--code); padding: .1em .3em; border-radius: .25em; }
pre { background: var(--code); border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; margin: .5rem 0; }
pre, code { white-space: pre-wrap; overflow-wrap: anywhere; }
details { border-top: 1px solid var(--line); padding: .35rem 0; }
summary { cursor: pointer; }
"""
_POLICY: Final = (
    "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src "
    f"'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)
_CODE: Final = re.compile(r"`([^`]*)`")


def page(description: Mapping[str, Any]) -> Page:
    """The page for an OpenAPI description."""
    headers = (
        (b"content-type", b"text/html; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        *security_headers(_POLICY),
    )
    return Page(200, headers, "\n".join(_html(description)).encode())


def _html(description: Mapping[str, Any]) -> Iterator[str]:
    info = description["info"]
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
    yield f"<title>{escape(info['title'])}: tasks over plain HTTP</title><style>{_STYLE}</style></head><body><main>"
    yield f"<h1>{escape(info['title'])} {escape(info['version'])}: tasks over plain HTTP</h1>"
    yield f'<p>{_text(info["description"])} For programs: <a href="/openapi.json">/openapi.json</a>.</p>'
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield from _operation(method, path, operation, description)
    yield '<h2 id="schemas">Schemas</h2>'
    for name, schema in description["components"]["schemas"].items():
        yield f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>{_pre(schema)}</details>'
    yield "</main></body></html>\n"


def _operation(method: str, path: str, operation: Mapping[str, Any], description: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2><b>{method.upper()}</b><code>{escape(path)}</code></h2><p>{_text(operation['summary'])}</p>"
    if "description" in operation:
        yield f"<p>{_text(operation['description'])}</p>"
    if "parameters" in operation:
        rows = [(each["name"], f"in the {each['in']}", each.get("description", "")) for each in operation["parameters"]]
        yield "<h3>Parameters</h3>" + _table((name, f"{where}. {what}") for name, where, what in rows)
    if "requestBody" in operation:
        body = operation["requestBody"]
        yield f"<h3>Body</h3><p>{_text(body['description'])}</p>{_examples(body['content'])}"
        yield _table(_fields(body["content"], description))
    yield "<h3>Answers</h3>"
    answers = operation["responses"]
    yield next((_examples(answer["content"]) for answer in answers.values() if "content" in answer), "")
    yield _table((status, answer["description"]) for status, answer in answers.items())


def _fields(content: Mapping[str, Any], description: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for media in content.values():
        schema = description["components"]["schemas"][media["schema"]["$ref"].rpartition("/")[2]]
        for name, field in schema["properties"].items():
            yield name, ("Required. " if name in schema["required"] else "") + field["description"]


def _examples(content: Mapping[str, Any]) -> str:
    return "".join(_pre(media["example"]) for media in content.values() if "example" in media)


def _table(rows: Iterator[tuple[str, str]]) -> str:
    cells = [f"<tr><td><code>{escape(name)}</code></td><td>{_text(text)}</td></tr>" for name, text in rows]
    return f"<table>{''.join(cells)}</table>"


def _pre(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return f"<pre>{escape(text)}</pre>"


def _text(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False))
