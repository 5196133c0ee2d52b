"""Markdown to safe HTML, once per version of a text (pure).

CommonMark with tables and footnotes; formulas as MathML; code as Pygments classes; images from beside the card only.
The HTML sanitiser runs last, over everything that leaves this module.
"""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from mdit_py_plugins.footnote import footnote_plugin
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES, _TokenType

from app.cards import mathmarks
from app.cards.allowed import ATTRIBUTES, CLASSES, DROPPED_WITH_CONTENT, SCHEMES, TAGS
from app.web import formulas

RENDERER_VERSION = "-".join(
    ("2", *(metadata.version(name) for name in ("markdown-it-py", "math-core", "nh3", "pygments")))
)
"""Part of the cache's key: a rendering of another version is made again."""

MAX_CHARACTERS = 100_000
MAX_NESTING = 40
MAX_HIGHLIGHTED_CHARACTERS = 20_000
LANGUAGES = ("python", "pycon", "bash", "console", "json", "yaml", "toml", "c", "cpp", "cuda", "sql", "diff", "ini")
_SAFE_HTML = re.compile(r"</?(?:br|sub|sup|kbd|b|i|em|strong|u|s|small|mark|hr|p)[ ]*/?>", re.I)
_COMMENT = re.compile(r"<!--.*?-->", re.S)
_LOCAL_IMAGE = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./-]*\.(?:png|jpe?g|gif|webp|svg)", re.I)
_PLAIN = re.compile(r"[A-Za-z0-9À-ſ ,.;:()?'%+/–-]*")
_BLOCK_TAG = re.compile(r"</?(?:p|li|h[1-6]|td|th|tr|pre|div|br|hr|blockquote|section|ul|ol|table)\b[^>]*>")
_TAG = re.compile(r"<[^>]*>")
_ALIASES = {"py": "python", "python3": "python", "sh": "bash", "shell": "bash", "c++": "cpp", "yml": "yaml"}


@dataclass(frozen=True, slots=True)
class Trouble:
    """``line`` is 0-based within the text that was rendered."""

    line: int
    says: str


