"""Each strategy's page of rules in Markdown, made of its module's docstring, its parameters and its reasons."""

import inspect
from typing import Any

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.strategies.strategy import Strategy


def rules_page(strategy: Strategy) -> str:
    """The page: title, rules, a table of parameters with bounds, default and grid, and the reasons of its trades.

    Raises:
        InputError: the module in which the strategy is has no docstring.
    """
    module = inspect.getmodule(strategy.function)
    text = inspect.cleandoc((module.__doc__ if module else None) or "")
    if not text:
        msg = f"the module of strategy {strategy.name} has no docstring; write its rules there"
        raise InputError(msg)
    title, _, rules = text.partition("\n")
    reasons = [f"- {reason}" for reason in dict.fromkeys(strategy.reasons) if reason]
    lines = [
        f"## `{strategy.name}`",
        "",
        title,
        rules,
        "",
        "**Parameters**",
        "",
        *_table(strategy),
        "",
        f"Warm-up with the defaults: {strategy.warm_up(strategy.parameters())} bars.",
        "",
        "**Reasons of its entries and exits**",
        "",
        *reasons,
    ]
    return "\n".join(lines)


def _table(strategy: Strategy) -> list[str]:
    properties: dict[str, dict[str, Any]] = strategy.parameters.model_json_schema()["properties"]
    rows = [
        f"| `{name}` | {one['default']} | {_bounds(one)} | {_grid(strategy, name)} | {one['description']} |"
        for name, one in properties.items()
    ]
    return ["| parameter | default | bounds | grid | meaning |", "|---|---|---|---|---|", *rows]


def _bounds(one: dict[str, Any]) -> str:
    if "enum" in one:
        return ", ".join(map(str, one["enum"]))
    lower = f"over {one['exclusiveMinimum']}" if "exclusiveMinimum" in one else str(one["minimum"])
    return f"{lower} to {one['maximum']}"


def _grid(strategy: Strategy, name: str) -> str:
    return ", ".join(map(str, strategy.grid.get(name, ()))) or "not searched"
