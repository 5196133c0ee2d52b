"""The repository speaks of the product and nothing of where or by whom it was made."""

from __future__ import annotations

import re

from tests.house import repository

# Spelled backwards, so that this file does not hold what it forbids.
FORBIDDEN = "|".join(
    re.escape(word[::-1]) for word in ("/krow/", "/yrarbil.", "ipyp/tpo/", "sleehw/tpo/", "# eussi", "3 eussi")
)


def test_no_file_names_the_place_it_was_made_in() -> None:
    found = []
    for name in repository.files():
        if name.endswith((".woff2", ".png", ".jpg", ".ico")) or name.startswith("static/vendor/"):
            continue
        for number, line in enumerate(repository.text(name).splitlines(), 1):
            if re.search(FORBIDDEN, line):
                found.append(f"{name}:{number}: {line.strip()[:80]}")
    assert not found


def test_every_text_file_is_utf8_and_ends_with_a_newline() -> None:
    kinds = (".py", ".md", ".html", ".css", ".js", ".toml", ".yaml", ".txt")
    chosen = [name for name in repository.files() if name.endswith(kinds) and not name.startswith("static/vendor/")]
    assert chosen
    assert not [name for name in chosen if (text := repository.text(name)) and not text.endswith("\n")]
