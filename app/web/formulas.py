"""LaTeX to MathML without inline styles, within limits that keep the converter safe (pure)."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from functools import lru_cache

import math_core

MAX_CHARACTERS = 4_000
MAX_OPEN_GROUPS = 200
MAX_UNCLOSED_BRACKETS = 10
MAX_MATHML_CHARACTERS = 200_000

STYLE_CLASSES: dict[str, str] = {
    "text-align:left": "math-left",
    "text-align:right": "math-right",
    "padding-left:0": "math-tight-left",
    "padding-right:0": "math-tight-right",
    "padding-left:1em": "math-gap-left",
    "padding-top:0.1667em": "math-gap-top",
    "padding-top:0": "math-tight-top",
    "padding-bottom:0": "math-tight-bottom",
    "width:100%": "math-full",
    "width:50%": "math-half",
    "border-top:0.05em solid currentcolor": "math-line-top",
    "border-left:0.05em solid currentcolor": "math-line-left",
    "border-right:0.05em solid currentcolor": "math-line-right",
    "border-top:0.05em dashed currentcolor": "math-dash-top",
    "border-left:0.05em dashed currentcolor": "math-dash-left",
    "border-right:0.05em dashed currentcolor": "math-dash-right",
}
"""What the converter writes as ``style=``, and the class that the stylesheet gives the same look.

Declarations that are not here (colours, sizes) are dropped: a colour means one thing in this product.
"""

_STYLE = re.compile(r' style="([^"]*)"')
_GROUPS = re.compile(r"\\\\|\\[{}]|\\begin\b|\\left(?![a-zA-Z])|[{]|\\end\b|\\right(?![a-zA-Z])|[}]")
_BRACKET_NAMES = "brace|brack|angle|ang|floor|ceil|group|moustache|vert|Vert|Brace|Brack|paren|Angle"
_BRACKETS = re.compile(
    r"\\(?:left|right|middle)(?![a-zA-Z])\s*(?:\\[a-zA-Z]+|\\?.)|\\\\|(?P<group>[{}])"
    rf"|(?P<opens>[(\[⌈⌊⌜⌞⎰❲⟅⟦⟨⟪⟬⟮⦃⦅⦇⦉⦋⦍⦏⦑⦓⦕⦗⧘⧚⧼]|\\\{{|\\l(?:{_BRACKET_NAMES}|lbracket|lparenthesis|lcorner)(?![a-zA-Z])"
    r"|\\ulcorner(?![a-zA-Z]))"
    rf"|(?P<closes>[)\]⌉⌋⌝⌟⎱❳⟆⟧⟩⟫⟭⟯⦄⦆⦈⦊⦌⦎⦐⦒⦔⦖⦘⧙⧛⧽]|\\\}}|\\r(?:{_BRACKET_NAMES}|rbracket|rparenthesis)(?![a-zA-Z])"
    r"|\\[ul]rcorner(?![a-zA-Z]))",
    re.S,
)
_DEFINES = re.compile(r"\\(?:[egx]?def|let|newcommand|renewcommand|providecommand|DeclareMathOperator)(?![a-zA-Z])")
_CONVERTER = math_core.LatexToMathML(fancy_error=False)


@dataclass(frozen=True, slots=True)
class Formula:
    """``trouble`` is a sentence for the author; ``html`` is always fit to be shown."""

    html: str
    trouble: str | None = None


@lru_cache(maxsize=2_000)
def mathml(latex: str, *, is_display: bool) -> Formula:
    """The formula as MathML, or its source in a box when it cannot be converted."""
    trouble = _over_a_limit(latex)
    if trouble:
        return _shown_as_source(latex, trouble, is_display)
    try:
        converted: str = _CONVERTER.convert_with_local_state(latex, displaystyle=is_display)
    except math_core.LatexError as error:
        reason = re.sub(r"^\d+: ", "", str(error)).rstrip(".")
        return _shown_as_source(latex, f"The formula cannot be read: {reason}.", is_display)
    if len(converted) > MAX_MATHML_CHARACTERS:
        return _shown_as_source(latex, "The formula is too large once it is set.", is_display)
    return Formula(_STYLE.sub(_as_classes, converted) if ' style="' in converted else converted)


def _over_a_limit(latex: str) -> str | None:
    if len(latex) > MAX_CHARACTERS:
        return f"The formula has {len(latex):,} characters; {MAX_CHARACTERS:,} are accepted."
    if open_groups(latex) > MAX_OPEN_GROUPS:
        return f"The formula opens more than {MAX_OPEN_GROUPS} groups inside each other."
    if unclosed_brackets(latex) > MAX_UNCLOSED_BRACKETS:
        return f"The formula leaves more than {MAX_UNCLOSED_BRACKETS} brackets open."
    if _DEFINES.search(latex):
        return "The formula defines a command; write it out instead."
    if not latex.strip():
        return "The formula is empty."
    return None


def open_groups(latex: str) -> int:
    """The deepest nesting of braces, ``\\begin`` and ``\\left``."""
    depth = deepest = 0
    for mark in _GROUPS.findall(latex):
        if mark in {"{", "\\begin", "\\left"}:
            depth += 1
            deepest = max(deepest, depth)
        elif mark in {"}", "\\end", "\\right"}:
            depth = max(0, depth - 1)
    return deepest


def unclosed_brackets(latex: str) -> int:
    """How many opening brackets of any kind meet no closing one within their braces.

    The converter's time doubles with each of them: thirty stop a process for good.
    """
    open_here: list[int] = [0]
    unclosed = 0
    for found in _BRACKETS.finditer(latex):
        if found["opens"]:
            open_here[-1] += 1
        elif found["closes"]:
            open_here[-1] = max(0, open_here[-1] - 1)
        elif found["group"] == "{":
            open_here.append(0)
        elif found["group"] == "}":
            unclosed += open_here.pop()
            open_here = open_here or [0]
    return unclosed + sum(open_here)


def _as_classes(match: re.Match[str]) -> str:
    declarations = (part.replace(": ", ":").strip() for part in match[1].split(";"))
    classes = [STYLE_CLASSES[part] for part in declarations if part in STYLE_CLASSES]
    return f' class="{" ".join(classes)}"' if classes else ""


def _shown_as_source(latex: str, trouble: str, is_display: bool) -> Formula:
    marks = "$$" if is_display else "$"
    shown = latex if len(latex) <= 200 else latex[:200] + " …"
    source = html.escape(f"{marks}{shown}{marks}")
    return Formula(
        f'<span class="math-trouble"><code>{source}</code> <span>{html.escape(trouble)}</span></span>', trouble
    )
