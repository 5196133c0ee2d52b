"""Frames between the event loop and a worker: four bytes of length, a type byte, then JSON or bytes (pure).

A message is one JSON frame. Values that are bytes travel before it, one bytes frame each, and the message
names them under ``attachments``, a list of keys of its ``result``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

HEADER = struct.Struct("!IB")
JSON = 1
BYTES = 2

Message = dict[str, Any]


class BadFrame(Exception):
    """The peer sent something that is no frame, or one above the limit."""


def encode(message: Mapping[str, Any]) -> bytes:
    """One JSON frame. Raises TypeError or ValueError for what JSON cannot carry; NaN and infinities pass."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return HEADER.pack(len(body), JSON) + body


def encode_bytes(body: bytes) -> bytes:
    return HEADER.pack(len(body), BYTES) + body


def encode_result(message: Mapping[str, Any], result: Mapping[str, Any]) -> bytes:
    """The frames of a message with its result; top-level bytes values become bytes frames."""
    attachments = {key: value for key, value in result.items() if isinstance(value, bytes)}
    plain = {key: value for key, value in result.items() if key not in attachments}
    last = encode({**message, "result": plain, "attachments": list(attachments)})
    return b"".join([*(encode_bytes(value) for value in attachments.values()), last])


class Decoder:
    """Turns chunks into messages, whatever the cuts. ``limit`` is the largest frame that is accepted, in bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._attachments: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that are now whole. Raises BadFrame."""
        self._buffer += chunk
        messages = []
        while (frame := self._next_frame()) is not None:
            kind, body = frame
            if kind == BYTES:
                self._attach(body)
            else:
                messages.append(self._message(body))
        return messages

    def _next_frame(self) -> tuple[int, bytes] | None:
        if len(self._buffer) < HEADER.size:
            return None
        length, kind = HEADER.unpack_from(self._buffer)
        if kind not in (JSON, BYTES) or length > self.limit:
            raise BadFrame(f"a frame of type {kind} with {length} bytes")
        end = HEADER.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[HEADER.size : end])
        del self._buffer[:end]
        return kind, body

    def _attach(self, body: bytes) -> None:
        self._attachments.append(body)
        if sum(map(len, self._attachments)) > self.limit:
            raise BadFrame("attachments above the limit")

    def _message(self, body: bytes) -> Message:
        try:
            message = from_json(body)  # six times as fast as json.loads on a list of numbers
        except ValueError as error:
            raise BadFrame("a frame that is not JSON") from error
        if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
            raise BadFrame("a message without a kind")
        keys = message.pop("attachments", None)
        if keys:
            self._fill(message, keys)
        return message

    def _fill(self, message: Message, keys: object) -> None:
        result = message.get("result")
        if not isinstance(keys, list) or not isinstance(result, dict) or len(keys) != len(self._attachments):
            raise BadFrame("attachments that do not match")
        result.update(zip(map(str, keys), self._attachments, strict=True))
        self._attachments = []
