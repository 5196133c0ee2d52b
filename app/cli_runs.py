"""./run demo and claims: runs in the pool's confined workers, from the terminal."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Engine as Database

from app import cli_care, db
from app.cards import actions, queries
from app.cards import claims as rules
from app.cards.claims import Outcome, Settled
from app.cards.model import Claim, PresetRef
from app.cards.queries import ClaimNote
from app.clock import SystemClock
from app.demos import catalogue
from app.demos.catalogue import StoredDemo
from app.errors import AppError, BadInput, NotFound, SetupError
from app.pool import choosing
from app.pool.engine import Engine
from app.pool.job import Done, Failed, JobSpec, Limits
from app.settings import Settings

WARMING_SECONDS = 60.0
RunJob = Callable[[JobSpec], Awaitable[Mapping[str, Any] | str]]


@asynccontextmanager
async def pool(settings: Settings) -> AsyncIterator[Engine]:
    """The embedded pool with its workers ready. Raises SetupError where it cannot run."""
    if importlib.util.find_spec("torch") is None:
        raise SetupError("PyTorch is not installed here yet. ./run installs it; ./run demo too.")
    engine = choosing.embedded(settings)
    await engine.start()
    try:
        await _until_ready(engine)
        yield engine
    finally:
        await engine.stop()


async def _until_ready(engine: Engine) -> None:
    for _ in range(int(WARMING_SECONDS / 0.05)):
        status = engine.status()
        if status.state == "ready":
            return
        if status.state == "failed":
            raise SetupError(f"The workers could not be started. {status.says}")
        await asyncio.sleep(0.05)
    raise SetupError("The workers were not ready within a minute. Say it again when the machine is less busy.")


async def run_job(engine: Engine, spec: JobSpec) -> Mapping[str, Any] | str:
    """The result, or the sentence that says why there is none."""
    event = await engine.submit(spec).result()
    if isinstance(event, Done):
        return event.result
    return event.says if isinstance(event, Failed) else "The run ended without a result. Say it again."


# --- one demonstration ---


def demo(asked: argparse.Namespace, settings: Settings) -> int:
    if asked.slug is None:
        return _list_demos(as_json=asked.json)
    chosen = catalogue.one(asked.slug)
    preset = chosen.preset(asked.preset) if asked.preset else None
    knobs = knobs_of(chosen, dict(preset.knobs) if preset else {}, asked.values)
    limits = Limits(settings.run_limit_seconds, settings.worker_memory_mb)
    spec = JobSpec(chosen.slug, knobs, seed=int(knobs.get("seed", 0)), owner="terminal", limits=limits)
    result = asyncio.run(_run_one(settings, spec))
    if isinstance(result, str):
        raise SetupError(result)
    print(json.dumps(result, ensure_ascii=False, allow_nan=False) if asked.json else in_words(chosen, knobs, result))
    return 0


async def _run_one(settings: Settings, spec: JobSpec) -> Mapping[str, Any] | str:
    async with pool(settings) as engine:
        return await run_job(engine, spec)


def _list_demos(*, as_json: bool) -> int:
    demos = catalogue.stored()
    if as_json:
        print(json.dumps([{"slug": one.slug, "title": one.title, "topic": one.topic} for one in demos]))
        return 0
    for one in demos:
        print(f"{one.slug:<22} {one.title}  (presets: {', '.join(preset.slug for preset in one.teaching.presets)})")
    return 0


def knobs_of(chosen: StoredDemo, base: dict[str, Any], values: list[str]) -> dict[str, Any]:
    """The knobs with ``knob=value`` words on top. Raises BadInput naming the knob and what it accepts."""
    given = dict(base)
    for word in values:
        name, has_value, text = word.partition("=")
        if not has_value or name not in chosen.schema["properties"]:
            says = f"“{name[:80]}” is no knob of {chosen.slug}." if has_value else f"“{word[:80]}” is no knob=value."
            raise BadInput(f"{says} The knobs are {', '.join(chosen.schema['properties'])}.")
        given[name] = _value(chosen.schema["properties"][name], text)
    try:
        return chosen.knobs.model_validate(given).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "knobs"
        raise BadInput(f"{name}: {first['msg']}. {_accepts(chosen, name)}") from None


def _value(knob: dict[str, Any], text: str) -> str | list[str]:
    """Text as a form would send it: the knob's class reads numbers, switches and choices by itself."""
    if knob["control"]["kind"] in ("numbers", "several"):
        return text.strip("[]() ").replace(",", " ").split()
    return text


def _accepts(chosen: StoredDemo, name: str) -> str:
    knob = chosen.schema["properties"].get(name, {"control": {}})
    if "low" in knob["control"]:
        return f"It takes {knob['control']['low']} to {knob['control']['high']}."
    return f"It takes {', '.join(knob['enum'])}." if "enum" in knob else "It is true or false."


