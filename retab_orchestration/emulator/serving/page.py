"""HTML pages: `/` lists the newest runs, `/runs/{run_id}` shows one and takes the decision that it waits for."""

import json
from html import escape
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from retab_orchestration.emulator.files.documents import File
from retab_orchestration.emulator.reviews.gates import decide, find_gate
from retab_orchestration.emulator.runs.engine import Run, Step, View
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, moment
from retab_orchestration.emulator.state import State

__all__ = ["serve"]

_SHOWN = 50

_HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">{refresh}
<title>{title}</title><style>
:root {{ color-scheme: light dark; --line: #8884; --soft: #8881; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2.5rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.35rem; margin: 0 0 .2rem; }} h2 {{ font-size: 1rem; margin: 1.8rem 0 .5rem; }}
code, pre {{ font: 13px/1.5 ui-monospace, monospace; }} .dim {{ opacity: .65; }}
pre {{ background: var(--soft); border: 1px solid var(--line); border-radius: 8px; padding: .8rem; overflow: auto; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ border-bottom: 1px solid var(--line); padding: .4rem .6rem .4rem 0; text-align: left; }}
.status {{ border-radius: 99px; color: #fff; font-size: 13px; padding: .1rem .6rem; white-space: nowrap; }}
.completed {{ background: #2a7d46; }} .running {{ background: #2563b5; }} .waiting_for_human {{ background: #a15c00; }}
.error {{ background: #b3261e; }} .cancelled {{ background: #666; }} .pending, .queued {{ background: #5f6b7a; }}
form {{ display: flex; gap: .5rem; margin: .6rem 0; }} input {{ flex: 1; padding: .4rem; }}
button {{ padding: .4rem 1rem; }}
</style></head><body>{body}</body></html>"""


def serve(state: State, request: Request) -> Response:
    """Answer a path outside `/v1`.

    Raises:
        Refusal: 404 for an unknown path or run, 409 for a decision that the run does not wait for any more.
    """
    place, _, rest = request.path.strip("/").partition("/")
    if request.method == "GET" and place in {"", "runs"} and not rest:
        return _page("Runs", _list(state))
    if place != "runs" or request.method not in {"GET", "POST"}:
        raise Refusal(404, "Not Found")
    run = state.run(unquote(rest))
    if request.method == "POST":
        _take_decision(state, run, request)
        return Response(303, b"", {"location": f"/runs/{quote(run.id)}"})
    view = state.view_of(run)
    return _page(
        f"{run.workflow.name} · {run.id}", _run(run, view), refresh=view.is_active and not view.waiting
    )


def _page(title: str, body: str, *, refresh: bool = False) -> Response:
    again = '<meta http-equiv="refresh" content="2">' if refresh else ""
    html = _HTML.format(title=escape(title), body=body, refresh=again)
    return Response(200, html.encode(), {"content-type": "text/html; charset=utf-8"})


def _list(state: State) -> str:
    newest = sorted(state.runs.values(), key=lambda run: run.number, reverse=True)[:_SHOWN]
    rows = "".join(
        f'<tr><td><a href="/runs/{quote(run.id)}"><code>{escape(run.id)}</code></a></td>'
        f"<td>{escape(run.workflow.name)}</td><td>{_status(state.view_of(run).status)}</td>"
        f'<td class="dim">{moment(run.created_at)}</td></tr>'
        for run in newest
    )
    return f"<h1>Runs</h1><table>{rows}</table>" if rows else "<h1>Runs</h1><p>There is none yet.</p>"


def _run(run: Run, view: View) -> str:
    ids = f"<code>{escape(run.id)}</code> of <code>{escape(run.workflow.id)}</code>"
    parts = [
        f"<h1>{escape(run.workflow.name)} {_status(view.status)}</h1>",
        f'<p class="dim">{ids}, created {moment(run.created_at)}{_took(view)}</p>',
        *(_review(step) for step in view.steps if view.waiting and step.status == "waiting_for_human"),
    ]
    if view.failed and view.failed.error:
        parts.append(f"<h2>Error</h2><pre>{escape(str(view.failed.error['message']))}</pre>")
    parts.append("<h2>Steps</h2><table>" + "".join(_step(step) for step in view.steps) + "</table>")
    parts.append("<h2>Inputs</h2>" + _json({**run.documents, **run.json_inputs, **run.text_inputs}))
    if view.status == "completed":
        sinks = {node.id for node in run.workflow.sinks}
        parts.append(
            "<h2>Outputs</h2>" + _json({s.node.id: s.output for s in view.steps if s.node.id in sinks})
        )
    return "".join(parts)


def _review(step: Step) -> str:
    step_id = escape(step.id)
    return (
        f"<h2>{escape(step.node.label)} waits for you</h2>{_json(step.output)}"
        f'<form method="post"><input type="hidden" name="node_id" value="{step_id}">'
        '<button name="verdict" value="approve">Approve</button><input name="reason" placeholder="Why not?">'
        '<button name="verdict" value="reject">Reject</button></form>'
    )


def _step(step: Step) -> str:
    end = step.completed_at
    took = f"{end - step.started_at:.2f} s" if end is not None else ""
    return (
        f"<tr><td>{escape(step.node.label)}</td><td><code>{escape(step.id)}</code></td>"
        f'<td>{_status(step.status)}</td><td class="dim">{took}</td></tr>'
    )


def _took(view: View) -> str:
    return f", took {view.milliseconds / 1000:.2f} s" if view.milliseconds is not None else ""


def _status(status: str) -> str:
    return f'<span class="status {status}">{status.replace("_", " ")}</span>'


def _json(value: Any) -> str:
    def write(other: Any) -> Any:
        return other.reference() if isinstance(other, File) else str(other)

    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False, default=write))}</pre>"


def _take_decision(state: State, run: Run, request: Request) -> None:
    form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
    gate = find_gate(state, run, form.get("node_id", ""))
    if gate is None or gate.step.node.id not in state.view_of(run).waiting:
        raise Refusal(409, "This run is not waiting for that decision any more")
    approved = form.get("verdict") == "approve"
    decide(
        state,
        gate,
        approved=approved,
        version=None,
        reason=None if approved else form.get("reason", "Rejected"),
    )
