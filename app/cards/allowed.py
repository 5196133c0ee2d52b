"""What may stand in the HTML of a card: the sanitiser's lists (pure)."""

from __future__ import annotations

from pygments.token import STANDARD_TYPES

from app.web.formulas import STYLE_CLASSES

_TEXT = {
    *("a", "b", "blockquote", "br", "code", "del", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img"),
    *("kbd", "li", "mark", "ol", "p", "pre", "s", "section", "small", "span", "strong", "sub", "sup", "table"),
    *("tbody", "td", "th", "thead", "tr", "u", "ul"),
}
_MATH = {
    *("math", "menclose", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded", "mphantom", "mprescripts"),
    *("mroot", "mrow", "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup", "mtable", "mtd", "mtext", "mtr"),
    *("munder", "munderover", "none"),
}
_MATH_ATTRIBUTES = {
    *("accent", "accentunder", "display", "displaystyle", "fence", "form", "height", "largeop", "linethickness"),
    *("lspace", "mathvariant", "maxsize", "minsize", "movablelimits", "notation", "rspace", "scriptlevel", "separator"),
    *("stretchy", "symmetric", "voffset", "width", "depth", "columnalign", "rowspan", "columnspan"),
}

TAGS = _TEXT | _MATH
ATTRIBUTES: dict[str, set[str]] = {
    "a": {"href", "title", "id"},
    "img": {"src", "alt", "title", "loading"},
    "ol": {"start"},
    "li": {"id"},
    **{tag: set(_MATH_ATTRIBUTES) for tag in _MATH},
}
"""``class`` is not here: `CLASSES` names the values that a tag may carry."""

_MATH_CLASSES = set(STYLE_CLASSES.values()) | {
    *("menclose-updiagonalstrike", "menclose-downdiagonalstrike", "menclose-phasorangle"),
}
CLASSES: dict[str, set[str]] = {
    "a": {"footnote-backref"},
    "div": {"formula", "table-scroll"},
    "hr": {"footnotes-sep"},
    "li": {"footnote-item"},
    "ol": {"footnotes-list"},
    "pre": {"code", "drawing", "highlight"},
    "section": {"footnotes"},
    "span": {name for name in STANDARD_TYPES.values() if name} | {"math-trouble", "image-left-out"},
    "sup": {"footnote-ref"},
    "td": {"cell-left", "cell-right", "cell-center"},
    "th": {"cell-left", "cell-right", "cell-center"},
    **{tag: set(_MATH_CLASSES) for tag in ("math", "mtable", "mtd", "mrow", "mfrac")},
}
SCHEMES = {"http", "https", "mailto"}
DROPPED_WITH_CONTENT = {"script", "style", "template", "iframe", "object", "noscript", "textarea", "title"}
