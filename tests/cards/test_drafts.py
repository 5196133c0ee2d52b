from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.cards import actions, queries
from app.cards.tables import Card, Note
from app.errors import BadInput, Conflict, NotFound

NOTES = b"""# Notes

## Why ReLU?

It is cheap $x$.

### More

- kept

## What is Adam?

Momentum.

## Open question?
"""


def import_notes(session: Session, now: datetime, raw: bytes = NOTES) -> actions.ImportReport:
    report = actions.import_file(session, "notes.md", raw, now)[1]
    session.flush()
    return report


def card_ids(session: Session) -> dict[str, int]:
    return {row.key: row.id for row in session.execute(select(Card.key, Card.id))}


def states(session: Session) -> list[str]:
    return [draft.question for draft in queries.drafts(session)]


def test_importing_makes_drafts_that_are_not_studied(session: Session, now: datetime) -> None:
    report = import_notes(session, now)
    assert (report.drafted, report.changed, report.unchanged) == (3, 0, 0)
    assert states(session) == ["Why ReLU?", "What is Adam?", "Open question?"]
    assert session.scalars(select(Card)).all() == []
    assert "<math>" in queries.drafts(session)[0].answer_html


def test_importing_twice_changes_nothing(session: Session, now: datetime) -> None:
    import_notes(session, now)
    report = import_notes(session, now)
    assert (report.batch_id, report.drafted, report.changed, report.unchanged) == (None, 0, 0, 3)
    assert len(queries.drafts(session)) == 3 and len(queries.batches(session)) == 1


def test_equal_questions_import_twice_without_a_question(session: Session, now: datetime) -> None:
    twice = b"## Why?\n\nSo.\n\n## Why?\n\nSo.\n"
    assert import_notes(session, now, twice).drafted == 2
    assert import_notes(session, now, twice) == actions.ImportReport(None, 0, 0, 2, ())


def test_an_accepted_draft_is_a_card_without_a_demo(session: Session, now: datetime) -> None:
    import_notes(session, now)
    draft = queries.drafts(session)[0]
    slug = actions.accept(session, draft.id, now)
    assert slug == actions.accept(session, draft.id, now) == "why-relu"
    note = queries.note(session, slug)
    assert (note.line.demo, note.line.origin, note.line.topic) == (None, "import", "imported")
    assert [card.key for card in note.cards] == ["why-relu"]
    assert note.file.answer == "It is cheap $x$.\n\n### More\n\n- kept"
    assert [found.line.slug for found in queries.search(session, "rel")] == ["why-relu"]
    assert import_notes(session, now).unchanged == 3


def test_accepting_all_leaves_what_has_no_answer(session: Session, now: datetime) -> None:
    batch = import_notes(session, now).batch_id
    assert batch is not None
    slugs, refused = actions.accept_all(session, batch, now)
    assert slugs == ["why-relu", "what-is-adam"] and len(refused) == 1 and "no answer" in refused[0].says
    assert states(session) == ["Open question?"] and queries.open_drafts(session) == 1


def test_a_changed_answer_changes_the_open_draft(session: Session, now: datetime) -> None:
    import_notes(session, now)
    report = import_notes(session, now, NOTES.replace(b"Momentum.", b"Momentum and a scale."))
    assert (report.drafted, report.changed, report.unchanged) == (0, 1, 2)
    assert queries.drafts(session)[1].answer == "Momentum and a scale."


def test_a_changed_answer_of_an_accepted_card_waits_as_a_draft_and_keeps_the_card(
    session: Session, now: datetime
) -> None:
    batch = import_notes(session, now).batch_id
    assert batch is not None
    actions.accept_all(session, batch, now)
    before = card_ids(session)
    report = import_notes(session, now, NOTES.replace(b"Momentum.", b"Momentum and a scale."))
    assert (report.drafted, report.changed) == (0, 1)
    assert queries.note(session, "what-is-adam").file.answer == "Momentum."
    waiting = next(draft for draft in queries.drafts(session) if draft.note_id)
    assert actions.accept(session, waiting.id, now) == "what-is-adam"
    assert queries.note(session, "what-is-adam").file.answer == "Momentum and a scale."
    assert card_ids(session) == before


def test_a_discarded_draft_stays_away_when_imported_again(session: Session, now: datetime) -> None:
    import_notes(session, now)
    draft = queries.drafts(session)[1]
    assert actions.discard(session, draft.id) is True
    assert actions.discard(session, draft.id) is False
    session.expire_all()
    assert import_notes(session, now).unchanged == 3
    assert states(session) == ["Why ReLU?", "Open question?"]
    with pytest.raises(Conflict, match="discarded"):
        actions.accept(session, draft.id, now)


def test_undoing_an_import_archives_its_cards_and_importing_again_revives_them(session: Session, now: datetime) -> None:
    batch = import_notes(session, now).batch_id
    assert batch is not None
    actions.accept_all(session, batch, now)
    before = card_ids(session)
    assert actions.undo_import(session, batch, now) == 2
    session.expire_all()
    assert actions.undo_import(session, batch, now) == 0
    assert queries.drafts(session) == [] and queries.batches(session) == [] and queries.deck(session).lines == ()
    assert set(session.scalars(select(Card.archived_at))) == {now}
    again = import_notes(session, now)
    assert again.drafted == 3 and again.batch_id is not None
    actions.accept_all(session, again.batch_id, now)
    assert card_ids(session) == before
    assert session.scalars(select(Note.archived_at)).all() == [None, None]


def test_loading_the_content_folder_leaves_imported_cards_alone(
    session: Session, tmp_path: Path, now: datetime
) -> None:
    import_notes(session, now)
    actions.accept(session, queries.drafts(session)[0].id, now)
    assert actions.load(session, tmp_path, {}, now).archived == ()
    actions.export(session, tmp_path / "out")
    report = actions.load(session, tmp_path / "out", {}, now)
    assert report.added == () and [card.key for card in queries.note(session, "why-relu").cards] == ["why-relu"]


def test_what_is_not_there_is_said(session: Session, now: datetime) -> None:
    with pytest.raises(NotFound):
        actions.accept(session, 99, now)
    with pytest.raises(NotFound):
        actions.undo_import(session, 99, now)
    with pytest.raises(NotFound):
        queries.draft(session, 99)
    with pytest.raises(BadInput, match="line 1"):
        import_notes(session, now, b"\xff")
