"""Frames: whatever the cuts, the same messages; nonsense is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pool import frames

VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary(), st.lists(st.integers())
)


@given(results=st.lists(st.dictionaries(st.text(), VALUES), max_size=4), size=st.integers(1, 50))
def test_results_survive_any_cut_of_the_stream(results: list[dict[str, Any]], size: int) -> None:
    stream = b"".join(frames.encode_result({"kind": "done"}, result) for result in results)
    decoder = frames.Decoder(limit=1_000_000)
    messages = [
        message for start in range(0, len(stream), size) for message in decoder.feed(stream[start : start + size])
    ]
    assert [message["result"] for message in messages] == results


@pytest.mark.parametrize(
    "stream",
    [
        frames.HEADER.pack(2, 9) + b"{}",
        frames.HEADER.pack(1001, frames.JSON),
        frames.HEADER.pack(2, frames.JSON) + b"[]",
        frames.HEADER.pack(2, frames.JSON) + b"{}",
        frames.HEADER.pack(2, frames.JSON) + b"\xff\xfe",
        frames.HEADER.pack(990, frames.JSON) + b"[" * 990,
        frames.encode({"kind": "done", "result": {}, "attachments": ["missing"]}),
        frames.encode_bytes(b"x") + frames.encode({"kind": "done", "attachments": ["a"]}),
        frames.encode_bytes(b"x" * 600) + frames.encode_bytes(b"x" * 600),
    ],
)
def test_what_is_no_message_is_refused(stream: bytes) -> None:
    with pytest.raises(frames.BadFrame):
        frames.Decoder(limit=1000).feed(stream)


def test_what_json_cannot_carry_is_refused_when_encoding() -> None:
    with pytest.raises(TypeError):
        frames.encode({"kind": "done", "result": object()})


def test_a_json_frame_is_length_type_and_plain_json() -> None:
    frame = frames.encode({"kind": "ready"})
    assert frame[:5] == bytes([0, 0, 0, len(frame) - 5, 1])
    assert json.loads(frame[5:]) == {"kind": "ready"}
