"""What the pool runs in its tests: each name is a small deed, most of them bad."""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.pool import frames

Emit = Callable[[dict[str, Any]], None]
Cancelled = Callable[[], bool]
Params = dict[str, Any]

remembered: list[str] = []


class ReadableError(Exception):
    """An error with a sentence for the reader."""

    says = "p is 1.5; a probability lies between 0 and 1."


def run_job(name: str, params: Params, seed: int, emit: Emit, cancelled: Cancelled) -> dict[str, Any]:
    if name in WITH_STREAM:
        return WITH_STREAM[name](params, emit, cancelled)
    return {"seed": seed, "pid": os.getpid(), "value": PLAIN[name](params)}


def run_with_torch(name: str, params: Params, seed: int, emit: Emit, cancelled: Cancelled) -> dict[str, Any]:
    torch = __import__("torch")
    if name == "oversized":
        return {"size": torch.zeros(params["elements"], dtype=torch.float64).numel()}
    torch.manual_seed(seed)
    layer = torch.nn.Linear(256, 256)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.01)
    for _ in range(params["steps"]):
        loss = layer(torch.randn(512, 256)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {"loss": float(loss), "threads": torch.get_num_threads()}


def warm_torch() -> dict[str, str]:
    torch = __import__("torch")
    torch.set_num_threads(1)
    run_with_torch("train", {"steps": 1}, 0, lambda data: None, lambda: False)
    return {"torch": str(torch.__version__)}


def warm_quickly() -> dict[str, str]:
    remembered.append("first stage")
    return {"stage": "first"}


def warm_fully() -> dict[str, str]:
    remembered.append("second stage")
    return {"stage": "second"}


def warm_badly() -> None:
    raise ModuleNotFoundError("No module named 'torch'")


def warm_with_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


def count_upwards(params: Params, emit: Emit, cancelled: Cancelled) -> dict[str, Any]:
    for step in range(params["steps"]):
        emit({"step": step})
        time.sleep(params.get("pause", 0.0))
    return {"steps": params["steps"]}


def crash_once(params: Params, emit: Emit, cancelled: Cancelled) -> dict[str, Any]:
    emit({"pid": os.getpid()})
    time.sleep(params["pause"])
    return {"value": segfault(params)}


def wait_for_cancel(params: Params, emit: Emit, cancelled: Cancelled) -> dict[str, Any]:
    emit({"waiting": True})
    while not cancelled():
        time.sleep(0.002)
    return {"noticed": True}


def segfault(params: Params) -> Any:
    return ctypes.string_at(0)


def loop_for_ever(params: Params) -> Any:
    while True:
        pass


def compute_in_one_c_call(params: Params) -> Any:
    return len(str(math.factorial(params.get("n", 3_000_000)))) if params else pow(3, 10**9).bit_length()


def sleep(params: Params) -> float:
    time.sleep(params["seconds"])
    return float(params["seconds"])


def spin(params: Params) -> float:
    end = time.perf_counter() + params["seconds"]
    while time.perf_counter() < end:
        pass
    return float(params["seconds"])


def eat_memory(params: Params) -> int:
    hoard = []
    while True:
        hoard.append(bytearray(16 * 1024 * 1024))


def eat_shared_memory(params: Params) -> int:
    hoard: list[mmap.mmap] = []
    while True:
        area = mmap.mmap(-1, 64 * 1024 * 1024)
        area.write(b"x" * len(area))
        hoard.append(area)


def raise_readable(params: Params) -> Any:
    raise ReadableError


def raise_plain(params: Params) -> Any:
    raise ValueError("p must lie below 1")


def leave(params: Params) -> Any:
    raise SystemExit(3)


def remember(params: Params) -> list[str]:
    remembered.append(params["word"])
    return list(remembered)


def not_json(params: Params) -> Any:
    return object()


def write_file(params: Params) -> Any:
    return Path(params["path"]).write_text("owned")


def read_file(params: Params) -> int:
    return len(Path(params["path"]).read_bytes())


def connect(params: Params) -> Any:
    with socket.create_connection(("127.0.0.1", params["port"]), timeout=1):
        return "connected"


def connect_to_path(params: Params) -> Any:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(params["path"])
        return "connected"


def fork(params: Params) -> Any:
    if os.fork() == 0:
        os._exit(0)
    return "forked"


def start_thread(params: Params) -> Any:
    threading.Thread(target=time.sleep, args=(0.01,)).start()
    return "started"


def execute(params: Params) -> Any:
    os.execv("/bin/true", ["true"])


def spawn(params: Params) -> Any:
    return os.posix_spawn("/bin/true", ["true"], {})


def kill_parent(params: Params) -> Any:
    os.kill(os.getppid(), signal.SIGKILL)
    return "killed"


def kill_group(params: Params) -> Any:
    os.kill(0, signal.SIGKILL)
    return "killed"


def signal_by_descriptor(params: Params) -> Any:
    signal.pidfd_send_signal(os.pidfd_open(os.getppid()), signal.SIGTERM)
    return "killed"


def trace_parent(params: Params) -> Any:
    return call_system("ptrace", 16, os.getppid(), 0, 0)


def outlive_parent(params: Params) -> Any:
    return call_system("prctl", 1, 0, 0, 0, 0)


def shared_segment(params: Params) -> Any:
    return call_system("shmget", 0, 4096, 0o1600)


def memory_file(params: Params) -> Any:
    return os.memfd_create("hidden")


def change_mode(params: Params) -> Any:
    Path(params["path"]).chmod(0o777)
    return "changed"


def delete_file(params: Params) -> Any:
    Path(params["path"]).unlink()
    return "deleted"


def new_namespace(params: Params) -> Any:
    return call_system("unshare", 0x10000000)


def raise_own_limit(params: Params) -> Any:
    resource = __import__("resource")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    bytearray(400 * 1024 * 1024)
    return "raised"


def write_nonsense(params: Params) -> Any:
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"\xff" * 64)
        except OSError:
            continue
    return "written"


