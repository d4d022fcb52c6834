"""Published versions of workflows, of their blocks and of their edges: lists, differences, and going back."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from retab_orchestration.emulator.generations import span
from retab_orchestration.emulator.serving.paging import page
from retab_orchestration.emulator.serving.routing import Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, moment
from retab_orchestration.emulator.state import Publication, State
from retab_orchestration.emulator.workflows.editing import put_edge, put_node
from retab_orchestration.emulator.workflows.graph import CREATED_AT, block_bodies, edge_bodies, workflow_body
from retab_orchestration.emulator.workflows.values import Workflow

__all__ = ["ROUTES", "newest_first"]

_NOT_COMPARED = {"id", "workflow_version_id", "created_at", "config_hash"}


@dataclass(frozen=True)
class Kind:
    """What belongs to a workflow and has versions: blocks or edges."""

    word: str
    bodies: Callable[[State, Workflow], list[dict[str, Any]]]
    """Returns what a workflow has of them, as they are shown without versions."""
    write: Callable[[dict[str, Any]], dict[str, Any]]
    """Returns what a version says more, or otherwise."""


def _block(body: dict[str, Any]) -> dict[str, Any]:
    return {"config_hash": hashlib.sha256(repr(body["config"]).encode()).hexdigest()}


def _edge(body: dict[str, Any]) -> dict[str, Any]:
    return {"source": body["source_block"], "target": body["target_block"], "animated": True}


BLOCKS = Kind("block", lambda state, workflow: block_bodies(workflow, state.shape("current")), _block)
EDGES = Kind("edge", lambda state, workflow: edge_bodies(workflow, state.shape("current")), _edge)


def newest_first(state: State, workflow_id: str) -> list[Publication]:
    """Return the publications of a workflow.

    Raises:
        Refusal: 404 when there is no such workflow.
    """
    return state.publications.get(state.workflow(workflow_id).id, [])[::-1]


def list_versions(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows/versions?workflow_id=`."""
    published = newest_first(state, _required(request, "workflow_id"))
    rows = [_workflow_version(state, each) for each in published]
    return answer(page(request, rows, _id, lambda row: row, default=50, strict=state.is_strict))


def get_version(state: State, request: Request, version_id: str) -> Response:
    """Answer `GET /v1/workflows/versions/{workflow_version_id}?workflow_id=`."""
    return answer(_workflow_version(state, _publication(state, request, version_id)))


