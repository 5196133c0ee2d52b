"""A whole card file rendered: the shapes that `Rendering` stores (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.cards import render
from app.cards.model import CardFile, Claim
from app.cards.render import Place, Rendered, Trouble


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """``troubles`` pairs a place of `Lines` with what could not be shown there."""

    columns: dict[str, Any]
    question_text: str
    answer_text: str
    troubles: tuple[tuple[str, Trouble], ...]


@dataclass(slots=True)
class _Writer:
    place: Place
    troubles: list[tuple[str, Trouble]] = field(default_factory=list)

    def block(self, where: str, text: str) -> str:
        return self._kept(where, render.render(text, self.place)) if text else ""

    def inline(self, where: str, text: str) -> str:
        return self._kept(where, render.render_inline(text, self.place)) if text else ""

    def item(self, where: str, text: str) -> str:
        return self.block(where, text) if "\n\n" in text or "\n-" in text or "```" in text else self.inline(where, text)

    def _kept(self, where: str, rendered: Rendered) -> str:
        self.troubles += [(where, trouble) for trouble in rendered.troubles]
        return rendered.html


def render_file(file: CardFile, note_slug: str, images: str = "") -> RenderedFile:
    """``images`` is put before the names of local images, such as ``/content/optimisation/``."""
    writer = _Writer(Place(images, note_slug))
    columns: dict[str, Any] = {
        "question_html": writer.inline("question", file.question),
        "setting_html": writer.block("setting", file.setting),
        "answer_html": writer.block("answer", file.answer),
        "key_points": [
            {
                "html": writer.item(f"key points/{number}", point.text),
                "twin_html": writer.inline(f"key points/{number}", point.false_twin or ""),
                "wordings": [list(group) for group in point.wordings],
            }
            for number, point in enumerate(file.key_points, 1)
        ],
        "follow_ups": [
            {"html": writer.item(f"follow-ups/{number}", follow_up.text), "key_point": follow_up.key_point}
            for number, follow_up in enumerate(file.follow_ups, 1)
        ],
        "misconceptions": [
            writer.item(f"misconceptions/{number}", text) for number, text in enumerate(file.misconceptions, 1)
        ],
        "claims": [_claim(writer, number, claim) for number, claim in enumerate(file.claims, 1)],
        "sources": [
            writer.inline(f"sources/{number}", _linked(source)) for number, source in enumerate(file.front.sources, 1)
        ],
    }
    question = columns["question_html"] + columns["setting_html"]
    return RenderedFile(
        columns,
        render.plain_text(question),
        render.plain_text(columns["answer_html"]),
        tuple(writer.troubles),
    )


def _claim(writer: _Writer, number: int, claim: Claim) -> dict[str, Any]:
    return {
        "html": writer.item(f"claims/{number}", claim.sentence),
        "verdict": str(claim.verdict),
        "code_html": render.render_code(claim.python) if claim.python is not None else "",
        "expected": claim.expected,
        "tolerance": claim.tolerance,
        "demo_claims": [
            {"preset": str(run.preset), "claim": run.claim, "supports": run.supports} for run in claim.demo_claims
        ],
    }


def _linked(source: str) -> str:
    """A bare address becomes a link."""
    return f"<{source}>" if source.startswith(("https://", "http://")) and " " not in source else source
