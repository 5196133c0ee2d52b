"""What a card file says, as plain values (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

TOPICS: tuple[str, ...] = (
    "foundations",
    "losses and outputs",
    "optimisation",
    "regularisation and generalisation",
    "initialisation and gradient flow",
    "convolution and vision",
    "sequence models",
    "attention and transformers",
    "representation and generative models",
    "training practice",
    "evaluation, interpretability and robustness",
    "applied",
)
"""In the order in which they are learned."""


class Kind(StrEnum):
    RECALL = "recall"
    PREDICT = "predict"
    VERDICT = "verdict"


class Verdict(StrEnum):
    TRUE = "true"
    FALSE = "false"
    DEPENDS = "depends"


class Severity(StrEnum):
    PROBLEM = "problem"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something an author should look at. ``line`` is 1-based. A note keeps nothing from loading."""

    file: str
    line: int
    says: str
    remedy: str
    severity: Severity = Severity.PROBLEM

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.says} {self.remedy}"


@dataclass(frozen=True, slots=True)
class PresetRef:
    """A demo's named setting, written ``slug#preset``."""

    demo: str
    preset: str

    def __str__(self) -> str:
        return f"{self.demo}#{self.preset}"


KnobValue = int | float | bool | str


@dataclass(frozen=True, slots=True)
class Values:
    """A knob is drawn from these, each as likely."""

    choices: tuple[KnobValue, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """A knob is drawn from ``start``, ``start + step``, … up to and including ``stop``."""

    start: int | float
    stop: int | float
    step: int | float


Draw = Values | Span


@dataclass(frozen=True, slots=True)
class Prediction:
    """One predict card: the preset asked, and how its knobs are drawn anew for each review."""

    preset: PresetRef
    draw: tuple[tuple[str, Draw], ...] = ()


@dataclass(frozen=True, slots=True)
class KeyPoint:
    """``wordings``: groups; an answer makes the point when each group has one wording in it."""

    text: str
    false_twin: str | None = None
    wordings: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class FollowUp:
    """``key_point`` is the 1-based number of the point that the question probes; None when it probes none."""

    text: str
    key_point: int | None = None


@dataclass(frozen=True, slots=True)
class DemoClaim:
    """A claim of a demo's result, by its id; ``supports`` is false when its holding refutes the sentence."""

    preset: PresetRef
    claim: str
    supports: bool = True


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence settled by a run: of demo claims, or of a few lines of torch."""

    sentence: str
    verdict: Verdict
    demo_claims: tuple[DemoClaim, ...] = ()
    python: str | None = None
    expected: float | None = None
    tolerance: float | None = None


@dataclass(frozen=True, slots=True)
class Front:
    """The front matter of a card file. ``id`` is None before it was stamped."""

    id: str | None
    topic: str
    difficulty: int
    demo: PresetRef | None = None
    also: tuple[PresetRef, ...] = ()
    prerequisites: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    predict: tuple[Prediction, ...] = ()


@dataclass(frozen=True, slots=True)
class CardFile:
    """One concept. ``setting`` is Markdown shown with the question, before the answer."""

    front: Front
    question: str
    answer: str
    setting: str = ""
    key_points: tuple[KeyPoint, ...] = ()
    follow_ups: tuple[FollowUp, ...] = ()
    misconceptions: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """What a learner reviews. ``key`` is ``id``, ``id/predict``, ``id/predict-2``, …"""

    key: str
    kind: Kind
    position: int


@dataclass(frozen=True, slots=True)
class Lines:
    """Where things begin in the file, for problems: front matter keys, section names, items like ``claims/2``."""

    of: dict[str, int] = field(default_factory=dict)

    def get(self, *names: str) -> int:
        """The line of the first name that is known, else 1."""
        return next((self.of[name] for name in names if name in self.of), 1)


def cards_of(note_id: str, file: CardFile) -> tuple[Card, ...]:
    """The cards that one file yields, the recall card first."""
    predictions = tuple(
        Card(f"{note_id}/predict" if number == 1 else f"{note_id}/predict-{number}", Kind.PREDICT, number)
        for number in range(1, len(file.front.predict) + 1)
    )
    return (Card(note_id, Kind.RECALL, 0), *predictions)


def topic_slug(topic: str) -> str:
    """The folder of a topic: lower case, hyphens, no punctuation."""
    return "-".join(topic.replace(",", " ").lower().split())
