"""The command line: each word of ./run that is not about the environment. Imports no torch.

Results go to standard output, sentences about trouble to standard error. Exit 0: done; 1: a problem was found;
2: what was asked cannot be understood.
"""

from __future__ import annotations

import argparse
import errno
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pysqlite3
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from app import cli_cards, cli_care, cli_runs, cli_serve
from app.errors import AppError, BadInput, NotFound, SetupError
from app.settings import Settings

FULL = "The disk is full. Free some space and say it again; nothing that was stored is lost."


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="./run", description="The interview-prep deck where every card runs.")
    words = made.add_subparsers(dest="word", required=True, metavar="COMMAND")
    _add_serving(words)
    _add_cards(words)
    _add_runs(words)
    _add_care(words)
    return made


Words = argparse._SubParsersAction  # argparse gives the type no public name


def _add_serving(words: Words[argparse.ArgumentParser]) -> None:
    serve = words.add_parser("serve", help="study in the browser")
    serve.add_argument("--host", help="loopback address to listen on")
    serve.add_argument("--port", type=int, help="port to listen on; 0 picks a free one")
    serve.add_argument("--unconfined", action="store_true", default=None, help="allow workers without a sandbox")
    serve.add_argument("--no-pool", dest="pool", action="store_false", default=None, help="stored pictures only")
    _database(serve)
    serve.set_defaults(command=cli_serve.serve)


def _add_cards(words: Words[argparse.ArgumentParser]) -> None:
    load = words.add_parser("load", help="read the card files into the database")
    load.add_argument("folder", nargs="?", type=Path)
    load.set_defaults(command=cli_cards.load)
    check = words.add_parser("check-cards", help="every problem of the card files")
    check.add_argument("folder", nargs="?", type=Path)
    check.set_defaults(command=cli_cards.check_cards)
    taken = words.add_parser("import", help="questions from a Markdown file, as drafts")
    taken.add_argument("file", type=Path)
    taken.add_argument("--dry-run", action="store_true", help="change nothing, say what would come")
    taken.add_argument("--json", action="store_true")
    taken.set_defaults(command=cli_cards.import_file)
    export = words.add_parser("export", help="every card as a file")
    export.add_argument("folder", type=Path)
    export.set_defaults(command=cli_cards.export)
    for one in (load, taken, export):
        _database(one)


def _add_runs(words: Words[argparse.ArgumentParser]) -> None:
    claims = words.add_parser("claims", help="run what the cards claim")
    claims.add_argument("cards", nargs="*", metavar="CARD", help="ids; all cards without one")
    demo = words.add_parser("demo", help="run one demonstration; without a name, list them")
    demo.add_argument("slug", nargs="?")
    demo.add_argument("values", nargs="*", metavar="knob=value")
    demo.add_argument("--preset", help="a named setting; values given beside it win")
    for one in (claims, demo):
        one.add_argument("--json", action="store_true")
        one.add_argument("--unconfined", action="store_true", default=None, help="allow workers without a sandbox")
    _database(claims)
    claims.set_defaults(command=cli_runs.claims)
    demo.set_defaults(command=cli_runs.demo)
    describe = words.add_parser("describe", help="refresh the stored runs of demonstrations that changed")
    describe.add_argument("slugs", nargs="*")
    describe.set_defaults(command=_describe)


def _add_care(words: Words[argparse.ArgumentParser]) -> None:
    migrate = words.add_parser("migrate", help="bring the database to this version")
    migrate.set_defaults(command=cli_care.migrate)
    doctor = words.add_parser("doctor", help="compare memory with the log of reviews")
    doctor.add_argument("--rebuild", action="store_true", help="make memory and daily counts anew from the log")
    doctor.set_defaults(command=cli_care.doctor)
    backup = words.add_parser("backup", help="a copy of the database")
    backup.add_argument("target", nargs="?", type=Path)
    backup.set_defaults(command=cli_care.backup)
    for one in (migrate, doctor, backup):
        _database(one)


def _database(command: argparse.ArgumentParser) -> None:
    command.add_argument("--database", help="path of the SQLite file")


def settings_for(asked: argparse.Namespace) -> Settings:
    """The environment's settings, with the options given on top. Raises SetupError."""
    names = ("host", "port", "database", "unconfined", "pool")
    given = {name: value for name in names if (value := getattr(asked, name, None)) is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        place = f"--{name}" if name in given else f"FORWARD_PASS_{name.upper()}"
        raise SetupError(f"{place}: {first['msg']}.") from None


def _describe(asked: argparse.Namespace, _: Settings) -> int:
    """In a process of its own, since it needs torch."""
    return subprocess.run([sys.executable, "-m", "app.demos.describe", *asked.slugs], check=False).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser().parse_args(arguments)
    try:
        return int(asked.command(asked, settings_for(asked)))
    except (BadInput, NotFound) as error:
        return _say(error.says, 2)
    except AppError as error:
        return _say(error.says, 1)
    except (DBAPIError, pysqlite3.Error, sqlite3.Error) as error:
        return _say(_database_trouble(str(getattr(error, "orig", error)), settings_for(asked)), 1)
    except OSError as error:
        return _say(_file_trouble(error), 1)
    except KeyboardInterrupt:
        return 130


def _say(text: str, status: int) -> int:
    print(text, file=sys.stderr)
    return status


def _database_trouble(says: str, settings: Settings) -> str:
    path = settings.database_path
    if "full" in says:
        return FULL
    if "locked" in says:
        return f"Another program holds the database {path} for longer than ten seconds. Close it and try again."
    if "malformed" in says or "not a database" in says:
        return f"{path} is damaged or no database. Put a copy from {path.parent / 'backups'} in its place."
    if "readonly" in says or "unable to open" in says:
        return f"{path} cannot be opened for writing. Check its permissions, or name another with --database."
    return f"The database {path} says: {says}. ./run doctor looks at it closely."


def _file_trouble(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return FULL
    remedy = "Check that it is there and that you may use it."
    return f"{error.filename or 'A file'}: {error.strerror}. {remedy}"


if __name__ == "__main__":
    sys.exit(main())
