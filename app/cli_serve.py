"""./run serve: one web process on loopback, started with a sentence and ended without a traceback."""

from __future__ import annotations

import argparse
import errno
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from app import main
from app.errors import SetupError
from app.settings import Settings

BACKLOG = 2048


def serve(_: argparse.Namespace, settings: Settings) -> int:
    """Returns when the server was told to stop. Raises SetupError, or whatever kept it from starting."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    listening = listen(settings.host, settings.port)
    app = main.create_app(settings)
    startup = Startup(app)
    server = Server(app, address(listening), settings.database_path)
    try:
        server.run(sockets=[listening])
    finally:
        listening.close()
    if startup.error is not None:
        raise startup.error
    return 0 if server.started else 1


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises SetupError for an address that is not loopback, or a port that is taken."""
    family, number = _loopback(host)
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((number, port))
        return bound
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            says = f"Port {port} is taken by another program. Stop it, or take another port: ./run --port {port + 1}"
            raise SetupError(says) from None
        raise SetupError(
            f"Cannot listen on {host}, port {port}: {error.strerror}. Try another: ./run --port 8001"
        ) from None


def _loopback(host: str) -> tuple[socket.AddressFamily, str]:
    try:
        number = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
    except ValueError:
        number = ipaddress.ip_address("0.0.0.0")
    if not number.is_loopback:
        raise SetupError(f"There are no accounts yet, so {host} is refused: listen on 127.0.0.1, localhost or ::1.")
    return (socket.AF_INET if number.version == 4 else socket.AF_INET6), str(number)


def address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Startup:
    """Keeps what went wrong while the app started, and keeps uvicorn from printing its traceback."""

    def __init__(self, app: FastAPI) -> None:
        self.error: Exception | None = None
        self._inner = app.router.lifespan_context
        app.router.lifespan_context = self._lifespan
        logging.getLogger("uvicorn.error").addFilter(lambda _: self.error is None)

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[Any]:
        has_started = False
        try:
            async with self._inner(app) as state:
                has_started = True
                yield state
        except Exception as error:
            if not has_started:
                self.error = error
            raise


class Server(uvicorn.Server):
    """Says the address once pages can be had."""

    def __init__(self, app: FastAPI, at: str, kept: Path) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http="httptools",
                access_log=False,
                log_level="warning",
                backlog=BACKLOG,
                timeout_graceful_shutdown=2,
            )
        )
        self._at = at
        self._kept = kept

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn's own end after a failed start would pass over our sentence
            self.should_exit = True
        if self.started:
            print(f"Study at {self._at}  ·  Ctrl-C stops it; progress is kept in {self._kept}", flush=True)
