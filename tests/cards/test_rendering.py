from __future__ import annotations

import subprocess
import sys

import pytest

from app.cards import render
from app.cards.model import CardFile, Front, KeyPoint
from app.cards.rendering import render_file
from app.web import formulas

TABLE = "| penalty | formula | effect |\n|---|---|---|\n"


def test_a_bar_inside_a_formula_keeps_the_rest_of_its_row() -> None:
    shown = render.render(TABLE + "| L1 | adds $\\lambda\\sum|w|$ to it | sparse |").html
    assert shown.count("<td>") == 3
    assert "sparse" in shown
    assert shown.count(">|</mo>") == 2


def test_bars_in_two_formulas_of_a_row_stay_in_their_cells() -> None:
    shown = render.render(TABLE + "| $|a|$ | x | $\\|b\\|$ |").html
    assert shown.count("<td>") == 3 and shown.count("<math") == 2 and "‖" in shown


@pytest.mark.parametrize(
    "row", ["| `$HOME` | `$PATH` | x |", "| \\$5 | 6 | \\$7 |", "| $5 | 6 | $7 |", "| 5$ | 6$ | 7$ |"]
)
def test_dollars_that_are_no_formula_do_not_join_cells(row: str) -> None:
    shown = render.render(TABLE + row).html
    assert shown.count("<td>") == 3 and "<math" not in shown


def test_code_with_dollars_and_bars_is_shown_as_typed() -> None:
    shown = render.render("```text\n$a|b$\n```\n\nand `$c|d$`").html
    assert "$a|b$" in shown and "$c|d$" in shown


@pytest.mark.parametrize(
    ("text", "display", "inline"),
    [
        ("$$a$$", 1, 0),
        ("$$\na\n- b\n\n= c\n$$", 1, 0),
        ("$$a$$ (momentum)\n$$b$$ (scale)", 2, 0),
        ("Where $$a$$ stands in a line with $b$.", 1, 1),
        ("1. item\n   $$a$$\n2. $b$", 1, 1),
        ("> $$a$$", 1, 0),
        ("It costs $5 and $10, or $ 3 $.", 0, 0),
        ("From $5-$10.", 0, 0),
        ("Escaped \\$a\\$ and open $a", 0, 0),
        ("$$ never closed", 0, 0),
    ],
)
def test_formulas_are_found_where_an_author_means_them(text: str, display: int, inline: int) -> None:
    shown = render.render(text).html
    assert shown.count('<math display="block"') == display
    assert shown.count("<math>") == inline


def test_no_formula_carries_a_style() -> None:
    latex = (
        r"\begin{cases} 0 & \text{if } p \\ \color{red}{a} & b \end{cases} \begin{array}{c|c}1&2\\\hline 3&4\end{array}"
    )
    shown = render.render(f"$${latex}$$")
    assert shown.troubles == ()
    assert " style=" not in shown.html
    assert 'class="math-left math-tight-right math-gap-left"' in shown.html
    assert "math-line-right" in shown.html and "math-line-top" in shown.html


