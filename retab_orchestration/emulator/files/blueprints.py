"""Blueprints of files: here nothing but that there is one."""

from typing import Any

from retab_orchestration.emulator.generations import span
from retab_orchestration.emulator.runs.creation import text_at
from retab_orchestration.emulator.serving.routing import Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, moment, new_id
from retab_orchestration.emulator.state import State

__all__ = ["ROUTES"]

_KEPT = "blueprint"
_SECONDS = 30.0
"""How long one takes that is made in the background."""


def create_blueprint(state: State, request: Request) -> Response:
    """Answer `POST /v1/files/blueprints`: completed at once, or made in the background."""
    body = request.json_object()
    file_id = text_at(body, "file_id", ["body"])
    if file_id not in state.file_store.files:
        raise Refusal.structured(404, f"File not found: {file_id}")
    now = state.clock()
    done = now + _SECONDS / state.speed if body.get("background") is True else now
    intent = text_at(body, "intent", ["body"]) if body.get("intent") is not None else None
    blueprint = {
        "file": state.file_store.files[file_id],
        "intent": intent,
        "from": now,
        "to": done,
        "stop": None,
    }
    blueprint_id = new_id("bp")
    state.kept(_KEPT)[blueprint_id] = blueprint
    return answer(_body(state, blueprint_id))


def get_blueprint(state: State, _request: Request, blueprint_id: str) -> Response:
    """Answer `GET /v1/files/blueprints/{blueprint_id}`."""
    return answer(_body(state, blueprint_id))


def cancel_blueprint(state: State, _request: Request, blueprint_id: str) -> Response:
    """Answer `POST /v1/files/blueprints/{blueprint_id}/cancel`."""
    if _body(state, blueprint_id)["status"] == "in_progress":
        state.kept(_KEPT)[blueprint_id]["stop"] = state.clock()
    return answer(_body(state, blueprint_id))


def _body(state: State, blueprint_id: str) -> dict[str, Any]:
    blueprint = state.kept(_KEPT).get(blueprint_id)
    if blueprint is None:
        raise Refusal.structured(404, f"Blueprint not found: {blueprint_id}")
    status = "completed" if blueprint["to"] <= state.clock() else "in_progress"
    status = "cancelled" if blueprint["stop"] is not None else status
    is_done = status == "completed"
    return {
        "object": "file.blueprint",
        "id": blueprint_id,
        "file": blueprint["file"].reference(),
        "intent": blueprint["intent"],
        "mode": "instant",
        "status": status,
        "output": {"pages": blueprint["file"].page_count} if is_done else {},
        "error": None,
        "created_at": moment(blueprint["from"]),
        "started_at": moment(blueprint["from"]),
        "completed_at": moment(blueprint["to"] if is_done else blueprint["stop"]),
    }


_SERVERS = ("current", *span("g3b", "g3c"))

ROUTES = (
    Route("POST", "/v1/files/blueprints", create_blueprint, _SERVERS),
    Route("GET", "/v1/files/blueprints/{blueprint_id}", get_blueprint, _SERVERS),
    Route("POST", "/v1/files/blueprints/{blueprint_id}/cancel", cancel_blueprint, _SERVERS),
)
