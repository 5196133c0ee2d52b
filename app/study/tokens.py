"""Study tokens: a card as it was shown, signed, so that a grade counts exactly once.

A token names the learner, the card, the last event of that card when it was shown (0 for none) and the study
day. Nothing is written when one is minted: two tabs that show the same card hold the same token, and any event,
an undo too, gives the card another one. Its 16-byte signature is what the review log keeps and holds unique.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import struct
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from app.errors import BadToken, SetupError

SECRET_BYTES = 32
SIGNATURE_BYTES = 16
_FIELDS = struct.Struct(">IQQi")
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a token says. ``signature`` is unique to these four values under this installation's secret."""

    user_id: int
    card_id: int
    basis_event_id: int
    study_day: date
    signature: bytes

    @property
    def seed(self) -> int:
        """Drawn numbers come from it, so that two tabs see the same ones; never the fuzz of the schedule."""
        digest = hashlib.sha256(b"drawn numbers" + self.signature).digest()
        return int.from_bytes(digest[:6], "big")

    @property
    def fuzz_seed(self) -> int:
        digest = hashlib.sha256(b"interval fuzz" + self.signature).digest()
        return int.from_bytes(digest[:6], "big")


def mint(secret: bytes, user_id: int, card_id: int, basis_event_id: int, study_day: date) -> str:
    body = _FIELDS.pack(user_id, card_id, basis_event_id, (study_day - _EPOCH).days)
    return base64.urlsafe_b64encode(body + _signature(secret, body)).decode().rstrip("=")


def read(secret: bytes, token: str) -> Shown:
    """Raises BadToken unless ``token`` was minted with ``secret``."""
    raw = _decoded(token)
    body, signature = raw[: _FIELDS.size], raw[_FIELDS.size :]
    if len(signature) != SIGNATURE_BYTES or not hmac.compare_digest(signature, _signature(secret, body)):
        raise _refusal()
    user_id, card_id, basis_event_id, day = _FIELDS.unpack(body)
    return Shown(user_id, card_id, basis_event_id, _EPOCH + timedelta(days=day), signature)


def load_secret(folder: Path) -> bytes:
    """The installation's signing secret: ``study-secret`` in ``folder``, made once, readable by its owner alone."""
    path = folder / "study-secret"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _publish(path, secrets.token_bytes(SECRET_BYTES))
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise SetupError(f"{path} is damaged: remove it and start again. Cards that are open must be shown again.")
    return secret


def _publish(path: Path, secret: bytes) -> None:
    """Written whole under another name, then linked: a second process starting now sees one secret or the other."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _signature(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, b"study token 1" + body, "sha256")[:SIGNATURE_BYTES]


def _decoded(token: str) -> bytes:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refusal() from error
    if base64.urlsafe_b64encode(raw).decode().rstrip("=") != token:
        raise _refusal()  # unused trailing bits: another spelling of the same bytes
    return raw


def _refusal() -> BadToken:
    return BadToken("This grade does not belong to a card that was shown here. Open Study again.", where="token")