def test_ten_thousand_nested_braces_are_refused_with_a_sentence() -> None:
    program = (
        "from app.cards import render\n"
        "shown = render.render('$' + '{' * 10_000 + 'x' + '}' * 10_000 + '$')\n"
        "print(shown.troubles[0].says)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "The formula has 20,001 characters; 4,000 are accepted.\n"


@pytest.mark.parametrize("nested", ["{" * 201 + "x" + "}" * 201, "\\left(" * 201 + "\\right)" * 201])
def test_more_than_two_hundred_open_groups_are_refused(nested: str) -> None:
    found = formulas.mathml(nested, is_display=False)
    assert found.trouble == "The formula opens more than 200 groups inside each other."


@pytest.mark.parametrize(
    "nested", ["{" * 200 + "x" + "}" * 200, "x_{" * 100 + "y" + "}" * 100, "{a}{b}" * 300, r"\{\}" * 300]
)
def test_what_is_within_the_limits_is_set(nested: str) -> None:
    assert formulas.mathml(nested, is_display=False).trouble is None


@pytest.mark.parametrize(("latex", "says"), [(r"\frac{1", "closing token"), (r"\nosuch", r"\nosuch"), (" ", "empty")])
def test_a_broken_formula_is_shown_as_typed_with_the_reason(latex: str, says: str) -> None:
    found = formulas.mathml(latex, is_display=True)
    assert found.trouble is not None and says in found.trouble
    assert "math-trouble" in found.html


def test_the_line_of_a_broken_formula_is_reported() -> None:
    shown = render.render("one\n\ntwo\n\n$\\frac{1$ is broken")
    assert [trouble.line for trouble in shown.troubles] == [4]


def test_code_is_coloured_by_classes_and_drawings_are_left_alone() -> None:
    shown = render.render("```python\n# note\nx = 1\n```\n\n```\nInput → Output\n```\n\n```nosuch\n<b>\n```").html
    assert '<span class="c1"># note</span>' in shown
    assert '<pre class="drawing"><code>Input → Output' in shown
    assert '<pre class="code"><code>&lt;b&gt;' in shown


def test_only_images_beside_the_card_are_shown() -> None:
    shown = render.render(
        "![near](fig/a.png) ![far](https://x.org/a.png) ![up](../a.png) ![root](/a.png)", render.Place("/c/t/")
    )
    assert shown.html.count("<img") == 1
    assert 'src="/c/t/fig/a.png"' in shown.html and 'alt="near"' in shown.html
    assert len(shown.troubles) == 3


def test_footnotes_of_two_cards_do_not_share_ids() -> None:
    text = "A claim.[^1]\n\n[^1]: Its source."
    one, other = (render.render(text, render.Place(ids=name)).html for name in ("adam", "relu"))
    assert 'id="fn-adam-1"' in one and 'href="#fn-adam-1"' in one
    assert 'id="fn-relu-1"' in other and "adam" not in other


def test_tables_carry_their_alignment_as_classes() -> None:
    shown = render.render("| a | b |\n|:-:|--:|\n| 1 | 2 |").html
    assert '<td class="cell-center">1</td>' in shown and '<td class="cell-right">2</td>' in shown


def test_shaping_tags_of_notes_stay_and_other_html_is_shown_as_typed() -> None:
    shown = render.render("a<br/>b H<sub>2</sub>O <span class='btn'>c</span> <!-- gone -->").html
    assert "a<br>b" in shown and "H<sub>2</sub>O" in shown
    assert "&lt;span class='btn'&gt;" in shown and "gone" not in shown


def test_too_much_text_is_refused_with_a_sentence() -> None:
    shown = render.render("x" * (render.MAX_CHARACTERS + 1))
    assert "100,001 characters" in shown.html and len(shown.troubles) == 1


@pytest.mark.parametrize(
    "text", [">" * 5_000 + "a", "[" * 5_000, "*a " * 5_000, "- " * 2_000 + "a", "![" * 3_000, "`" * 5_000]
)
def test_deep_nesting_ends_with_a_page(text: str) -> None:
    assert render.render(text).html


def test_search_text_has_the_words_without_marks() -> None:
    shown = render.render("Use `cross_entropy`.\n\n| a | b |\n|---|---|\n| 1 | $x$ |\n\n- *two* & three").html
    assert render.plain_text(shown) == "Use cross_entropy. a b 1 x two & three"


def test_a_plain_sentence_is_rendered_as_markdown_would() -> None:
    sentence = "It costs 2 (two) layers: 100 % of them, isn't it?"
    assert render.render(sentence).html == f"<p>{render.render_inline(sentence).html}</p>\n"


def test_a_whole_card_names_the_place_of_each_trouble() -> None:
    file = CardFile(Front("a", "applied", 1), "Q $\\frac{1$?", "fine", key_points=(KeyPoint("ok"), KeyPoint("$\\x{$")))
    assert [place for place, _ in render_file(file, "a").troubles] == ["question", "key points/2"]
