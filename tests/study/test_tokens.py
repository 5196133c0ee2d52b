from __future__ import annotations

import base64
import stat
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadToken, SetupError
from app.study import actions, tokens
from tests.study.deck import ADA, BEN, NOON, SECRET

DAY = date(2026, 3, 2)
days = st.dates(date(1970, 1, 1), date(2400, 1, 1))


@given(st.integers(1, 2**32 - 1), st.integers(1, 2**63), st.integers(0, 2**63), days)
def test_a_token_says_what_it_was_minted_on(user_id: int, card_id: int, basis: int, day: date) -> None:
    shown = tokens.read(SECRET, tokens.mint(SECRET, user_id, card_id, basis, day))
    assert (shown.user_id, shown.card_id, shown.basis_event_id, shown.study_day) == (user_id, card_id, basis, day)


def test_two_tabs_hold_the_same_token_and_see_the_same_numbers() -> None:
    first, second = (tokens.mint(SECRET, 1, 7, 3, DAY) for _ in range(2))
    assert first == second
    assert tokens.read(SECRET, first).seed == tokens.read(SECRET, second).seed


def test_another_event_day_card_or_learner_gives_another_token_and_other_numbers() -> None:
    minted = [
        tokens.mint(SECRET, user, card, basis, day)
        for user in (1, 2)
        for card in (7, 8)
        for basis in (0, 3)
        for day in (DAY, date(2026, 3, 3))
    ]
    read = [tokens.read(SECRET, token) for token in minted]
    assert len({shown.signature for shown in read}) == len({shown.seed for shown in read}) == len(minted)
    assert not {shown.seed for shown in read} & {shown.fuzz_seed for shown in read}


@given(st.integers(0, 319))
def test_a_token_with_any_bit_changed_is_refused(bit: int) -> None:
    token = tokens.mint(SECRET, 1, 7, 3, DAY)
    raw = bytearray(base64.urlsafe_b64decode(token + "=="))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadToken):
        tokens.read(SECRET, base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("="))


@given(st.text())
def test_text_that_is_no_token_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(BadToken, match="Open Study again"):
        tokens.read(SECRET, text)


def test_another_spelling_of_a_token_is_refused() -> None:
    token = tokens.mint(SECRET, 1, 7, 3, DAY)
    other_last = chr(ord(token[-1]) + 1)
    for spelling in (token + "==", token + "\n", " " + token, token[:-1] + other_last):
        with pytest.raises(BadToken):
            tokens.read(SECRET, spelling)


def test_a_token_of_another_installation_is_refused() -> None:
    with pytest.raises(BadToken):
        tokens.read(b"another secret, thirty-two bytes", tokens.mint(SECRET, 1, 7, 3, DAY))


def test_ben_cannot_use_adas_token() -> None:
    with pytest.raises(BadToken, match="somebody else"):
        actions.read_grade(SECRET, BEN, tokens.mint(SECRET, ADA.id, 7, 3, DAY), 3, NOON)


def test_the_secret_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    first = tokens.load_secret(tmp_path / "data")
    assert tokens.load_secret(tmp_path / "data") == first
    files = list((tmp_path / "data").iterdir())
    assert [file.name for file in files] == ["study-secret"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


def test_a_damaged_secret_is_reported_instead_of_replaced(tmp_path: Path) -> None:
    (tmp_path / "study-secret").write_bytes(b"short")
    with pytest.raises(SetupError, match="is damaged"):
        tokens.load_secret(tmp_path)
