"""What docs/writing-a-card.md names exists, and what it shows reads without a problem."""

from __future__ import annotations

import re
import textwrap

import yaml

from app.cards import check, markdown
from app.cards.check import SourceFile
from app.cards.front import KEYS
from app.cards.markdown import SECTIONS
from app.cards.model import TOPICS
from app.settings import ROOT
from app.web import formulas
from tests.cards.texts import card

GUIDE = (ROOT / "docs" / "writing-a-card.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^(`{{3,}}){language}\n(.*?)^\1$", GUIDE, re.M | re.S)
    return [text for _, text in found]


def test_every_key_of_the_front_matter_is_explained_and_no_other() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", GUIDE, re.M)) == KEYS


def test_the_topics_are_named_in_their_order() -> None:
    listed = re.search(r"learned: (.*?)\. The folder", GUIDE, re.S)
    assert listed is not None
    assert tuple(" ".join(listed[1].split()).split(" · ")) == TOPICS


def test_the_sections_are_named() -> None:
    shown = next(text for text in blocks("markdown") if "## Answer" in text)
    assert tuple(name.lower() for name in re.findall(r"^## (.*)$", shown, re.M)) == SECTIONS


def test_the_paths_that_are_named_exist() -> None:
    paths = re.findall(r"`((?:content|docs)/[\w./-]+\.md)`", GUIDE)
    assert paths and all((ROOT / path).is_file() for path in paths)


def test_the_limits_are_those_of_the_program() -> None:
    assert f"{formulas.MAX_CHARACTERS:,} characters" in GUIDE
    assert f"{formulas.MAX_OPEN_GROUPS} open groups" in GUIDE
    assert f"{formulas.MAX_UNCLOSED_BRACKETS} unclosed brackets" in GUIDE


def test_the_shown_predict_cards_can_be_read() -> None:
    shown = next(text for text in blocks("yaml") if text.startswith("predict:"))
    file = markdown.parse("shown.md", card(front=shown)).file
    assert file is not None and len(file.front.predict) == len(yaml.safe_load(shown)["predict"])
    assert all(prediction.draw for prediction in file.front.predict)


def test_the_shown_key_points_and_claims_can_be_read() -> None:
    shown = blocks("markdown")
    points = next(text for text in shown if "- say:" in text)
    claims = "".join(text for text in shown if "- verdict:" in text)
    parsed = markdown.parse(
        "shown.md", card(more=f"\n## Key points\n\n{points}\n## Claims\n\n{textwrap.dedent(claims)}")
    )
    assert parsed.problems == () and parsed.file is not None
    assert len(parsed.file.claims) == 2 and parsed.file.key_points[0].false_twin


def test_the_card_to_copy_has_no_problem_of_its_own() -> None:
    path = ROOT / "content" / "losses-and-outputs" / "softmax.md"
    file = markdown.parse("softmax.md", path.read_text(encoding="utf-8")).file
    assert file is not None
    references = [file.front.demo, *file.front.also, *(prediction.preset for prediction in file.front.predict)]
    references += [demo_claim.preset for claim in file.claims for demo_claim in claim.demo_claims]
    known = {"softmax-lab": {preset.preset for preset in references if preset}}
    said = check.check(
        [SourceFile("losses-and-outputs/softmax.md", path.read_bytes())], known, file.front.prerequisites
    )
    assert [problem.says for problem in said if "planned" not in problem.says] == []