@dataclass(frozen=True, slots=True)
class Rendered:
    html: str
    troubles: tuple[Trouble, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text is shown: ``images`` is put before local image names, ``ids`` before footnote ids."""

    images: str = ""
    ids: str = "note"


def render(text: str, place: Place | None = None) -> Rendered:
    """Block Markdown to HTML that is safe to print as it is."""
    return _rendered(text, place or Place(), is_inline=False)


def render_inline(text: str, place: Place | None = None) -> Rendered:
    """One line or sentence: no block structure."""
    if _PLAIN.fullmatch(text):
        return Rendered(text)
    return _rendered(text, place or Place(), is_inline=True)


def render_code(code: str, language: str = "python") -> str:
    return _clean(_fenced(code, language))


def plain_text(rendered_html: str) -> str:
    """The words of a rendered text, for search."""
    return " ".join(html.unescape(_TAG.sub("", _BLOCK_TAG.sub(" ", rendered_html))).split())


def _rendered(text: str, place: Place, *, is_inline: bool) -> Rendered:
    if len(text) > MAX_CHARACTERS:
        says = f"The text has {len(text):,} characters; {MAX_CHARACTERS:,} are shown at most."
        return Rendered(f"<p>{html.escape(says)}</p>", (Trouble(0, says),))
    env: dict[str, Any] = {"place": place, "troubles": [], "line": 0, "docId": place.ids}
    prepared = mathmarks.hide_bars(text)
    parser = _parser()
    raw = parser.renderInline(prepared, env) if is_inline else parser.render(prepared, env)
    return Rendered(_clean(mathmarks.show_bars(raw)), tuple(env["troubles"]))


_LOCAL = threading.local()


def _parser() -> MarkdownIt:
    """One parser a thread: markdown-it keeps no state between texts, and shares none here."""
    found: MarkdownIt | None = getattr(_LOCAL, "parser", None)
    if found is None:
        found = _LOCAL.parser = new_parser()
    return found


def new_parser() -> MarkdownIt:
    """CommonMark, tables, footnotes and formulas; raw HTML is kept apart as tokens."""
    parser = MarkdownIt(
        "commonmark", {"maxNesting": MAX_NESTING, "html": True, "linkify": False}, renderer_cls=_Renderer
    )
    parser.enable(["table", "strikethrough"])
    parser.use(footnote_plugin, inline=False)
    parser.use(mathmarks.math_plugin)
    return parser


@lru_cache(maxsize=1)
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=TAGS,
        clean_content_tags=DROPPED_WITH_CONTENT,
        attributes=ATTRIBUTES,
        allowed_classes=CLASSES,
        url_schemes=SCHEMES,
        strip_comments=True,
        link_rel="noopener noreferrer",
    )


def _clean(raw: str) -> str:
    return _cleaner().clean(raw)


class _Renderer(RendererHTML):
    """Formulas, code, images and raw HTML; each method is named after its token."""

    def math_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _formula(tokens[idx], env, is_display=False)

    def math_display(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _formula(tokens[idx], env, is_display=True)

    def math_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f'<div class="formula">{_formula(tokens[idx], env, is_display=True)}</div>\n'

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[idx]
        return _fenced(mathmarks.show_bars(token.content), token.info.strip().split(" ")[0].lower())

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _fenced(mathmarks.show_bars(tokens[idx].content), "")

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return '<div class="table-scroll"><table>\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "</table></div>\n"

    def th_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _cell("th", tokens[idx])

    def td_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _cell("td", tokens[idx])

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[idx]
        source = str(token.attrs.get("src", ""))
        alternative = html.escape(self.renderInlineAsText(token.children, options, env))
        if _LOCAL_IMAGE.fullmatch(source):
            return f'<img src="{html.escape(env["place"].images + source)}" alt="{alternative}" loading="lazy">'
        _note(env, f"The image `{source[:80]}` is not shown: only images beside the card are.")
        return f'<span class="image-left-out">[{alternative or "image"}]</span>'

    def html_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _harmless(tokens[idx].content)

    def html_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"<p>{_harmless(tokens[idx].content)}</p>\n"

    def render(self, tokens: Sequence[Token], options: OptionsDict, env: EnvType) -> str:
        """As the base class does, noting the line of each block for what is reported about it."""
        out = []
        for index, token in enumerate(tokens):
            if token.map:
                env["line"] = token.map[0]
            if token.type == "inline":
                out.append(self.renderInline(token.children or [], options, env))
            elif rule := self.rules.get(token.type):
                out.append(rule(tokens, index, options, env))
            else:
                out.append(self.renderToken(tokens, index, options, env))
        return "".join(out)


def _note(env: EnvType, says: str) -> None:
    env["troubles"].append(Trouble(env["line"], says))


def _formula(token: Token, env: EnvType, *, is_display: bool) -> str:
    found = formulas.mathml(token.content, is_display=is_display)
    if found.trouble:
        _note(env, found.trouble)
    return found.html


def _cell(tag: str, token: Token) -> str:
    align = str(token.attrs.get("style", "")).removeprefix("text-align:")
    return f'<{tag} class="cell-{align}">' if align else f"<{tag}>"


def _harmless(raw: str) -> str:
    """Tags without attributes that only shape text stay; everything else is shown as it was typed."""
    text = _COMMENT.sub("", raw)
    kept, shown = _SAFE_HTML.findall(text), _SAFE_HTML.split(text)
    pieces = [html.escape(shown[0], quote=False)]
    for tag, rest in zip(kept, shown[1:], strict=True):
        pieces += [tag, html.escape(rest, quote=False)]
    return "".join(pieces)


def _fenced(code: str, language: str) -> str:
    name = _ALIASES.get(language, language)
    if name not in LANGUAGES or len(code) > MAX_HIGHLIGHTED_CHARACTERS:
        kind = "code" if language else "drawing"
        return f'<pre class="{kind}"><code>{html.escape(code, quote=False)}</code></pre>\n'
    return f'<pre class="code highlight"><code>{_coloured(code, name)}</code></pre>\n'


def _coloured(code: str, language: str) -> str:
    pieces = []
    for kind, text in _lexer(language).get_tokens(code):
        name, shown = _class_of(kind), html.escape(text, quote=False)
        pieces.append(f'<span class="{name}">{shown}</span>' if name else shown)
    return "".join(pieces)


@lru_cache(maxsize=256)
def _class_of(kind: _TokenType) -> str:
    """Pygments' short name of the nearest kind that has one; none for plain names, punctuation and white space."""
    while kind not in STANDARD_TYPES and kind.parent is not None:
        kind = kind.parent
    name = STANDARD_TYPES.get(kind, "")
    return "" if name in {"n", "p", "w"} else name


@lru_cache(maxsize=len(LANGUAGES))
def _lexer(name: str) -> Lexer:
    return get_lexer_by_name(name, stripnl=False)
