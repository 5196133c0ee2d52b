"""Makes `.venv` hold exactly what a lock names. Run by ./run with the environment's own Python; needs no package.

    python locks/install.py [web] [lab] [gpu] [test] [--meanwhile lab|gpu] [--kept FOLDER]

A package counts as there when its version is the lock's and every file that it lists is there in full size, so a
half-made environment repairs itself. The lab (PyTorch) is unpacked beside the environment and moved in when whole,
torch last: a server that runs meanwhile never meets half of it.

Exit 3: this environment has no installer and must be made anew; 4: it could not be done, the sentence says why.
"""

from __future__ import annotations

import argparse
import csv
import fcntl
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

LOCKS = Path(__file__).resolve().parent
CUDA_COSTS = (2800, 6500)  # MB to download and on the disk; an estimate
PUBLIC_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
Pins = dict[str, str]


class Refused(Exception):
    """A sentence with its remedy."""


# --- what is there ---


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(path: Path) -> Pins:
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def costs(path: Path) -> tuple[int, int]:
    """Megabytes to download and on the disk, from the lock's first line."""
    found = re.search(r"Downloads (\d+) MB, takes (\d+) MB", path.read_text(encoding="utf-8"))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def installed(site: Path) -> dict[str, list[Path]]:
    """Every distribution's `.dist-info` folders by name."""
    found: dict[str, list[Path]] = {}
    for folder in site.glob("*.dist-info"):
        found.setdefault(normal(folder.name.removesuffix(".dist-info").rpartition("-")[0]), []).append(folder)
    return found


def is_whole(info: Path) -> bool:
    """Whether each file of the record is there in its size; scripts and compiled files do not count."""
    record = info / "RECORD"
    if not record.is_file():
        return False
    with record.open(encoding="utf-8", newline="") as lines:
        for path, _, size in csv.reader(lines):
            if path.startswith("..") or path.endswith((".pyc", "RECORD")):
                continue
            try:
                length = (info.parent / path).stat().st_size
            except OSError:
                return False
            if size and length != int(size):
                return False
    return True


def version_of(info: Path) -> str:
    return info.name.removesuffix(".dist-info").rpartition("-")[2]


def is_pinned(name: str, version: str, pin: str) -> bool:
    return (version.partition("+")[0] if name == "torch" else version) == pin


def missing(pins: Pins, site: Path) -> Pins:
    """The pins that are not there as they should be."""
    there = installed(site)
    return {
        name: pin
        for name, pin in pins.items()
        if not (
            len(there.get(name, [])) == 1
            and is_pinned(name, version_of(there[name][0]), pin)
            and is_whole(there[name][0])
        )
    }


def forget_broken(names: Pins, site: Path) -> None:
    """Takes away the records of half-installed packages, which an installer could not replace."""
    for name, folders in installed(site).items():
        broken = [folder for folder in folders if name in names and (len(folders) > 1 or not is_whole(folder))]
        for folder in broken:
            shutil.rmtree(folder)


# --- who installs, and from where ---


def pip_settings(lines: Sequence[str]) -> dict[str, list[str]]:
    """The package sources in the lines of `pip config list`; the environment's win, as in pip."""
    found: dict[str, list[str]] = {}
    for line in sorted(lines, key=lambda line: line.startswith(":env:")):
        match = re.match(r"[^.=]*\.(index-url|extra-index-url|find-links|no-index|cert)=(['\"])(.*)\2$", line.strip())
        if match:
            found[match[1]] = match[3].replace("\\n", " ").split()
    return found


def uv_arguments(settings: Mapping[str, list[str]]) -> list[str]:
    options = ("index-url", "extra-index-url", "find-links")
    named = [
        argument for option in options for value in settings.get(option, []) for argument in (f"--{option}", value)
    ]
    named += ["--no-index"] if settings.get("no-index", ["0"])[0].lower() in ("1", "true", "yes", "on") else []
    return [*named, "--index-strategy", "unsafe-best-match"] if "extra-index-url" in settings else named


def configured_pip() -> dict[str, list[str]]:
    for python in (sys.executable, "python3"):
        asked = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            return pip_settings(asked.stdout.splitlines())
    return {}


