from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.cards import actions, loading, queries
from app.cards.loading import LoadReport
from app.cards.model import CardFile
from app.cards.rendering import RenderedFile
from app.cards.tables import Card, Note, NoteVersion
from app.errors import Conflict, SetupError
from tests.cards.texts import DEMOS, card, write

PREDICT = "predict:\n  - preset: softmax-lab#temperature\n    draw: {temperature: [1, 2]}\n"
ADAM = "Momentum and a running mean of squared gradients, both corrected for starting at zero."
RELU = "It is cheap to compute, does not saturate on one side, and lets gradients through."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "content"
    write(made, "losses-and-outputs/softmax.md", card(front=PREDICT))
    write(made, "optimisation/adam.md", card("adam", "What is Adam?", ADAM, topic="optimisation"))
    return made


def ids(session: Session) -> dict[str, tuple[int, bool]]:
    """Key → card id and whether it can be studied."""
    return {
        row.key: (row.id, row.archived_at is None)
        for row in session.execute(select(Card.key, Card.id, Card.archived_at))
    }


def loaded(session: Session, folder: Path, now: datetime) -> LoadReport:
    report = actions.load(session, folder, DEMOS, now)
    session.flush()
    session.expire_all()
    return report


def test_a_first_load_adds_and_a_second_changes_nothing(session: Session, folder: Path, now: datetime) -> None:
    first = loaded(session, folder, now)
    assert first.added == ("adam", "softmax") and first.problems == ()
    before = ids(session)
    assert set(before) == {"adam", "softmax", "softmax/predict"}
    assert loaded(session, folder, now) == LoadReport(unchanged=2)
    assert ids(session) == before


def test_editing_keeps_the_cards_and_adds_a_version(session: Session, folder: Path, now: datetime) -> None:
    loaded(session, folder, now)
    before = ids(session)
    write(folder, "optimisation/adam.md", card("adam", "What is Adam, really?", "New words.", topic="optimisation"))
    report = loaded(session, folder, now)
    assert (report.changed, report.added, report.archived) == (("adam",), (), ())
    assert ids(session) == before
    note = queries.note(session, "adam")
    versions = session.scalars(
        select(NoteVersion).where(NoteVersion.note_id == note.note.id).order_by(NoteVersion.id)
    ).all()
    assert [ADAM in version.text for version in versions] == [True, False]
    assert note.note.version_id == versions[-1].id
    assert "New words." in note.rendering.answer_html
    assert [found.line.slug for found in queries.search(session, "really")] == ["adam"]


def test_moving_and_renaming_a_file_keeps_the_cards(session: Session, folder: Path, now: datetime) -> None:
    loaded(session, folder, now)
    before = ids(session)
    (folder / "optimisation/adam.md").rename(folder / "losses-and-outputs/other-name.md")
    report = loaded(session, folder, now)
    assert (report.moved, report.added, report.archived, report.changed) == (("adam",), (), (), ())
    assert ids(session) == before


def test_removing_archives_and_bringing_back_revives(session: Session, folder: Path, now: datetime) -> None:
    loaded(session, folder, now)
    before = ids(session)
    text = (folder / "losses-and-outputs/softmax.md").read_text(encoding="utf-8")
    (folder / "losses-and-outputs/softmax.md").unlink()
    assert loaded(session, folder, now).archived == ("softmax",)
    assert ids(session)["softmax/predict"] == (before["softmax/predict"][0], False)
    assert queries.search(session, "softmax") == () and len(queries.deck(session).lines) == 1
    write(folder, "applied/back.md", text)
    assert loaded(session, folder, now).revived == ("softmax",)
    assert ids(session) == before


def test_a_predict_card_that_is_taken_out_is_archived_alone_and_comes_back(
    session: Session, folder: Path, now: datetime
) -> None:
    loaded(session, folder, now)
    before = ids(session)
    write(folder, "losses-and-outputs/softmax.md", card())
    loaded(session, folder, now)
    assert ids(session)["softmax"] == before["softmax"] and ids(session)["softmax/predict"][1] is False
    write(folder, "losses-and-outputs/softmax.md", card(front=PREDICT))
    loaded(session, folder, now)
    assert ids(session) == before


def test_one_bad_card_is_a_problem_and_the_rest_loads(session: Session, folder: Path, now: datetime) -> None:
    write(folder, "applied/bad.md", "no front matter")
    (folder / "applied/bytes.md").write_bytes(b"---\n\xff")
    write(folder, "applied/formula.md", card("formula", answer="$" + "{" * 300 + "}" * 300 + "$", topic="applied"))
    write(folder, "applied/empty.md", "---\n---")
    report = loaded(session, folder, now)
    assert report.added == ("adam", "formula", "softmax")
    assert {problem.file for problem in report.problems} == {
        f"applied/{name}.md" for name in ("bad", "bytes", "formula", "empty")
    }
    broken = next(problem for problem in report.problems if problem.file == "applied/formula.md")
    assert broken.line == 12 and "groups" in broken.says


def test_a_card_that_breaks_keeps_its_last_good_text(session: Session, folder: Path, now: datetime) -> None:
    loaded(session, folder, now)
    before = ids(session)
    write(folder, "optimisation/adam.md", "---\nid: adam\n---\n")
    (folder / "losses-and-outputs/softmax.md").write_bytes(b"\xff")
    report = loaded(session, folder, now)
    assert report.archived == () and len({problem.file for problem in report.problems}) == 2
    assert ids(session) == before
    assert ADAM in queries.note(session, "adam").note.source


