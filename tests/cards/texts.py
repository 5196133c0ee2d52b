"""Card files and documents for the tests, each with known truth."""

from __future__ import annotations

from pathlib import Path

DEMOS = {"softmax-lab": {"temperature", "argmax-and-dims"}, "grad-clip": {"two-axes"}}


def card(
    note_id: str | None = "softmax",
    question: str = "What does softmax do?",
    answer: str = "It turns scores into probabilities.",
    *,
    topic: str = "losses and outputs",
    front: str = "",
    more: str = "\n## Key points\n\n1. Positive and sums to one.\n",
) -> str:
    stamp = f"id: {note_id}\n" if note_id else ""
    return (
        f"---\n{stamp}topic: {topic}\ndifficulty: 1\nsources: [A paper]\n{front}---\n\n"
        f"# {question}\n\n## Answer\n\n{answer}\n{more}"
    )


def write(folder: Path, path: str, text: str) -> None:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
