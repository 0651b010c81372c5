"""What every Graph route speaks: a call, its caller, a reply, a refusal, and the table of routes with its matching."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.world.world import Json, TenantState, World

Family = Literal["directory", "exchange"]
BOTH = ("v1.0", "beta")
WRONG_METHOD = "Specified HTTP method is not allowed for the request target."


@dataclass(frozen=True)
class Caller:
    """Who asks, as the access token says: `permissions` are its roles (application) or its scopes (delegated)."""

    app_id: str
    app_name: str
    kind: Literal["application", "delegated"]
    permissions: frozenset[str]
    user_id: str | None
    wids: tuple[str, ...]
    tenant_id: str


@dataclass
class Call:
    """One Graph request, outer or inside $batch.

    `path` is as the client wrote it after the version; `params` are the decoded parameters of the route's template;
    `query` is decoded, its system options in lower case; `headers` ignore case; `base` is "https://host/v1.0".
    """

    world: World
    tenant: TenantState
    caller: Caller
    method: str
    version: str
    path: str
    params: dict[str, str]
    query: dict[str, str]
    headers: Mapping[str, str]
    body: Any
    base: str


@dataclass
class Reply:
    """A route's answer; `body` None is an empty body, a str is text/plain."""

    status: int
    body: Json | str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def not_found(key: str) -> GraphError:
    """The directory's answer for an object that is not there, or not yet replicated."""
    message = f"Resource '{key}' does not exist or one of its queried reference-property objects are not present."
    return GraphError(404, "Request_ResourceNotFound", message)


def bad_request(message: str, code: str = "Request_BadRequest") -> GraphError:
    """A 400 of the directory; parsing faults of the gateway have the code BadRequest."""
    return GraphError(400, code, message)


Function = Callable[[Call], Reply]


@dataclass(frozen=True)
class Segment:
    """One path segment: a literal or a {variable}, with the named arguments of a function or alternate key."""

    name: str
    arguments: tuple[tuple[str, str], ...] = ()

    @property
    def variable(self) -> str | None:
        """The parameter that this template segment binds, if it is one."""
        return self.name[1:-1] if self.name.startswith("{") else None


@dataclass(frozen=True)
class Route:
    """One row of the table: which calls, with which permission, imitating which page, leaving out what."""

    method: str
    template: str
    permission: str
    page: str
    omits: str
    family: Family
    versions: tuple[str, ...]
    function: Function
    segments: tuple[Segment, ...]


ROUTES: list[Route] = []


def route(
    method: str,
    *templates: str,
    page: str,
    permission: str | None = None,
    omits: str = "",
    family: Family = "directory",
    versions: tuple[str, ...] = BOTH,
) -> Callable[[Function], Function]:
    """Enter a function into the table under one or more templates; `page` is the Microsoft page that it imitates.

    `permission` is a call of permissions.yaml; without one it is the call that each template spells.
    """

    def enter(function: Function) -> Function:
        for template in templates:
            row = permission or f"{method} {plain(template)}"
            segments = tuple(split(template))
            ROUTES.append(Route(method, template, row, page, omits, family, versions, function, segments))
        return function

    return enter


def plain(template: str) -> str:
    """The template as the permission table spells it: no cast or $count at the end, alternate keys and keys as {id}."""
    path = re.sub(r"/(graph\.\w+|\$count)$", "", template)
    path = re.sub(r"\((?:appId|roleTemplateId)='\{\w+\}'\)", "/{id}", path)
    return re.sub(r"/\{\w+\}", "/{id}", re.sub(r"='\{\w+\}'", "={value}", path))


PARENTHESES = re.compile(r"(?P<name>[A-Za-z][\w.]*)\((?P<inner>|'.*'|[A-Za-z]\w*=.*)\)")
ARGUMENT = re.compile(r"(\w+)=(?:'((?:[^']|'')*)'|([^',]*))(?:,|$)")


def split(path: str) -> list[Segment]:
    """Cut a path into segments: users('x') becomes users/x, names of casts lose their `microsoft.` prefix.

    Percent-encoding is undone after the cut, so an encoded slash stays inside its segment.
    """
    segments = []
    for raw in filter(None, path.split("/")):
        text = unquote(raw)
        if not (found := PARENTHESES.fullmatch(text)):
            cast = text.lower().startswith("microsoft.graph.")
            segments.append(Segment(text[len("microsoft.") :] if cast else text))
        elif found["inner"].startswith("'"):
            key = found["inner"][1:-1].replace("''", "'")
            segments += [Segment(found["name"]), Segment(key)]
        else:
            pairs = [(n.lower(), (q or bare).replace("''", "'")) for n, q, bare in ARGUMENT.findall(found["inner"])]
            segments.append(Segment(found["name"], tuple(sorted(pairs))))
    return segments


def bind(template: Segment, asked: Segment) -> dict[str, str] | None:
    """Parameters that make the template segment equal to the one asked for, or None."""
    if template.variable:
        plain = not asked.arguments and not asked.name.lower().startswith(("$", "graph."))
        return {template.variable: asked.name} if plain else None
    if template.name.lower() != asked.name.lower() or len(template.arguments) != len(asked.arguments):
        return None
    bound = {}
    for (name, variable), (key, value) in zip(template.arguments, asked.arguments, strict=True):
        if name != key:
            return None
        bound[variable.strip("{}")] = value
    return bound


def match(found: Route, asked: list[Segment]) -> dict[str, str] | None:
    """All path parameters if the route's template fits the whole path, else None."""
    if len(found.segments) != len(asked):
        return None
    params: dict[str, str] = {}
    for template, segment in zip(found.segments, asked, strict=True):
        bound = bind(template, segment)
        if bound is None:
            return None
        params |= bound
    return params


def unknown_segment(version: str, asked: list[Segment]) -> str:
    """The first segment that no route of this version continues with."""
    for length in range(1, len(asked) + 1):
        head = asked[:length]
        starts = (r.segments[:length] for r in ROUTES if version in r.versions and len(r.segments) >= length)
        if not any(all(bind(t, s) is not None for t, s in zip(start, head, strict=True)) for start in starts):
            return asked[length - 1].name
    return asked[-1].name if asked else ""


def find(method: str, version: str, path: str) -> tuple[Route, dict[str, str]]:
    """The route for a request and its path parameters; literal segments win over keys.

    Raises GraphError 400 for an unknown segment and 405 for a method that the path does not have.
    """
    asked = split(path)
    fits = [(r, p) for r in ROUTES if version in r.versions and (p := match(r, asked)) is not None]
    if not fits:
        message = f"Resource not found for the segment '{unknown_segment(version, asked)}'."
        raise bad_request(message, code="BadRequest")
    chosen = [fit for fit in fits if fit[0].method == method]
    if not chosen:
        allow = ", ".join(sorted({r.method for r, _ in fits}))
        raise GraphError(405, "Request_BadRequest", WRONG_METHOD, {"Allow": allow})
    return max(chosen, key=lambda fit: tuple(segment.variable is None for segment in fit[0].segments))


def routes_table() -> str:
    """All routes as a Markdown table for the documentation: call, versions, page imitated, what it leaves out."""
    head = ["| call | versions | imitates | leaves out |", "| --- | --- | --- | --- |"]
    rows = (
        f"| {r.method} {r.template} | {', '.join(r.versions)} | {r.page} | {r.omits or 'nothing known'} |"
        for r in sorted(ROUTES, key=lambda r: (r.template.lower(), r.method, r.versions))
    )
    return "\n".join([*head, *rows]) + "\n"