def test_a_card_that_breaks_the_program_is_a_problem_of_its_file(
    session: Session, folder: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = loading.render_file

    def fails(file: CardFile, slug: str, images: str) -> RenderedFile:
        if slug == "adam":
            raise RecursionError("too deep")
        return original(file, slug, images)

    monkeypatch.setattr(loading, "render_file", fails)
    report = loaded(session, folder, now)
    assert report.added == ("softmax",)
    assert [problem.file for problem in report.problems] == ["optimisation/adam.md"]


def test_two_files_with_one_id_keep_the_one_that_had_it(session: Session, folder: Path, now: datetime) -> None:
    loaded(session, folder, now)
    write(folder, "applied/adam-copy.md", card("adam", "Copied?", topic="applied"))
    report = loaded(session, folder, now)
    assert report.changed == report.moved == report.added == ()
    assert [(problem.file, problem.line) for problem in report.problems] == [("applied/adam-copy.md", 2)]
    assert queries.note(session, "adam").line.title == "What is Adam?"


def test_a_file_without_an_id_is_recognised_when_it_moves_and_changes(
    session: Session, folder: Path, now: datetime
) -> None:
    write(folder, "optimisation/relu.md", card(None, "Why ReLU?", RELU, topic="optimisation"))
    first = loaded(session, folder, now)
    assert first.unstamped == (("optimisation/relu.md", "relu"),)
    before = ids(session)
    (folder / "optimisation/relu.md").unlink()
    write(folder, "foundations/rectifier.md", card(None, "Why a rectifier?", RELU + " Usually.", topic="foundations"))
    report = loaded(session, folder, now)
    assert (report.added, report.archived, report.moved) == ((), (), ("relu",))
    assert ids(session) == before


def test_an_ambiguous_file_is_asked_about_and_nothing_is_archived(
    session: Session, folder: Path, now: datetime
) -> None:
    for name in ("one", "two"):
        write(folder, f"applied/{name}.md", card(None, f"Why ReLU {name}?", f"{RELU} {name}", topic="applied"))
    loaded(session, folder, now)
    before = ids(session)
    for name in ("one", "two"):
        (folder / f"applied/{name}.md").unlink()
    write(folder, "applied/three.md", card(None, "Why ReLU three?", f"{RELU} three", topic="applied"))
    report = loaded(session, folder, now)
    assert report.added == report.archived == ()
    assert "`id: one` or `id: two`" in report.problems[0].remedy
    assert ids(session) == before


def test_stamping_writes_the_ids_that_the_load_gave(session: Session, folder: Path, now: datetime) -> None:
    write(folder, "applied/relu.md", card(None, "Why ReLU?", RELU, topic="applied"))
    assert actions.stamp_files(folder, loaded(session, folder, now)) == ["applied/relu.md"]
    before = ids(session)
    report = loaded(session, folder, now)
    assert report.changed == ("relu",) and report.unstamped == () and ids(session) == before


def test_another_renderer_version_renders_again_without_a_new_text(
    session: Session, folder: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(session, folder, now)
    for module in ("app.cards.loading", "app.cards.notes"):
        monkeypatch.setattr(f"{module}.RENDERER_VERSION", "another")
    report = loaded(session, folder, now)
    assert report.unchanged == 0 and report.changed == () and report.added == ()
    assert queries.note(session, "adam").rendering.renderer_version == "another"
    assert len(session.scalars(select(NoteVersion)).all()) == 2
    assert loaded(session, folder, now).unchanged == 2


def test_a_plan_made_before_another_load_is_refused(session: Session, folder: Path, now: datetime) -> None:
    plan = actions.prepare_load(session, folder, DEMOS)
    loaded(session, folder, now)
    with pytest.raises(Conflict):
        actions.apply_load(session, plan, now)


def test_a_missing_folder_is_named(session: Session, tmp_path: Path, now: datetime) -> None:
    with pytest.raises(SetupError, match="nowhere"):
        actions.load(session, tmp_path / "nowhere", DEMOS, now)


def test_what_is_exported_loads_as_unchanged(session: Session, folder: Path, tmp_path: Path, now: datetime) -> None:
    write(folder, "applied/relu.md", card(None, "Why ReLU?", RELU, topic="applied"))
    loaded(session, folder, now)
    written = actions.export(session, tmp_path / "out")
    assert written == ["applied/relu.md", "losses-and-outputs/softmax.md", "optimisation/adam.md"]
    before = ids(session)
    report = loaded(session, tmp_path / "out", now)
    assert report.unchanged == 2 and report.changed == ("relu",) and ids(session) == before


def test_the_order_is_topics_then_prerequisites(session: Session, folder: Path, now: datetime) -> None:
    write(folder, "foundations/z.md", card("z", "Z?", topic="foundations", front="prerequisites: [late, unknown]\n"))
    write(folder, "optimisation/late.md", card("late", "Late?", topic="optimisation"))
    loaded(session, folder, now)
    assert [line.slug for line in queries.deck(session).lines] == ["softmax", "adam", "late", "z"]
    assert [count.topic for count in queries.topics(session)] == ["foundations", "losses and outputs", "optimisation"]
    assert session.scalars(select(Note.position).order_by(Note.position)).all() == [0, 1, 2, 3]