def forge_an_answer(params: Params) -> Any:
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, frames.encode({"kind": "done", "job": "another", "result": {}, "seconds": 0.0}))
        except OSError:
            continue
    return "written"


def call_system(name: str, *arguments: int) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    found = int(getattr(library, name)(*arguments))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found


def large_progress(params: Params, emit: Emit, cancelled: Cancelled) -> dict[str, Any]:
    emit({"text": "x" * params["bytes"]})
    return {}


WITH_STREAM: dict[str, Callable[[Params, Emit, Cancelled], dict[str, Any]]] = {
    "count": count_upwards,
    "crash once": crash_once,
    "wait for cancel": wait_for_cancel,
    "bytes": lambda params, emit, cancelled: {"picture": bytes(range(256)), "other": b"", "name": "all bytes"},
    "list": lambda params, emit, cancelled: [],  # type: ignore[dict-item, return-value]
    "large progress": large_progress,
    "large": lambda params, emit, cancelled: {"text": "x" * params["bytes"]},
    "special numbers": lambda params, emit, cancelled: {"values": [math.nan, math.inf, -math.inf]},
}

PLAIN: dict[str, Callable[[Params], Any]] = {
    "echo": lambda params: params,
    "segfault": segfault,
    "abort": lambda params: os.abort(),
    "loop": loop_for_ever,
    "one C call": compute_in_one_c_call,
    "sleep": sleep,
    "spin": spin,
    "eat memory": eat_memory,
    "eat shared memory": eat_shared_memory,
    "readable error": raise_readable,
    "plain error": raise_plain,
    "leave": leave,
    "remember": remember,
    "not json": not_json,
    "write nonsense": write_nonsense,
    "forge an answer": forge_an_answer,
    "temporary folder": lambda params: tempfile.gettempdir(),
    "devices": lambda params: os.environ["CUDA_VISIBLE_DEVICES"],
    "environment": lambda params: [name for name in os.environ if name.startswith("FORWARD_PASS")],
}

HOSTILE: dict[str, Callable[[Params], Any]] = {
    "write file": write_file,
    "read file": read_file,
    "connect": connect,
    "connect to path": connect_to_path,
    "fork": fork,
    "start thread": start_thread,
    "execute": execute,
    "spawn": spawn,
    "kill parent": kill_parent,
    "kill group": kill_group,
    "signal by descriptor": signal_by_descriptor,
    "trace parent": trace_parent,
    "outlive parent": outlive_parent,
    "shared segment": shared_segment,
    "memory file": memory_file,
    "change mode": change_mode,
    "delete file": delete_file,
    "new namespace": new_namespace,
    "raise own limit": raise_own_limit,
}
PLAIN |= HOSTILE