class Installer:
    """pip, or uv where it is there."""

    def __init__(self, beside: int) -> None:
        """Ends what it runs when the process ``beside`` ends."""
        self.beside = beside
        self.uv = shutil.which("uv")
        settings = configured_pip() if self.uv else {}
        self.sources = uv_arguments(settings)
        self.environment = dict(os.environ)
        if "cert" in settings:
            self.environment.setdefault("SSL_CERT_FILE", settings["cert"][0])

    def command(self, *arguments: str) -> list[str]:
        if self.uv:
            return [self.uv, "pip", "install", "--quiet", "--python", sys.executable, *self.sources, *arguments]
        return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]

    def install(self, *arguments: str) -> str:
        """Empty when it worked, else what the installer said."""
        with tempfile.TemporaryFile("w+") as said:
            child = subprocess.Popen(self.command(*arguments), stdout=said, stderr=said, env=self.environment)
            while child.poll() is None:
                if not is_running(self.beside):
                    child.terminate()
                time.sleep(0.1)
            said.seek(0)
            return said.read() or "the installer was stopped" if child.returncode else ""

    def resolves_without_cuda(self, requirement: str) -> bool:
        if self.uv:
            asked = self._ask(self.command("--dry-run", requirement, "--verbose"))
            return asked.returncode == 0 and "nvidia-" not in asked.stderr
        asked = self._ask(self.command("--dry-run", "--ignore-installed", "--report", "-", requirement))
        if asked.returncode != 0:
            return False
        names = [normal(item["metadata"]["name"]) for item in json.loads(asked.stdout)["install"]]
        return not any(name.startswith("nvidia-") for name in names)

    def _ask(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False, env=self.environment)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


# --- the sets ---


def install_set(pins: Pins, installer: Installer) -> None:
    """Raises Refused."""
    explain(installer.install("--no-deps", *(f"{name}=={pin}" for name, pin in pins.items())))


def install_lab(pins: Pins, site: Path, installer: Installer, *, gpu: bool) -> None:
    """Unpacks beside the environment, then moves in. Raises Refused."""
    with tempfile.TemporaryDirectory(prefix="lab-", dir=sys.prefix) as folder:
        plain = [f"{name}=={pin}" for name, pin in pins.items() if name != "torch"]
        if plain:
            explain(installer.install("--no-deps", "--target", folder, *plain))
        if "torch" in pins:
            explain(fetch_torch(pins["torch"], folder, installer, gpu=gpu))
        move_in(Path(folder), site)


def fetch_torch(pin: str, folder: str, installer: Installer, *, gpu: bool) -> str:
    """The CPU wheel: from the configured sources, else PyTorch's own index; never CUDA's unless asked for."""
    if gpu:
        return installer.install("--target", folder, f"torch==={pin}")
    has_builds = sys.platform == "linux"
    if not has_builds:
        return installer.install("--no-deps", "--target", folder, f"torch=={pin}")
    said = installer.install("--no-deps", "--target", folder, f"torch=={pin}+cpu")
    if said:
        said = installer.install("--no-deps", "--target", folder, "--index-url", PUBLIC_CPU_INDEX, f"torch=={pin}+cpu")
    if said and installer.resolves_without_cuda(f"torch=={pin}"):
        said = installer.install("--no-deps", "--target", folder, f"torch=={pin}")
    return said


def move_in(folder: Path, site: Path) -> None:
    entries = [entry for entry in folder.iterdir() if entry.name not in ("bin", "share") and entry.name[0] != "."]
    for entry in sorted(entries, key=lambda entry: (entry.name == "torch", not entry.name.endswith(".dist-info"))):
        name = normal(entry.name.removesuffix(".dist-info").rpartition("-")[0])
        for old in installed(site).get(name, []) if entry.name.endswith(".dist-info") else []:
            shutil.rmtree(old)
        target = site / entry.name
        if target.is_dir():
            shutil.rmtree(target)
        entry.replace(target)


def explain(said: str) -> None:
    """Raises Refused with the sentence for what an installer said; nothing for an empty text."""
    if not said:
        return
    lines = [line.strip() for line in said.strip().splitlines()]
    errors = [line for line in lines if line.lower().startswith("error")]
    last = (errors or lines)[-1]
    lower = said.lower()
    if "no space left" in lower:
        raise Refused("The disk is full. Free some space, then run ./run again; it goes on where it stopped.")
    signs = ("name resolution", "failed to establish", "connection refused", "unreachable", "dns error", "timed out")
    if any(sign in lower for sign in (*signs, "could not connect", "error sending request", "client error (connect)")):
        raise Refused("The package sources cannot be reached. Check the network, then run ./run again.")
    raise Refused(
        f"A package could not be installed ({last}). Set pip's index to one that has it, then run ./run again."
    )


