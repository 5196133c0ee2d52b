"""Whatever stands in a card or note, the HTML that leaves the renderer runs nothing and loads nothing."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest

from app.cards import markdown, render
from app.cards.allowed import TAGS
from app.cards.rendering import render_file
from tests.cards.texts import card

PAYLOADS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//x.org/a.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    "<img src=`x` onerror=alert(1)//",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">',
    "<math><mi xlink:href='javascript:alert(1)'>x</mi></math>",
    "<math><annotation-xml encoding='text/html'><script>alert(1)</script></annotation-xml></math>",
    "<math><maction actiontype='statusline#http://x.org' xlink:href='javascript:alert(1)'>x</maction></math>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href=' &#14; javascript:alert(1)'>x</a>",
    "<a href='jav&#x09;ascript:alert(1)'>x</a>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=javascript:alert(1)></object>",
    "<embed src=javascript:alert(1)>",
    "<form action=javascript:alert(1)><button>x</button></form>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<body onload=alert(1)>",
    "<base href=//x.org/>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<link rel=stylesheet href=//x.org/a.css>",
    "<style>@import '//x.org/a.css';</style>",
    "<div style='background:url(javascript:alert(1))'>x</div>",
    "<b style=position:fixed onclick=alert(1)>x</b>",
    "<br onmouseover=alert(1)>",
    "<p id=location name=cookie>x</p>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<textarea><img title='</textarea><img src=x onerror=alert(1)>'></textarea>",
    "<title><img title='</title><img src=x onerror=alert(1)>'></title>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<![CDATA[><img src=x onerror=alert(1)>]]>",
    "<?xml version='1.0'?><x onload=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<a hx-get=/x hx-trigger=load hx-on:load=alert(1)>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](vbscript:msgbox(1))",
    "[x](<javascript:alert(1)>)",
    '[x](https://x.org" onclick="alert(1))',
    "[x](https://x.org 'a\" onclick=\"alert(1)')",
    "<javascript:alert(1)>",
    "![x](javascript:alert(1))",
    "![x](data:image/svg+xml,<svg onload=alert(1)>)",
    '![x" onerror="alert(1)](a.png)',
    '![x](a.png"onerror=alert(1))',
    "![x](a.png '\" onerror=\"alert(1)')",
    "![x](//x.org/a.png)",
    "[x]: javascript:alert(1)\n\n[x]",
    "[^1]\n\n[^1]: <img src=x onerror=alert(1)>",
    "$\\text{<script>alert(1)</script>}$",
    "$\\text{<img src=x onerror=alert(1)>}$",
    "$\\href{javascript:alert(1)}{x}$",
    "$</math><script>alert(1)</script>$",
    "$\\color{red;background:url(//x.org)}{x}$",
    "$$\\nosuch{<svg onload=alert(1)>}$$",
    "```python\n</code></pre><script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "```\n</pre><img src=x onerror=alert(1)>\n```",
    "`</code><script>alert(1)</script>`",
    "\ue07c<script>alert(1)</script>\ue07c",
]
CONTEXTS = {
    "paragraph": "{}",
    "sentence": "before {} after",
    "heading": "### {}",
    "list": "- one\n- {}",
    "quote": "> {}",
    "cell": "| a | b |\n|---|---|\n| {} | x |",
    "emphasis": "**{}**",
    "link text": "[{}](https://x.org)",
    "image text": "![{}](a.png)",
    "formula": "$x + \\text{{{}}}$",
    "after html": "<b>{}",
}
FORBIDDEN = {"script", "style", "iframe", "object", "embed", "form", "input", "svg", "base", "meta", "link", "template"}
URL = re.compile(r"(?:https?://|mailto:|#[\w:-]+$|[\w./-]+\.(?:png|jpe?g|gif|webp|svg)$)", re.I)
ATTRIBUTES = {
    *("class", "rel", "href", "title", "id", "src", "alt", "loading", "start"),
    *(
        "display",
        "displaystyle",
        "stretchy",
        "lspace",
        "rspace",
        "mathvariant",
        "width",
        "form",
        "accent",
        "scriptlevel",
    ),
}


class Inspector(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.complaints: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in FORBIDDEN or tag not in TAGS:
            self.complaints.append(f"<{tag}>")
        for name, value in attributes:
            plain = re.sub(r"[\x00-\x20]", "", html.unescape(value or ""))
            is_strange_url = name in {"href", "src"} and not URL.match(plain)
            if name not in ATTRIBUTES or name.startswith("on") or is_strange_url:
                self.complaints.append(f"{name}={value}")
            elif name == "src" and "//" in plain:
                self.complaints.append(f"loads {value}")


def complaints(shown: str) -> list[str]:
    inspector = Inspector()
    inspector.feed(shown)
    inspector.close()
    return inspector.complaints


def test_the_inspector_sees_what_it_looks_for() -> None:
    for bad in (
        "<script>",
        "<p onclick=x>",
        "<a href='java\tscript:x'>",
        "<img src='//x.org/a.png'>",
        "<p style=x>",
        "<b hx-get=x>",
    ):
        assert complaints(bad), bad


@pytest.mark.parametrize("context", CONTEXTS)
def test_no_payload_runs_in_a_text(context: str) -> None:
    for payload in PAYLOADS:
        for text in (CONTEXTS[context].replace("{}", payload).replace("{{", "{").replace("}}", "}"), payload * 2):
            assert complaints(render.render(text).html) == [], text
            assert complaints(render.render_inline(text).html) == [], text


def test_no_payload_runs_from_any_part_of_a_card() -> None:
    tried = 0
    for payload in PAYLOADS:
        line = " ".join(payload.split())
        more = (
            f"\n## Key points\n\n1. {line}\n   - not: {line}\n\n## Follow-ups\n\n- {line}\n\n## Misconceptions\n\n"
            f"- {line}\n\n## Claims\n\n1. {line}\n   - verdict: true\n\n   ```python\n   measured = '{line}'\n   ```\n"
        )
        file = markdown.parse("x.md", card(question=line, answer=payload, more=more)).file
        if file is None:
            continue
        columns = render_file(file, "x").columns
        for value in _texts(columns):
            assert complaints(value) == [], payload
            tried += 1
    assert tried > 500


def _texts(value: object) -> list[str]:
    """Every string whose key says that it is HTML, and those of lists that hold only HTML."""
    found: list[str] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and key.endswith("html"):
                found.append(inner)
            elif isinstance(inner, list):
                found += _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            found += [inner] if isinstance(inner, str) and "<" in inner else _texts(inner)
    return found
