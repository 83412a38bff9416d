"""The API's own description: an OpenAPI document, a page that shows it, and what it says of a request's body."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import jsonschema
import yaml
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from bot import __version__
from bot.http import RASA_DOCS, RequestError, answer_json


@cache
def document() -> dict[str, Any]:
    """OpenAPI 3.1, as it stands in openapi.yml beside this file."""
    text = resources.files(__package__ or "").joinpath("openapi.yml").read_text("utf-8")
    found: dict[str, Any] = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    found["info"]["version"] = __version__
    return found


async def openapi(request: Request) -> Response:
    return answer_json(document())


async def docs(request: Request) -> Response:
    return HTMLResponse(page(document()))


# ---- what a body must be -------------------------------------------------------------------------


def check_body(data: Any, schema: str) -> None:
    """400, with the place of the mistake, unless `data` is what the document calls `schema`."""
    error = jsonschema.exceptions.best_match(_validator(schema).iter_errors(data))
    if error is None:
        return
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path).lstrip(".")
    message = f"The body is not valid{f' at {place}' if place else ''}: {_wanted(error)}."
    name = next((step for step in error.absolute_path if isinstance(step, str)), "")
    details = {"parameter": name, "in": "body"}
    raise RequestError(400, "BadRequest", message, details, help=f"{RASA_DOCS}/pages/http-api")


def _wanted(error: jsonschema.ValidationError) -> str:
    """What the rule asks for. The value itself may be long, and a customer's: it is not repeated."""
    match error.validator:
        case "required":
            missing = [key for key in error.validator_value if key not in error.instance]
            return f"it needs {' and '.join(repr(key) for key in missing)}"
        case "type":
            kinds = error.validator_value
            return f"it must be {kinds if isinstance(kinds, str) else ' or '.join(kinds)}"
        case "enum":
            return "it must be one of " + ", ".join(str(one) for one in error.validator_value)
        case "const":
            return f"it must be '{error.validator_value}'"
        case _:
            return f"it breaks the rule '{error.validator}: {error.validator_value}'"[:300]


@cache
def _validator(schema: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{schema}", **document()})


# ---- the page ------------------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
details { border: 1px solid #8886; border-radius: .4rem; margin: .4rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; }
code, pre { font: .9em ui-monospace, monospace; }
pre { overflow-x: auto; padding: .6rem; background: #8881; }
.method { display: inline-block; min-width: 4.5rem; font-weight: 700; }
.deprecated { text-decoration: line-through; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0; border-bottom: 1px solid #8883; }
"""


def page(spec: Mapping[str, Any]) -> str:
    """The document as one page of HTML that needs nothing from elsewhere."""
    info = spec["info"]
    parts = [f"<h1>{_text(info['title'])} {_text(info['version'])}</h1>", _paragraphs(info["description"])]
    parts.append('<p><a href="openapi.json">openapi.json</a></p>')
    for tag in spec["tags"]:
        parts.append(f"<h2>{_text(tag['name'])}</h2>{_paragraphs(tag['description'])}")
        for path, methods in spec["paths"].items():
            shared = methods.get("parameters", [])
            for method, operation in methods.items():
                if method != "parameters" and tag["name"] in operation["tags"]:
                    parts.append(_operation(spec, path, method, operation, shared))
    parts.append("<h2>schemas</h2>")
    for name, schema in spec["components"]["schemas"].items():
        parts.append(
            f'<details id="{_text(name)}"><summary><code>{_text(name)}</code></summary>{_code(schema)}</details>'
        )
    title = _text(f"{info['title']}: HTTP API")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>{"".join(parts)}</body></html>'
    )


def _operation(spec: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any], shared: Any) -> str:
    struck = ' class="deprecated"' if operation.get("deprecated") else ""
    rows = []
    for given in [*shared, *operation.get("parameters", [])]:
        one = _resolved(spec, given)
        where = f"{one['in']}{', required' if one.get('required') else ''}"
        rows.append(
            (f"<code>{_text(one['name'])}</code>", where, _words(one.get("description", "")), _code(one["schema"]))
        )
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        rows.append(("body", _text(kind), "", _code(content["schema"])))
    for status, given in operation["responses"].items():
        one = _resolved(spec, given)
        schemas = "".join(_code(content["schema"]) for content in one.get("content", {}).values())
        rows.append((f"<b>{status}</b>", ", ".join(one.get("content", {})), _words(one["description"]), schemas))
    table = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    shown = f'<span class="method">{method.upper()}</span> <code{struck}>{_text(path)}</code>'
    summary = f"{shown} – {_text(operation['summary'])}"
    return (
        f'<details id="{operation["operationId"]}"><summary>{summary}</summary>'
        f"{_paragraphs(operation.get('description', ''))}<table>{table}</table></details>"
    )


def _resolved(spec: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    found: Any = given
    if "$ref" in given:
        found = spec
        for step in given["$ref"].removeprefix("#/").split("/"):
            found = found[step]
    return found


def _code(schema: Mapping[str, Any]) -> str:
    reference = str(schema.get("$ref", "")).rpartition("/")[2]
    if reference:
        return f'<a href="#{_text(reference)}"><code>{_text(reference)}</code></a>'
    return f"<pre>{_text(yaml.safe_dump(dict(schema), sort_keys=False).strip())}</pre>"


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_words(one)}</p>" for one in text.strip().split("\n\n") if one)


def _words(text: str) -> str:
    """A sentence; what stands between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(text))


def _text(text: str) -> str:
    return html.escape(text)
