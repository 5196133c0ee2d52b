"""Cards are checked, loaded, imported and exported from the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import said, sentence
from tests.cli.texts import CARD

pytestmark = pytest.mark.terminal

NOTES = """# Notes

Some words before the first question.

## What does dropout do?

It zeroes units, at chance $p$.

```python
# not a heading
torch.nn.Dropout(0.3)
```

```
x -> [drop] -> y
```

| a | b |
|---|---|
| $p|q$ | last |

$$E[y] = x$$

## Why rescale?
"""


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.md"
    path.write_text(NOTES, encoding="utf-8")
    return path


def test_an_import_as_json_says_cards_skipped_and_problems_and_nothing_else(notes: Path, tmp_path: Path) -> None:
    found = said("import", notes, "--dry-run", "--json", folder=tmp_path)
    read: dict[str, Any] = json.loads(found.stdout)
    first, second = read["cards"]
    assert found.returncode == 0
    assert read.keys() == {"cards", "skipped", "problems"}
    assert first.keys() == {"question", "line", "end_line", "answered", "blocks"}
    assert (first["question"], first["line"], first["answered"]) == ("What does dropout do?", 5, True)
    assert first["blocks"] == {
        "code": 1,
        "drawings": 1,
        "tables": 1,
        "display_math": 1,
        "inline_math": 2,
        "images": 0,
        "links": 0,
    }
    assert second["answered"] is False


def test_a_dry_run_leaves_nothing_behind(notes: Path, tmp_path: Path) -> None:
    said("import", notes, "--dry-run", folder=tmp_path)
    assert not (tmp_path / "data").exists()


def test_importing_twice_changes_nothing(notes: Path, tmp_path: Path) -> None:
    assert "2 new drafts, 0 changed, 0 known" in said("import", notes, folder=tmp_path).stdout
    assert "0 new drafts, 0 changed, 2 known" in said("import", notes, folder=tmp_path).stdout


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    found = said("import", tmp_path / "none.md", folder=tmp_path)
    assert found.returncode == 2
    assert "none.md cannot be read: No such file or directory" in sentence(found)


def test_checking_bad_cards_names_file_line_and_remedy_and_reads_the_rest(tmp_path: Path) -> None:
    cards = tmp_path / "cards" / "foundations"
    cards.mkdir(parents=True)
    (cards / "broken.md").write_bytes(b"---\nid: broken\n---\n# \xff\xfe?\n")
    (cards / "empty.md").write_text("---\nid: empty\ntopic: foundations\n---\n\n## Answer\n\nYes.\n")
    deep = CARD.replace("id: halving", "id: deep").replace("## Answer\n", f"## Answer\n\n${'{' * 10_000}$\n", 1)
    (cards / "deep.md").write_text(deep, encoding="utf-8")
    (cards / "halving.md").write_text(CARD, encoding="utf-8")
    found = said("check-cards", tmp_path / "cards", folder=tmp_path)
    assert found.returncode == 1
    for name in ("broken.md", "empty.md", "deep.md"):
        lines = [line for line in found.stdout.splitlines() if name in line]
        assert lines, found.stdout
        assert lines[0].split(":")[1].isdigit()
    assert "4 files" in found.stdout
    assert "halving.md" not in found.stdout


def test_the_deck_of_this_repository_has_no_problem(tmp_path: Path) -> None:
    found = said("check-cards", folder=tmp_path)
    assert found.returncode == 0, found.stdout


def test_loading_counts_and_exporting_gives_the_files_back(tmp_path: Path) -> None:
    cards = tmp_path / "cards" / "foundations"
    cards.mkdir(parents=True)
    (cards / "halving.md").write_text(CARD, encoding="utf-8")
    assert "1 added" in said("load", tmp_path / "cards", folder=tmp_path).stdout
    assert "1 unchanged" in said("load", tmp_path / "cards", folder=tmp_path).stdout
    said("export", tmp_path / "out", folder=tmp_path)
    assert (tmp_path / "out/foundations/halving.md").read_text(encoding="utf-8") == CARD
