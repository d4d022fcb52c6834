"""The pages for people."""

import pytest


def html(call, path):
    answer = call("GET", path, headers={})
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    return answer.body.decode()


def test_a_run_is_shown_without_a_key(call, clock, invoice):
    run = call.start("wf_invoice", content=invoice)
    path = f"/runs/{run['id']}"
    assert 'http-equiv="refresh"' in html(call, path)
    clock.tick(2)

    page = html(call, path)

    assert "refresh" not in page
    for shown in (run["id"], "Invoice Processing", "completed", "Extract Data", "INV-2024-001", "1.50 s"):
        assert shown in page


def test_the_runs_are_listed(call):
    assert "none yet" in html(call, "/")
    run = call.start("wf_echo")

    assert f'href="/runs/{run["id"]}"' in html(call, "/")
    assert html(call, "/runs/") == html(call, "/")


def test_what_came_from_outside_is_escaped(call, clock):
    run = call.start("wf_fail", json_input={"message": "<script>alert(1)</script>"})
    clock.tick(2)

    assert "<script>" not in html(call, f"/runs/{run['id']}")


def test_a_review_is_decided_on_the_page(call, clock, invoice):
    run = call.start("wf_invoice_review", content=invoice)
    clock.tick(2)
    path = f"/runs/{run['id']}"
    assert "waits for you" in html(call, path)

    answer = call("POST", path, b"node_id=hil-node-1&verdict=approve&reason=", headers={})

    assert (answer.status, answer.headers["location"]) == (303, path)
    assert "waits for you" not in html(call, path)
    assert call("POST", path, b"node_id=hil-node-1&verdict=approve", headers={}).status == 409


def test_a_review_is_rejected_on_the_page(call, clock, invoice):
    run = call.start("wf_invoice_review", content=invoice, family="current")
    clock.tick(2)

    call("POST", f"/runs/{run['id']}", b"node_id=hil-node-1&verdict=reject&reason=too+dark", headers={})

    assert call.get(f"/v1/workflows/runs/{run['id']}")["lifecycle"] == {
        "status": "cancelled",
        "reason": "too dark",
    }


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/runs/run_unknown"), ("GET", "/elsewhere"), ("PUT", "/runs/a")]
)
def test_other_paths_are_not_found(call, method, path):
    assert call(method, path, headers={}).status == 404
