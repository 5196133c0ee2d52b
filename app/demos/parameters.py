"""Knobs: the declared parameters of a demonstration, their JSON Schema, and their rebuilding without torch (pure).

    class Knobs(Parameters):
        p: float = number(0.3, 0, 0.95, step=0.01, help="Chance that a unit is dropped.")
        mode: Literal["train", "eval"] = choice("train", help="Which mode the module is in.")
        seed: int = seed()

The schema of a Knobs class carries one ``control`` object per property; `rebuild` makes an equal class from it, so
the web process builds forms and validates without importing the demonstration.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, create_model, field_validator
from pydantic.fields import FieldInfo


class Parameters(BaseModel):
    """Frozen, closed; NaN and infinities are refused; each element of a list is held to its control's range."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @field_validator("*", mode="after")
    @classmethod
    def _elements_in_range(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, tuple):
            control = _control(cls.model_fields[str(info.field_name)])
            outside = [item for item in value if not control["low"] <= item <= control["high"]]
            if outside:
                raise ValueError(
                    f"each entry must lie between {control['low']} and {control['high']}, not {outside[0]}"
                )
            if control["kind"] == "several" and len(set(value)) != len(value):
                raise ValueError("each entry may be named once")
        return value


def _control(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    if not isinstance(extra, dict) or not isinstance(extra["control"], dict):
        raise TypeError("a knob needs number, integer, switch, choice, numbers, several or seed")
    return extra["control"]


def number(
    default: float,
    low: float,
    high: float,
    *,
    help: str,
    step: float | None = None,
    unit: str = "",
    log: bool = False,
    more: bool = False,
) -> Any:
    """A float in [low, high]. ``more`` puts it under "more"; ``log`` draws a logarithmic slider."""
    return _dial("number", default, low, high, help=help, step=step, unit=unit, log=log, more=more)


def integer(
    default: int,
    low: int,
    high: int,
    *,
    help: str,
    step: int = 1,
    unit: str = "",
    log: bool = False,
    more: bool = False,
) -> Any:
    return _dial("integer", default, low, high, help=help, step=step, unit=unit, log=log, more=more)


def _dial(kind: str, default: float, low: float, high: float, *, help: str, **control: Any) -> Any:
    shown = {"kind": kind, **control, "low": low, "high": high}
    return Field(default, ge=low, le=high, description=help, json_schema_extra={"control": shown})


def switch(default: bool, *, help: str, more: bool = False) -> Any:
    return Field(default, description=help, json_schema_extra={"control": {"kind": "switch", "more": more}})


def choice(default: str, *, help: str, more: bool = False) -> Any:
    """For a property annotated with a ``Literal`` of strings."""
    return Field(default, description=help, json_schema_extra={"control": {"kind": "choice", "more": more}})


def numbers(
    default: tuple[float, ...],
    low: float,
    high: float,
    *,
    help: str,
    step: float | None = None,
    columns: int | None = None,
    labels: tuple[str, ...] = (),
    more: bool = False,
) -> Any:
    """A fixed number of floats, for a property annotated ``tuple[float, ...]``.

    ``columns`` lays them out as a grid (a 3×3 kernel has nine numbers and three columns).
    """
    control: dict[str, Any] = {
        "kind": "numbers",
        "low": low,
        "high": high,
        "step": step,
        "columns": columns or len(default),
        "labels": list(labels),
        "more": more,
    }
    return Field(
        default,
        min_length=len(default),
        max_length=len(default),
        description=help,
        json_schema_extra={"control": control},
    )


def several(default: tuple[int, ...], low: int, high: int, *, help: str, more: bool = False) -> Any:
    """Any subset of the integers low..high, for a property annotated ``tuple[int, ...]``."""
    control: dict[str, Any] = {"kind": "several", "low": low, "high": high, "more": more}
    return Field(default, max_length=high - low + 1, description=help, json_schema_extra={"control": control})


def seed(default: int = 0) -> Any:
    return integer(default, 0, 999, help="Seed of every random draw; the same seed gives the same numbers.", more=True)


def schema_of(knobs: type[Parameters]) -> dict[str, Any]:
    """The JSON Schema with its ``control`` objects; raises TypeError for a property without one."""
    schema = knobs.model_json_schema()
    for name, prop in schema["properties"].items():
        if "control" not in prop:
            raise TypeError(f"{name} needs number, integer, switch, choice, numbers, several or seed")
    return schema


def rebuild(schema: dict[str, Any]) -> type[Parameters]:
    """A class that accepts and refuses exactly what the class behind ``schema`` does."""
    fields: dict[str, Any] = {name: _field(prop) for name, prop in schema["properties"].items()}
    return create_model("Knobs", __base__=Parameters, **fields)


def _field(prop: dict[str, Any]) -> tuple[Any, Any]:
    control = dict(prop["control"])
    extra = {"control": control}
    about: dict[str, Any] = {"description": prop.get("description"), "json_schema_extra": extra}
    default = prop["default"]
    match control["kind"]:
        case "number":
            return float, Field(default, ge=control["low"], le=control["high"], **about)
        case "integer":
            return int, Field(default, ge=control["low"], le=control["high"], **about)
        case "switch":
            return bool, Field(default, **about)
        case "choice":
            return Literal[tuple(_options(prop))], Field(default, **about)
        case "numbers":
            length = len(default)
            return tuple[float, ...], Field(tuple(default), min_length=length, max_length=length, **about)
        case "several":
            most = control["high"] - control["low"] + 1
            return tuple[int, ...], Field(tuple(default), max_length=most, **about)
    raise TypeError(f"unknown control {control['kind']}")


def _options(prop: dict[str, Any]) -> list[str]:
    return list(prop["enum"]) if "enum" in prop else [prop["const"]]
