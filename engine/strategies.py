"""Strategies as code: what installed packages offer under the entry point group `quantsail.strategies` (docs/strategies.md).

    [project.entry-points."quantsail.strategies"]
    turtle = "turtle_strategy:Turtle"

An entry point is a callable that makes an `engine.core.strategy.Strategy`, a fresh one per bot and symbol. With an attribute
`Params`, a pydantic model, it is called with an instance of that, made from the config's params; without one, with nothing.
Installed code runs with all that this program may do: install only what you trust.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from engine.core.config import Config, PythonStrategy
from engine.core.rules import unknown
from engine.core.strategy import Factory, Proposal, Strategy
from engine.core.text import safe_text

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from pydantic import BaseModel

GROUP = "quantsail.strategies"
_METHODS = ("on_bar", "on_feature", "explain")


class StrategyError(Exception):
    """A strategy that is not there or not one; one line with the remedy."""


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """An entry point of the group. `problem` says why it cannot be used, "" when it can; `params` is its JSON Schema."""

    name: str
    package: str
    version: str
    target: str
    summary: str = ""
    params: dict[str, Any] | None = None
    problem: str = ""


def available() -> tuple[Installed, ...]:
    """All that is installed, by name. A package that raises while it is loaded is listed with its problem."""
    return tuple(_described(name, points) for name, points in sorted(_points().items()))


def load(name: str, params: Mapping[str, Any]) -> Strategy:
    """A fresh strategy. Raises StrategyError, in one line, for whatever is wrong with the name, the package or the params."""
    return factory(name)(params)


def factories(names: Iterable[str]) -> dict[str, Factory]:
    """Factories of the named strategies, each loaded once. Raises StrategyError for the first that cannot be used."""
    return {name: factory(name) for name in sorted(set(names))}


def factories_for(config: Config) -> dict[str, Factory]:
    """Factories of all Python strategies of a config, each tried with its bot's params. Raises StrategyError, with the bot."""
    coded = [(bot.name, bot.strategy) for bot in config.bots if isinstance(bot.strategy, PythonStrategy)]
    found: dict[str, Factory] = {}
    for bot, strategy in coded:
        try:
            if strategy.python not in found:
                found[strategy.python] = factory(strategy.python)
            found[strategy.python](strategy.params)
        except StrategyError as error:
            raise StrategyError(f"bot {bot}: {error}") from error
    return found


def factory(name: str) -> Factory:
    """What makes strategies of that name from a config's params. It raises StrategyError itself when the params are wrong, or
    what it makes is no strategy."""
    points = _points()
    if name not in points:
        raise StrategyError(f"{unknown('strategy', name, points)} (installed under {GROUP}; quantsail strategies list)")
    make = _loaded(name, points[name])
    return lambda params: _made(name, make, params)


# -- entry points --------------------------------------------------------------------------------------------------------


def _points() -> dict[str, list[EntryPoint]]:
    """Entry points by name; more than one of a name is a problem of that name."""
    from importlib.metadata import entry_points

    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, []).append(point)
    return found


def _loaded(name: str, points: list[EntryPoint]) -> Callable[..., Any]:
    """The callable behind a name. Raises StrategyError."""
    if len(points) > 1:
        owners = ", ".join(sorted(_owner(point)[0] for point in points))
        raise StrategyError(f"strategy {name!r} is offered by {owners}: uninstall all but one")
    (point,) = points
    try:
        target = point.load()
    except (Exception, SystemExit) as error:
        raise StrategyError(f"strategy {name!r} ({point.value}) cannot be loaded: {_words(error)}") from error
    if not callable(target):
        raise StrategyError(f"strategy {name!r} ({point.value}) is not callable, but of type {type(target).__name__}")
    return target  # type: ignore[no-any-return]


def _described(name: str, points: list[EntryPoint]) -> Installed:
    package, version = _owner(points[0])
    known: dict[str, Any] = {
        "name": safe_text(name),
        "package": package,
        "version": version,
        "target": safe_text(points[0].value, 120),
    }
    try:
        make = _loaded(name, points)
        model = _params_model(name, make)
    except StrategyError as error:
        return Installed(**known, problem=str(error))
    summary = safe_text((make.__doc__ or "").strip().partition("\n")[0], 120) if make.__doc__ else ""
    return Installed(**known, summary=summary, params=None if model is None else model.model_json_schema())


def _owner(point: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution."""
    dist = point.dist
    return ("?", "") if dist is None else (safe_text(dist.name), safe_text(dist.version))


# -- making one ----------------------------------------------------------------------------------------------------------


def _params_model(name: str, make: Callable[..., Any]) -> type[BaseModel] | None:
    from pydantic import BaseModel

    model = getattr(make, "Params", None)
    if model is None or (isinstance(model, type) and issubclass(model, BaseModel)):
        return model
    raise StrategyError(f"strategy {name!r}: its Params is no pydantic model")


def _made(name: str, make: Callable[..., Any], params: Mapping[str, Any]) -> Strategy:
    model = _params_model(name, make)
    if model is None and params:
        raise StrategyError(f"strategy {name!r} takes no params: leave them out")
    arguments = () if model is None else (_checked(name, model, params),)
    try:
        strategy = make(*arguments)
    except (Exception, SystemExit) as error:
        raise StrategyError(f"strategy {name!r} cannot be made: {_words(error)}") from error
    if missing := [each for each in _METHODS if not callable(getattr(strategy, each, None))]:
        raise StrategyError(f"strategy {name!r} makes {type(strategy).__name__}, which has no {missing[0]}()")
    if not isinstance(getattr(strategy, "proposal", None), Proposal):
        raise StrategyError(f"strategy {name!r} has no proposal: inherit from engine.core.strategy.Strategy")
    bars = getattr(strategy, "warmup_bars", None)
    if type(bars) is not int or bars < 1:
        raise StrategyError(f"strategy {name!r}: its warmup_bars must be a whole number from 1")
    return strategy  # type: ignore[no-any-return]


def _checked(name: str, model: type[BaseModel], params: Mapping[str, Any]) -> BaseModel:
    """The params as the strategy's model; a key that the model has not is refused even if the model would ignore it."""
    from pydantic import ValidationError

    known = [field.alias or key for key, field in model.model_fields.items()]
    for key in params:
        if key not in known and model.model_config.get("extra") != "allow":
            raise StrategyError(f"strategy {name!r}: {unknown('parameter', key, known)}")
    try:
        return model.model_validate(dict(params))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(["params", *(str(step) for step in first["loc"])])
        raise StrategyError(f"strategy {name!r}: {safe_text(path)}: {safe_text(first['msg'], 120)}") from error


def _words(error: BaseException) -> str:
    """Type and message of somebody else's exception, in one safe line."""
    return safe_text(f"{type(error).__name__}: {error}", 200)
