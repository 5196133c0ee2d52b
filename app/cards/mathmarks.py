"""Where formulas stand in Markdown: rules for markdown-it that find ``$…$`` and ``$$…$$`` (pure).

A dollar opens a formula when no space follows it, and closes one when no space stands before it and no digit
follows. A bar inside a formula of one line is hidden from the table rule, which would cut the row there.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

BAR = "\ue07c"
"""Stands for ``|`` inside a formula until the page is written; a private-use character."""

_INLINE = re.compile(
    r"\$\$(?P<display>(?:\\.|[^$\\])+?)\$\$|\$(?P<inline>(?![\s$])(?:\\.|[^$\\])*?(?<!\s))\$(?!\d)", re.S
)
_ONE_LINE_DISPLAY = re.compile(r"\$\$(?P<latex>(?:\\.|[^$\\])+)\$\$[ \t]*$")
_CODE_OR_FORMULA = re.compile(
    r"(`+)(?!`).*?(?<!`)\1(?!`)|(?<!\\)\$\$[^$\n]+\$\$|(?<!\\)\$(?![\s$])(?:\\.|[^$\n\\])*?(?<!\s)\$(?!\d)"
)


def hide_bars(text: str) -> str:
    if "$" not in text or "|" not in text:
        return text
    return "\n".join(_hidden_in_line(line) if "$" in line and "|" in line else line for line in text.split("\n"))


def _hidden_in_line(line: str) -> str:
    return _CODE_OR_FORMULA.sub(lambda found: found[0] if found[1] else found[0].replace("|", BAR), line)


def show_bars(text: str) -> str:
    return text.replace(BAR, "|") if BAR in text else text


def math_plugin(md: MarkdownIt) -> None:
    md.block.ruler.before("fence", "math_block", _block_rule, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    md.inline.ruler.before("escape", "math_inline", _inline_rule)


def _inline_rule(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "$":
        return False
    found = _INLINE.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        is_display = found["display"] is not None
        token = state.push("math_display" if is_display else "math_inline", "math", 0)
        token.content = show_bars(found["display"] if is_display else found["inline"]).strip()
        token.markup = "$$" if is_display else "$"
    state.pos = found.end()
    return True


def _block_rule(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    if state.is_code_block(start_line):
        return False
    first = state.src[state.bMarks[start_line] + state.tShift[start_line] : state.eMarks[start_line]]
    if not first.startswith("$$"):
        return False
    found = _block_at(state, first, start_line, end_line)
    if found is None:
        return False
    if not silent:
        latex, state.line = found
        token = state.push("math_block", "math", 0)
        token.block, token.content, token.markup = True, show_bars(latex).strip(), "$$"
        token.map = [start_line, state.line]
    return True


def _block_at(state: StateBlock, first: str, start_line: int, end_line: int) -> tuple[str, int] | None:
    """The formula that begins on this line and the line after it; None when it does not stand by itself."""
    if one_line := _ONE_LINE_DISPLAY.match(first):
        return one_line["latex"], start_line + 1
    if "$$" in first[2:]:
        return None
    parts = [first[2:]]
    for line in range(start_line + 1, end_line):
        text = state.getLines(line, line + 1, state.blkIndent, False)
        if "$$" in text:
            closing = text.rstrip()
            closes_here = closing.endswith("$$") and closing.count("$$") == 1
            return ("\n".join([*parts, closing[:-2]]), line + 1) if closes_here else None
        parts.append(text)
    return None
