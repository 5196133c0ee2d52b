"""./run load, check-cards, import and export."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from app import cli_care, db, main
from app.cards import actions, check, loading
from app.cards.check import KnownDemos, SourceFile
from app.cards.drafts import ImportReport
from app.cards.importers import headings
from app.cards.importers.headings import Imported
from app.cards.model import Problem, Severity
from app.clock import SystemClock
from app.demos import catalogue
from app.errors import BadInput, SetupError
from app.settings import Settings


def load(asked: argparse.Namespace, settings: Settings) -> int:
    """1 when a file has a problem; the rest is loaded all the same."""
    folder: Path = asked.folder or settings.content
    now = SystemClock().now()
    with cli_care.opened(settings) as engine:
        report = main.load_deck(engine, folder, now)
    actions.stamp_files(folder, report)
    for problem in report.problems:
        print(problem)
    names = ("added", "changed", "moved", "archived", "revived")
    counts = ", ".join(f"{len(getattr(report, name))} {name}" for name in names)
    print(f"{counts}, {report.unchanged} unchanged.")
    return _status(report.problems)


def known_demos() -> KnownDemos:
    return {demo.slug: [preset.slug for preset in demo.teaching.presets] for demo in catalogue.stored()}


def check_cards(asked: argparse.Namespace, settings: Settings) -> int:
    """Needs no database. 1 when there is more than notes."""
    folder: Path = asked.folder or settings.content
    if not folder.is_dir():
        raise SetupError(f"The folder of cards {folder} is not there. Name it: ./run check-cards FOLDER")
    files, problems = [], []
    for name, raw in loading.read_folder(folder):
        if isinstance(raw, Problem):
            problems.append(raw)
        else:
            files.append(SourceFile(name, raw))
    problems += check.check(files, known_demos(), loading.planned_concepts(folder))
    for problem in problems:
        kind = "" if problem.severity == Severity.PROBLEM else "note: "
        print(f"{folder / problem.file}:{problem.line}: {kind}{problem.says} {problem.remedy}")
    real = sum(problem.severity == Severity.PROBLEM for problem in problems)
    print(f"{len(files)} files, {real} problems, {len(problems) - real} notes.")
    return _status(problems)


def _status(problems: Sequence[Problem]) -> int:
    return int(any(problem.severity == Severity.PROBLEM for problem in problems))


def import_file(asked: argparse.Namespace, settings: Settings) -> int:
    try:
        raw = asked.file.read_bytes()
    except OSError as error:
        raise BadInput(f"{asked.file} cannot be read: {error.strerror}. Name a Markdown file.") from None
    imported, report = headings.read(raw), None
    if imported.cards and not asked.dry_run:
        with cli_care.opened(settings) as engine, db.writing(engine) as session:
            imported, report = actions.import_file(session, asked.file.name, raw, SystemClock().now())
    if asked.json:
        print(json.dumps(imported.json(), ensure_ascii=False, indent=1))
    else:
        _tell(asked.file, imported, report)
    return 0 if imported.cards else 1


def _tell(file: Path, imported: Imported, report: ImportReport | None) -> None:
    lines: dict[str, list[int]] = {}
    for skipped in imported.skipped:
        lines.setdefault(skipped.why, []).append(skipped.line)
    for why, found in lines.items():
        print(f"{file}:{found[0]}: skipped: {why}{f', and {len(found) - 1} more like it' if found[1:] else ''}")
    for problem in imported.problems:
        print(f"{file}:{problem.line}: {problem.says}")
    answered = sum(card.answered for card in imported.cards)
    print(f"{len(imported.cards)} questions, {answered} with an answer.")
    if report is None:
        return
    for asked in report.asked:
        print(f"{file}:{asked.line}: left out, since it may be one of: {'; '.join(asked.candidates)}")
    print(f"{report.drafted} new drafts, {report.changed} changed, {report.unchanged} known already.")
    if report.drafted or report.changed:
        print("Read and accept them at /drafts; none is studied before.")


def export(asked: argparse.Namespace, settings: Settings) -> int:
    with cli_care.opened(settings) as engine, db.reading(engine) as session:
        written = actions.export(session, asked.folder)
    print(f"{len(written)} cards are in {asked.folder}.")
    return 0
