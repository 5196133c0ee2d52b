"""What the documents name exists: paths, commands, settings and demonstrations; the example of a demo runs."""

from __future__ import annotations

import re
import shlex
from types import ModuleType
from typing import Any

import pytest
import yaml

from app import cli
from app.demos import catalogue
from app.demos.lab import Lab
from app.demos.teaching import Teaching
from app.settings import Settings
from tests.house import repository
from tests.house.repository import ROOT

DOCUMENTS = (
    "README.md",
    "CHANGELOG.md",
    *(name for name in repository.files() if re.fullmatch(r"docs/[\w-]+\.md", name)),
)
WORDS = {"test", "check", "bench"}
EXAMPLE = "root-of-n"
CODE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:`|^)\./run((?: +[\w./=|-]+)*)", re.M)
FOLDERS = {name.partition("/")[0] for name in repository.files() if "/" in name}


def every(pattern: re.Pattern[str]) -> list[tuple[str, Any]]:
    return [(name, found) for name in DOCUMENTS for found in pattern.findall(repository.text(name))]


def exists(path: str) -> bool:
    plain = re.sub(r"<[^>]+>|FILE|FOLDER", "*", path)
    return plain.startswith("data/") or any(ROOT.glob(plain.rstrip("/"))) or EXAMPLE in path


def test_every_path_that_is_named_exists() -> None:
    named = [(name, code) for name, code in every(CODE) if code.partition("/")[0] in FOLDERS and " " not in code]
    assert len(named) > 30
    assert not [f"{name}: {path}" for name, path in named if "/" in path and not exists(path)]


def test_every_link_leads_to_a_file() -> None:
    links = every(re.compile(r"\]\(([^)#:]+)\)"))
    assert links
    missing = [f"{name}: {link}" for name, link in links if not ((ROOT / name).parent / link).exists()]
    assert not missing


def test_every_command_is_understood() -> None:
    commands = {found.strip() for _, found in every(COMMAND)}
    assert {"check-cards", "claims", "demo dropout-lab p=0.5"} <= commands
    wrong = []
    for command in commands:
        word, *rest = shlex.split(command) or ["serve"]
        if word.startswith("-") or word in WORDS:
            continue
        needed = ["FILE"] if word in ("import", "export") and not rest else []
        try:
            cli.parser().parse_args([word, *rest, *needed])
        except SystemExit:
            wrong.append(command)
    assert not wrong


def test_every_benchmark_that_is_named_exists() -> None:
    named = {found for _, found in every(re.compile(r"\./run bench\s+([a-z]+)`"))}
    assert named
    assert not [name for name in named if not (ROOT / f"bench/{name}.py").exists()]


def test_the_help_of_run_names_every_command() -> None:
    text = repository.text("run")
    choices = next(action.choices for action in cli.parser()._actions if action.choices and action.dest == "word")
    assert choices
    assert not [word for word in [*choices, *WORDS] if word != "serve" and f"./run {word}" not in text]


def test_the_settings_are_documented_and_no_others() -> None:
    named = {found for _, found in every(re.compile(r"FORWARD_PASS_([A-Z_]+)\b"))}
    assert named == {name.upper() for name in Settings.model_fields}


def test_every_demonstration_that_is_named_exists() -> None:
    known = {demo.slug: {preset.slug for preset in demo.teaching.presets} for demo in catalogue.stored()}
    named = every(re.compile(r"\b([a-z][a-z0-9-]+)#([a-z][a-z0-9-]+)\b"))
    wrong = [
        f"{name}: {slug}#{preset}"
        for name, (slug, preset) in named
        if slug not in (EXAMPLE, "slug") and preset not in known.get(slug, ())
    ]
    assert named
    assert not wrong


def example(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", repository.text("docs/writing-a-demo.md"), re.S)
    assert found
    return found[1]


@pytest.mark.demos
def test_the_example_of_a_demonstration_runs() -> None:
    module: Any = ModuleType("example")
    exec(compile(example("python"), EXAMPLE, "exec", dont_inherit=True), module.__dict__)
    teaching = Teaching.model_validate(yaml.safe_load(example("yaml")))
    prediction = teaching.presets[0].prediction
    assert prediction is not None
    for n in prediction.choices("n"):
        result = module.run(module.Knobs(n=n), Lab(0))
        assert result.answers[prediction.answer] == n**-0.5
        assert [claim.holds for claim in result.claims] == [True]
        assert {figure.id for figure in result.figures} >= set(teaching.presets[0].hides)
