"""Which function answers a path, and how a server refuses the paths of other generations."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from retab_orchestration.emulator.generations import span
from retab_orchestration.emulator.serving.wire import Refusal, Response

__all__ = ["CLASSIC", "CURRENT", "EVERYWHERE", "Match", "Route", "Router"]

CLASSIC = ("classic", *span("g1a", "g2c"))
"""The servers of classic routes."""

CURRENT = ("current", *span("g3a", "g3c"))
"""The servers of current routes."""

EVERYWHERE = (*CLASSIC, *CURRENT)

_GROWN = "/v1/workflows/runs"
"""The path that an older server has for another method and answers with 405; to the others it answers 404."""


@dataclass(frozen=True)
class Route:
    """One method of one path template, on the servers that have it."""

    method: str
    template: str
    handler: Callable[..., Response]
    """Called with the state, the request, and the ids in the path."""
    servers: tuple[str, ...] = EVERYWHERE
    """The names of the generations, and of the mixtures."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The expression that matches its paths and captures their ids, percent-encoded."""
        return re.compile(re.sub(r"\{\w+\}", "([^/]+)", self.template))

    @cached_property
    def rank(self) -> list[bool]:
        """The sort key, which puts literal segments before ids."""
        return [segment.startswith("{") for segment in self.template.split("/")]


@dataclass(frozen=True)
class Match:
    """The route of a method and a path, if there is one."""

    name: str
    """`METHOD /template`, the key of the statistics."""
    route: Route | None
    ids: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    """The methods of the path, when the requested one is not among them."""

    def call(self, *args: Any) -> Response:
        """Call the handler with these arguments and the ids of the path.

        Raises:
            Refusal: 404 for an unknown path, 405 for a method that the path does not have.
        """
        if self.route is not None:
            return self.route.handler(*args, *self.ids)
        if self.allowed:
            raise Refusal(405, "Method Not Allowed", {"allow": ", ".join(self.allowed)})
        raise Refusal(404, "Not Found")


class Router:
    """The routes of all generations, of which one server has some.

    Args:
        routes: All of them.
        api: The name of the server's generation, or of its mixture.
        takes_words_for_ids: Whether a path of an absent route is refused as one of a workflow that there is not.
    """

    def __init__(self, routes: Iterable[Route], api: str, *, takes_words_for_ids: bool = False) -> None:
        self._routes = sorted(routes, key=lambda route: route.rank)
        self._servers = {"classic", "current"} if api == "both" else {api}
        self._takes_words_for_ids = takes_words_for_ids

    def match(self, method: str, path: str) -> Match:
        """Return the route of a path, with or without a slash at its end.

        The most literal template of all generations decides: a path of another generation is not taken for an id,
        except by the servers that do so.
        """
        path = path.rstrip("/") or "/"
        deciding = filter(self._is_served, self._routes) if self._takes_words_for_ids else self._routes
        template = next((route.template for route in deciding if route.pattern.fullmatch(path)), None)
        if template is None:
            return Match(f"{method} (unknown)", None)
        same = [route for route in self._routes if route.template == template]
        served = list(filter(self._is_served, same))
        name = f"{method} {template}"
        for route in served:
            if route.method == method:
                found = route.pattern.fullmatch(path)
                return Match(name, route, tuple(unquote(value) for value in found.groups()) if found else ())
        if template != _GROWN and any(route.method == method for route in same):
            return Match(name, None)
        return Match(name, None, allowed=tuple(sorted(route.method for route in served)))

    def _is_served(self, route: Route) -> bool:
        return not self._servers.isdisjoint(route.servers)
