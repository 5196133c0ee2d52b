"""The event loop's end of a worker: a non-blocking stream of frames."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from app.pool import frames

CHUNK_BYTES = 64 * 1024


class Link:
    """Reads frames and hands each on; calls ``on_end`` once, when the peer has gone or sent nonsense.

    What the peer wrote before it died is still delivered, because a failed write does not stop the reading.
    """

    def __init__(
        self,
        connection: socket.socket,
        limit: int,
        on_message: Callable[[frames.Message], None],
        on_end: Callable[[], None],
    ) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._decoder = frames.Decoder(limit)
        self._on_message = on_message
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._unsent = bytearray()
        self._open = True
        self._paused = False
        self._loop.add_reader(connection.fileno(), self._read)

    def accept(self, limit: int) -> None:
        """Sets the largest frame that the peer may send from now on, in bytes."""
        self._decoder.limit = limit

    def send(self, data: bytes) -> None:
        if not self._open:
            return
        if self._unsent:
            self._unsent += data
            return
        sent = self._try_send(data)
        if sent < len(data):
            self._unsent += data[sent:]
            self._loop.add_writer(self._socket.fileno(), self._write)

    def pause(self, seconds: float) -> None:
        """Stops reading for a while: a peer that floods waits in its own send."""
        if self._open and not self._paused:
            self._paused = True
            self._loop.remove_reader(self._socket.fileno())
            self._loop.call_later(seconds, self._resume)

    def close(self) -> None:
        """Ends without calling ``on_end``."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()

    def _resume(self) -> None:
        self._paused = False
        if self._open:
            self._loop.add_reader(self._socket.fileno(), self._read)

    def _try_send(self, data: bytes | bytearray) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)  # the peer has gone; the reader will notice

    def _write(self) -> None:
        sent = self._try_send(self._unsent)
        del self._unsent[:sent]
        if not self._unsent:
            self._loop.remove_writer(self._socket.fileno())

    def _read(self) -> None:
        try:
            chunk = self._socket.recv(CHUNK_BYTES)
            messages = self._decoder.feed(chunk)
        except BlockingIOError:
            return
        except (OSError, frames.BadFrame):
            chunk, messages = b"", []
        for message in messages:
            if self._open:
                self._on_message(message)
        if not chunk:
            self._end()

    def _end(self) -> None:
        if self._open:
            self.close()
            self._on_end()