def diff_versions(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows/versions/diff`: which blocks and edges were added, removed or changed."""
    sides = [_required(request, f"{side}_workflow_version_id") for side in ("from", "to")]
    old, new = (_publication(state, request, version_id).workflow for version_id in sides)
    body: dict[str, Any] = dict(
        zip(("from_workflow_version_id", "to_workflow_version_id"), sides, strict=True)
    )
    for kind in (BLOCKS, EDGES):
        before, after = ({row["id"]: row for row in kind.bodies(state, each)} for each in (old, new))
        body[f"added_{kind.word}_ids"] = [each for each in after if each not in before]
        body[f"removed_{kind.word}_ids"] = [each for each in before if each not in after]
        body[f"changed_{kind.word}_ids"] = [
            each for each in after if each in before and after[each] != before[each]
        ]
    return answer(body)


def restore_version(state: State, request: Request, version_id: str) -> Response:
    """Answer `POST /v1/workflows/versions/{workflow_version_id}/restore`: it becomes the draft."""
    old = _publication(state, request, version_id).workflow
    draft = replace(state.workflow(old.id), nodes=old.nodes, edge_facts=old.edge_facts)
    state.workflows[old.id] = draft
    return answer(workflow_body(state, draft))


def _lister(kind: Kind) -> Callable[..., Response]:
    def list_kind(state: State, request: Request) -> Response:
        """Answer `GET /v1/workflows/{blocks,edges}/versions?workflow_id=`."""
        workflow_id, asked = _required(request, "workflow_id"), request.param("workflow_version_id")
        rows = [
            row
            for row in _versions(state, kind, newest_first(state, workflow_id))
            if request.param(f"{kind.word}_id") in {None, row[f"{kind.word}_id"]}
            and asked in {None, row["workflow_version_id"]}
        ]
        return answer(page(request, rows, _id, lambda row: row, default=50, strict=state.is_strict))

    return list_kind


def _getter(kind: Kind) -> Callable[..., Response]:
    def get_kind(state: State, _request: Request, version_id: str) -> Response:
        """Answer `GET /v1/workflows/{blocks,edges}/versions/{version_id}`."""
        return answer(_find(state, kind, version_id))

    return get_kind


def _differ(kind: Kind) -> Callable[..., Response]:
    def diff_kind(state: State, request: Request) -> Response:
        """Answer `GET /v1/workflows/{blocks,edges}/versions/diff`: what became of each field."""
        names = [f"{side}_{kind.word}_version_id" for side in ("from", "to")]
        old, new = (_find(state, kind, _required(request, name)) for name in names)
        changes = [
            {"field": name, "from_value": old.get(name), "to_value": new[name]}
            for name in new
            if name not in _NOT_COMPARED and old.get(name) != new[name]
        ]
        known = {names[0]: old["id"], names[1]: new["id"], f"{kind.word}_id": new[f"{kind.word}_id"]}
        return answer({**known, "changes": changes})

    return diff_kind


def restore_block(state: State, _request: Request, version_id: str) -> Response:
    """Answer `POST /v1/workflows/blocks/versions/{block_version_id}/restore`: the draft has it again."""
    version = _find(state, BLOCKS, version_id)
    old = _version_of(state, version)
    node = old.node(version["block_id"])
    if node is not None:
        draft = state.workflow(old.id)
        here = draft.node(node.id)
        known = {each.id for each in draft.nodes}
        kept = tuple(source for source in node.after if source in known) if here is None else here.after
        state.workflows[old.id] = put_node(draft, replace(node, after=kept))
    return answer(_named(BLOCKS.bodies(state, state.workflows[old.id]), version["block_id"]))


def restore_edge(state: State, _request: Request, version_id: str) -> Response:
    """Answer `POST /v1/workflows/edges/versions/{edge_version_id}/restore`: the draft has it again."""
    version = _find(state, EDGES, version_id)
    old = _version_of(state, version)
    draft, ends = state.workflow(old.id), (version["source"], version["target"])
    if not {node.id for node in draft.nodes}.issuperset(ends):
        raise Refusal.structured(409, "The draft has not both blocks of the edge")
    try:
        state.workflows[old.id] = put_edge(draft, *ends, old.edge_facts.get(ends, {}))
    except ValueError as error:
        raise Refusal.structured(409, f"The edge closes a circle: {error}") from error
    return answer(_named(EDGES.bodies(state, state.workflows[old.id]), version["edge_id"]))


def _workflow_version(state: State, publication: Publication) -> dict[str, Any]:
    workflow = publication.workflow
    blocks, edges = BLOCKS.bodies(state, workflow), EDGES.bodies(state, workflow)
    return {
        "id": workflow.version_id,
        "workflow_id": workflow.id,
        "blocks": [
            {**block, "position": {"x": block["position_x"], "y": block["position_y"]}} for block in blocks
        ],
        "edges": [{**edge, "source": edge["source_block"], "target": edge["target_block"]} for edge in edges],
        "block_version_ids": [_version_id(BLOCKS, workflow, block["id"]) for block in blocks],
        "edge_version_ids": [_version_id(EDGES, workflow, edge["id"]) for edge in edges],
        "created_at": moment(publication.at) or CREATED_AT,
    }


def _versions(state: State, kind: Kind, publications: list[Publication]) -> Iterator[dict[str, Any]]:
    for publication in publications:
        workflow = publication.workflow
        for body in kind.bodies(state, workflow):
            yield {
                **{name: value for name, value in body.items() if name != "updated_at"},
                **kind.write(body),
                "id": _version_id(kind, workflow, body["id"]),
                f"{kind.word}_id": body["id"],
                "workflow_version_id": workflow.version_id,
                "created_at": moment(publication.at) or CREATED_AT,
            }


def _version_id(kind: Kind, workflow: Workflow, own_id: str) -> str:
    digest = hashlib.sha256(f"{workflow.version_id}/{own_id}".encode()).hexdigest()
    return f"{kind.word}ver_{digest[:24]}"


def _find(state: State, kind: Kind, version_id: str) -> dict[str, Any]:
    for publications in list(state.publications.values()):
        for version in _versions(state, kind, publications):
            if version["id"] == version_id:
                return version
    raise Refusal.structured(404, f"Version not found: {version_id}")


def _version_of(state: State, version: dict[str, Any]) -> Workflow:
    """Return the version of the workflow that a version of a block or an edge belongs to."""
    published = state.publications[version["workflow_id"]]
    version_id = version["workflow_version_id"]
    return next(each.workflow for each in published if each.workflow.version_id == version_id)


def _publication(state: State, request: Request, version_id: str) -> Publication:
    for publication in newest_first(state, _required(request, "workflow_id")):
        if publication.workflow.version_id == version_id:
            return publication
    raise Refusal.structured(404, f"Workflow version not found: {version_id}")


def _named(bodies: list[dict[str, Any]], own_id: str) -> dict[str, Any]:
    return next(body for body in bodies if body["id"] == own_id)


def _required(request: Request, name: str) -> str:
    value = request.param(name)
    if value is None:
        raise Refusal.invalid(["query", name], "Field required", "missing")
    return value


def _id(row: dict[str, Any]) -> str:
    return str(row["id"])


_SERVERS = ("current", *span("g3b", "g3c"))
_BASE = "/v1/workflows/versions"


def _routes(kind: Kind, restore: Callable[..., Response]) -> tuple[Route, ...]:
    base = f"/v1/workflows/{kind.word}s/versions"
    return (
        Route("GET", base, _lister(kind), _SERVERS),
        Route("GET", f"{base}/diff", _differ(kind), _SERVERS),
        Route("GET", base + "/{version_id}", _getter(kind), _SERVERS),
        Route("POST", base + "/{version_id}/restore", restore, _SERVERS),
    )


ROUTES = (
    Route("GET", _BASE, list_versions, _SERVERS),
    Route("GET", f"{_BASE}/diff", diff_versions, _SERVERS),
    Route("GET", _BASE + "/{version_id}", get_version, _SERVERS),
    Route("POST", _BASE + "/{version_id}/restore", restore_version, _SERVERS),
    *_routes(BLOCKS, restore_block),
    *_routes(EDGES, restore_edge),
)
