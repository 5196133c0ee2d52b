"""One test runs every demonstration at its default, its ends, its choices and its presets."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from app.demos import registry, run
from app.demos.parameters import rebuild, schema_of
from app.demos.result import Result, dump, parse

pytestmark = pytest.mark.demos
SLUGS = registry.slugs()


def _controls(slug: str) -> dict[str, dict[str, Any]]:
    properties = schema_of(registry.demo(slug).knobs)["properties"]
    return {
        name: prop["control"] | {"default": prop["default"], "options": prop.get("enum", [])}
        for name, prop in properties.items()
    }


def _ends(control: dict[str, Any]) -> list[Any]:
    match control["kind"]:
        case "number" | "integer":
            return [control["low"], control["high"]]
        case "switch":
            return [False, True]
        case "choice":
            return list(control["options"])
        case "numbers":
            return [[control["low"]] * len(control["default"]), [control["high"]] * len(control["default"])]
    return [[], list(range(control["low"], control["high"] + 1))]


def _settings(slug: str) -> list[dict[str, Any]]:
    """Every run of the sweep: default and presets on three seeds, then each end of each knob."""
    has_seed = "seed" in _controls(slug)
    seeds = (0, 1, 2) if has_seed else (0,)
    presets = [preset.knobs for preset in registry.demo(slug).teaching.presets]
    wide = [knobs | ({"seed": seed} if has_seed else {}) for knobs in [{}, *presets] for seed in seeds]
    return wide + [{name: end} for name, control in _controls(slug).items() for end in _ends(control)]


def _failures(slug: str, knobs: dict[str, Any], result: Result) -> list[str]:
    return [
        f"{slug} {knobs}: {claim.id}: {claim.says} measured {claim.measured}, expected {claim.expected}"
        for claim in result.claims
        if claim.holds is False
    ]


@pytest.mark.parametrize("slug", SLUGS)
def test_every_claim_holds_wherever_it_speaks(slug: str) -> None:
    failures: list[str] = []
    for knobs in _settings(slug):
        result = run.run_demo(slug, knobs)
        failures += _failures(slug, knobs, result)
        if not any(claim.identity and claim.holds for claim in result.claims):
            failures.append(f"{slug} {knobs}: no identity speaks of this run")
        if parse(json.loads(json.dumps(dump(result), allow_nan=False))) is None:
            failures.append(f"{slug} {knobs}: does not survive JSON")
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("slug", SLUGS)
def test_each_claim_has_a_preset_that_it_speaks_of(slug: str) -> None:
    spoken: set[str] = set()
    known: set[str] = set()
    for preset in registry.demo(slug).teaching.presets:
        for claim in run.run_demo(slug, preset.knobs).claims:
            known.add(claim.id)
            spoken |= {claim.id} if claim.holds is not None else set()
    assert known == spoken


@pytest.mark.parametrize("slug", SLUGS)
def test_every_knob_changes_something_in_some_setting(slug: str) -> None:
    presets = [preset.knobs for preset in registry.demo(slug).teaching.presets]
    for name, control in _controls(slug).items():
        ends = [*_ends(control), 7] if name == "seed" else _ends(control)
        assert any(
            len({_essence(run.run_demo(slug, knobs | {name: end})) for end in ends}) > 1 for knobs in [{}, *presets]
        ), f"{slug}: {name} changes nothing"


def _essence(result: Result) -> str:
    return json.dumps(dump(result.model_copy(update={"versions": {}})), sort_keys=True)


@pytest.mark.parametrize("slug", SLUGS)
def test_the_same_seed_gives_the_same_result(slug: str) -> None:
    for knobs in [preset.knobs for preset in registry.demo(slug).teaching.presets][:3]:
        assert _essence(run.run_demo(slug, knobs)) == _essence(run.run_demo(slug, knobs))


@pytest.mark.parametrize("slug", SLUGS)
def test_rebuilt_knobs_accept_and_refuse_like_the_real_ones(slug: str) -> None:
    real = registry.demo(slug).knobs
    made = rebuild(schema_of(real))
    assert made().model_dump() == real().model_dump()
    assert schema_of(made)["properties"] == schema_of(real)["properties"]
    for name, control in _controls(slug).items():
        for value in [*_ends(control), -1e9, 1e9, "nan", None, [], [1e9], "no such word", 0.5, True]:
            assert _accepts(real, name, value) == _accepts(made, name, value), (name, value)


def _accepts(knobs: type[Any], name: str, value: Any) -> bool:
    try:
        knobs.model_validate({name: value})
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("slug", SLUGS)
def test_the_files_are_short_explained_and_sourced(slug: str) -> None:
    demo = registry.demo(slug)
    assert demo.title and demo.explanation and demo.source_note
    assert len(demo.source.splitlines()) <= 200


@pytest.mark.parametrize("slug", SLUGS)
def test_every_prediction_has_its_answer(slug: str) -> None:
    for preset in registry.demo(slug).teaching.presets:
        result = run.run_demo(slug, preset.knobs)
        assert set(preset.hides) <= {figure.id for figure in result.figures}
        if preset.prediction is None:
            continue
        assert preset.prediction.answer in result.answers, f"{slug}#{preset.slug}"
        assert {wrong.answer for wrong in preset.prediction.wrong if wrong.answer} <= set(result.answers)
        knobs = registry.demo(slug).knobs.model_validate(preset.knobs).model_dump()
        assert preset.prediction.prompt.format(**knobs)
        for knob in preset.prediction.draw:
            drawn = [value for value in preset.prediction.choices(knob) if value != knobs[knob]]
            assert drawn, f"{slug}#{preset.slug}: nothing to draw for {knob}"
            assert all(_accepts(registry.demo(slug).knobs, knob, value) for value in drawn)
        if preset.prediction.options and isinstance(result.answers[preset.prediction.answer], str):
            assert result.answers[preset.prediction.answer] in preset.prediction.options


@pytest.mark.parametrize("slug", SLUGS)
def test_challenges_are_settled_by_running(slug: str) -> None:
    demo = registry.demo(slug)
    for challenge in demo.teaching.challenges:
        if challenge.possible:
            answers = run.run_demo(slug, challenge.witness or {}).answers
            assert challenge.goal.reached(answers), f"{slug}: {challenge.id}: the witness misses"
        else:
            tries = [
                {**preset.knobs, **fixed} for preset in demo.teaching.presets for fixed in _within(challenge.within)
            ]
            missed = [knobs for knobs in tries if challenge.goal.reached(run.run_demo(slug, knobs).answers)]
            assert not missed, f"{slug}: {challenge.id}: reached by {missed}"


def _within(within: dict[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [{name: value} for name, values in within.items() for value in values] or [{}]


@pytest.mark.parametrize("slug", SLUGS)
def test_numbers_in_figures_have_matching_lengths(slug: str) -> None:
    for figure in run.run_demo(slug, {}).figures:
        for series in getattr(figure, "series", ()):
            assert len(series.x) == len(series.y)
            assert all(not isinstance(x, float) or math.isfinite(x) for x in series.x)


def test_at_least_one_challenge_of_each_demo_is_impossible() -> None:
    missing = [
        slug for slug in SLUGS if all(challenge.possible for challenge in registry.demo(slug).teaching.challenges)
    ]
    assert not missing
