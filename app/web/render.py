"""Templates: a page, or the fragment of it that changed. Templates only print."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from app.settings import ROOT
from app.web import formulas
from app.web.numbers import number

STATIC = ROOT / "static"


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(ROOT / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["static"] = static_url
    made.filters["safe_html"] = Markup
    made.filters["plural"] = plural
    made.filters["number"] = number
    made.filters["formula"] = formula
    return made


@cache
def static_url(path: str) -> str:
    """The address of a file under static/, with a hash so that browsers keep it for ever."""
    digest = hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:10]
    return f"/static/{path}?v={digest}"


def formula(latex: str) -> Markup:
    """MathML inside a line."""
    return Markup(formulas.mathml(latex, is_display=False).html)


def plural(count: int, one: str, many: str | None = None) -> str:
    """ "1 card", "3 cards"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def text(template: str, context: Mapping[str, Any]) -> str:
    return environment().get_template(template).render(context)


def html(
    template: str, context: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    return HTMLResponse(
        text(template, context), status_code=status, headers={"cache-control": "no-store", **(headers or {})}
    )


def page(template: str, context: Any, *, status: int = 200) -> HTMLResponse:
    """Renders with the fields of one frozen context dataclass."""
    return html(template, fields_of(context), status=status)


fragment = page


def fields_of(context: Any) -> dict[str, Any]:
    """Shallow: nested values stay what they are."""
    return {field.name: getattr(context, field.name) for field in dataclasses.fields(context)}


def address(path: str, **query: str | int | None) -> str:
    """``path`` with the values that are not None or empty."""
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path