def check_disk(takes_mb: int) -> None:
    """Raises Refused when the environment's disk cannot take that much and a little more."""
    free_mb = shutil.disk_usage(sys.prefix).free // 1_000_000
    if free_mb < takes_mb * 1.2 + 50:
        needs = int(takes_mb * 1.2 + 50)
        raise Refused(
            f"The disk has {free_mb} MB left and this needs {needs} MB. Free some space, then run ./run again."
        )


class OneAtATime:
    """A lock that the kernel frees when the process ends."""

    def __init__(self) -> None:
        self._file = (Path(sys.prefix) / ".installing").open("w")

    def wait(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another ./run is installing; waiting for it.")
            fcntl.flock(self._file, fcntl.LOCK_EX)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def is_cpu_torch(site: Path) -> bool:
    return any("+cpu" in folder.name for folder in installed(site).get("torch", []))


def wanted(name: str, site: Path) -> Pins:
    """What the set lacks. ``gpu`` is the lab with torch's CUDA build."""
    pins = read_lock(LOCKS / f"{'lab' if name == 'gpu' else name}.txt")
    lacking = missing(pins, site)
    return lacking | {"torch": pins["torch"]} if name == "gpu" and is_cpu_torch(site) else lacking


def run(name: str, site: Path, beside: int) -> None:
    """Raises Refused."""
    if not wanted(name, site):
        return
    lock = OneAtATime()
    lock.wait()
    pins = wanted(name, site)
    if not pins:
        return
    is_torch = name in ("lab", "gpu") and "torch" in pins
    check_disk(costs(LOCKS / f"{'lab' if name == 'gpu' else name}.txt")[1] if is_torch or name != "lab" else 50)
    forget_broken(pins, site)
    if name in ("lab", "gpu"):
        clear_leftovers()
        install_lab(pins, site, Installer(beside), gpu=name == "gpu")
    else:
        install_set(pins, Installer(beside))


def clear_leftovers() -> None:
    for folder in Path(sys.prefix).glob("lab-*"):
        shutil.rmtree(folder)


def announcements(names: Sequence[str], site: Path) -> Iterator[str]:
    what = {"web": "the site", "lab": "the lab (PyTorch)", "gpu": "the lab (PyTorch for CUDA)", "test": "the tests"}
    for name in names:
        if wanted(name, site):
            downloads, takes = CUDA_COSTS if name == "gpu" else costs(LOCKS / f"{name}.txt")
            yield f"For {what[name]} ./run fetches up to {downloads} MB, which take {takes} MB in {sys.prefix}."


def has_installer() -> bool:
    return shutil.which("uv") is not None or importlib.util.find_spec("pip") is not None


def start_meanwhile(name: str) -> None:
    """In a session of its own, so that Ctrl-C is the server's; ends with the server, which takes our parent's place."""
    command = [sys.executable, __file__, name, "--beside", str(os.getppid())]
    subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("sets", nargs="+", choices=["web", "lab", "gpu", "test"])
    parser.add_argument("--meanwhile", choices=["lab", "gpu"])
    parser.add_argument("--kept")
    parser.add_argument("--beside", type=int)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    site = Path(sysconfig.get_paths()["purelib"])
    asked = parsed(arguments)
    if asked.beside is not None:
        os.nice(10)
        time.sleep(1)  # the server's first page comes first
    else:
        announced = list(announcements([*asked.sets, *([asked.meanwhile] if asked.meanwhile else [])], site))
        if sys.version_info < (3, 11) or (announced and not has_installer()):
            return 3
        for text in [*announced, *([f"Your progress is kept in {asked.kept}."] if announced and asked.kept else [])]:
            say(text)
    status = install_all(asked, site)
    if status == 0 and asked.meanwhile and wanted(asked.meanwhile, site):
        start_meanwhile(asked.meanwhile)
    return status


def install_all(asked: argparse.Namespace, site: Path) -> int:
    try:
        for name in asked.sets:
            run(name, site, asked.beside or os.getppid())
    except Refused as refusal:
        if asked.beside and not is_running(asked.beside):
            return 0
        what = "The lab is not installed; cards can be studied all the same. " if asked.beside else ""
        say(f"{what}{refusal}")
        return 4
    except OSError as error:
        say(f"{error.strerror}: {error.filename or sys.prefix}. Put that right, then run ./run again.")
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
