"""A worker that is started, not forked: one for each GPU (a CUDA context cannot be forked), and all off Linux.

Started as ``python -m app.pool.spawned CONFIG`` with one end of a stream socket pair. It is not confined.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback

from app.pool import confine, frames, worker, zygote


def main(argument: str) -> int:
    config = json.loads(argument)
    confine.die_with_parent(config["parent"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = worker.Channel(socket.socket(fileno=config["descriptor"]))
    try:
        runner, versions = zygote.warm(config["runner"], tuple(config["warmup"]))
    except Exception as error:  # noqa: BLE001 - the border of the process: the server must learn why
        traceback.print_exc()
        _, says = worker.describe(error)
        channel.send(frames.encode({"kind": "broken", "says": says or "Memory ran out while warming up."}))
        return 1
    channel.send(frames.encode({"kind": "warm", "versions": versions}))
    worker.silence_output(os.open(os.devnull, os.O_RDWR))
    try:
        worker.Worker(channel, runner, None).serve()
    except (BrokenPipeError, ConnectionResetError):
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