def in_words(chosen: StoredDemo, knobs: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    marks = {True: "held", False: "did not hold", None: "does not apply"}
    lines = [f"{chosen.title}  ({', '.join(f'{name}={value}' for name, value in knobs.items())})", ""]
    lines += [result["summary"], ""]
    lines += [
        f"  {marks[claim['holds']]:<15} {claim['says']} Measured {claim['measured']}, expected {claim['expected']}."
        for claim in result["claims"]
    ]
    lines += ["", *(f"  {name} = {value}" for name, value in result["answers"].items())]
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
    return "\n".join([*lines, "", versions])


# --- what the cards claim ---


@dataclass(frozen=True, slots=True)
class Tried:
    """A claim that was run; ``number`` counts from 1, ``versions`` are the run's own words about itself."""

    note: ClaimNote
    number: int
    claim: Claim
    settled: Settled
    versions: Mapping[str, str]

    @property
    def line(self) -> dict[str, Any]:
        return {
            "card": self.note.slug,
            "number": self.number,
            "sentence": self.claim.sentence,
            "verdict": str(self.claim.verdict),
            "outcome": str(self.settled.outcome),
            "came_out": str(self.settled.came_out) if self.settled.came_out else None,
            "measured": self.settled.measured,
            "says": self.settled.says,
        }


def claims(asked: argparse.Namespace, settings: Settings) -> int:
    """1 when an outcome differs from its authored verdict, or a run failed."""
    with cli_care.filled(settings) as database:
        with db.reading(database) as session:
            notes = queries.notes_with_claims(session)
        unknown = sorted(set(asked.cards) - {note.slug for note in notes})
        if unknown:
            raise NotFound(f"No card with claims is called {', '.join(unknown)}. ./run claims runs all.")
        chosen = [note for note in notes if not asked.cards or note.slug in asked.cards]
        tried = asyncio.run(_try_all(settings, database, chosen, quiet=asked.json))
    if asked.json:
        print(json.dumps([one.line for one in tried], ensure_ascii=False, indent=1))
    else:
        _count(tried)
    return int(any(one.settled.outcome is not Outcome.STATED for one in tried))


async def _try_all(settings: Settings, database: Database, notes: list[ClaimNote], *, quiet: bool) -> list[Tried]:
    knobs = knobs_of_presets()
    turns = asyncio.Semaphore(settings.workers)
    tried = []
    async with pool(settings) as engine:

        async def run(spec: JobSpec) -> Mapping[str, Any] | str:
            async with turns:
                return await run_job(engine, spec)

        for note in notes:
            numbered = enumerate(note.file.claims, 1)
            tried += await asyncio.gather(*(try_claim(run, note, number, claim, knobs) for number, claim in numbered))
            keep(database, tried[-len(note.file.claims) :], quiet=quiet)
    return tried


def keep(database: Database, made: list[Tried], *, quiet: bool) -> None:
    for one in made:
        record(database, one)
        if not quiet:
            _print(one)


def knobs_of_presets() -> dict[PresetRef, Mapping[str, Any]]:
    return {
        PresetRef(demo.slug, preset.slug): knobs_of(demo, dict(preset.knobs), [])
        for demo in catalogue.stored()
        for preset in demo.teaching.presets
    }


async def try_claim(
    run: RunJob, note: ClaimNote, number: int, claim: Claim, knobs: Mapping[PresetRef, Mapping[str, Any]]
) -> Tried:
    results: list[Mapping[str, Any] | str] = []
    for wanted in rules.runs(claim):
        spec = rules.job_spec(wanted, knobs)
        try:
            results.append("The card names a preset that does not exist yet." if spec is None else await run(spec))
        except AppError as error:
            results.append(error.says)
    versions: Mapping[str, str] = next((one["versions"] for one in results if not isinstance(one, str)), {})
    return Tried(note, number, claim, rules.settle(claim, results), versions)


def record(database: Database, tried: Tried) -> None:
    """One short transaction, so that a server beside it never waits."""
    versions = dict(tried.versions)
    with db.writing(database) as session:
        actions.record_claim(
            session,
            tried.note,
            tried.number,
            tried.claim,
            tried.settled,
            SystemClock().now(),
            version=versions.pop("torch", ""),
            device=versions.pop("device", ""),
            settings=versions,
        )


def _print(one: Tried) -> None:
    print(f"{one.settled.outcome!s:<8} {one.note.slug} {one.number}: {one.claim.sentence}")
    if one.settled.outcome is not Outcome.STATED:
        print(f"         {one.settled.says} Measured: {one.settled.measured}")


def _count(tried: list[Tried]) -> None:
    counts = {outcome: sum(one.settled.outcome is outcome for one in tried) for outcome in Outcome}
    print(f"{len(tried)} claims: " + ", ".join(f"{number} {outcome}" for outcome, number in counts.items()) + ".")
