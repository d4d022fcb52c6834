"""One fault of every kind at every request of a run's life, for the bare client in both colours."""

import pytest

from retab_orchestration import PollPolicy, RunStatus, WaitTimeoutError
from retab_orchestration.documents import LARGE
from tests.invoices import invoice_pdf, large_invoice
from tests.retab_orchestration.fake_runtime import START
from tests.sweep.core.world import IDENTITY, World
from tests.sweep.plan import KINDS, expected, posted, roles_of

# Nothing in a life takes longer than this, whatever happens: seconds, and requests beyond those of a clean one.
PATIENCE = 600
# Large enough not to be sent inside of a create.
UPLOADED = large_invoice(LARGE + 1)
MORE_REQUESTS = 12


def invoice(client, **options):
    run = client.create_run("wf_invoice", documents={"start-node-1": ("a.pdf", invoice_pdf())}, **options)
    run = client.wait_for_run(run.id)
    assert run.status is RunStatus.COMPLETED
    [output] = run.outputs.values()
    assert output["invoice_number"] == "INV-2024-001"


def owned_invoice(client):
    invoice(client, identity=IDENTITY, adopt=True)


def uploaded_invoice(client):
    run = client.create_run(
        "wf_invoice", documents={"start-node-1": ("a.pdf", UPLOADED)}, identity=IDENTITY, adopt=True
    )
    [output] = client.wait_for_run(run.id).outputs.values()
    assert output["invoice_number"] == "INV-2024-001"


def reviewed_invoice(client):
    run = client.create_run(
        "wf_invoice_review",
        documents={"start-node-1": ("a.pdf", invoice_pdf())},
        identity=IDENTITY,
        adopt=True,
    )
    run = client.wait_for_run(run.id)
    if run.is_waiting:
        client.decide_review(
            run.id, run.waiting_for_node_ids[0], approved=True, modified_data={"total_amount": 1.0}
        )
        run = client.wait_for_run(run.id, on_review="wait")
    assert run.status is RunStatus.COMPLETED


def failed_run(client):
    run = client.create_run("wf_fail", json_inputs={"json-node-1": {"category": "permanent"}})
    run = client.wait_for_run(run.id)
    assert run.status is RunStatus.ERROR


def cancelled_run(client):
    run = echo(client, 3600)
    client.cancel_run(run.id)
    assert client.wait_for_run(run.id).status is RunStatus.CANCELLED


def late_run(client):
    run = echo(client, 3600)
    began = client._session.runtime.now()
    with pytest.raises(WaitTimeoutError):
        client.wait_for_run(run.id, timeout=30, poll=PollPolicy(first=2, growth=0.8))
    assert client._session.runtime.now() - began <= 30 + 5  # the last look may take five seconds


def echo(client, seconds):
    inputs = {"json-node-1": {"seconds": seconds}}
    return client.create_run("wf_echo", json_inputs=inputs, identity=IDENTITY, adopt=True)


LIVES = {
    # Without metadata nobody looks for a run before it is created: both are the same requests.
    "classic": (invoice, reviewed_invoice, failed_run, cancelled_run, late_run),
    "current": (
        invoice,
        owned_invoice,
        uploaded_invoice,
        reviewed_invoice,
        failed_run,
        cancelled_run,
        late_run,
    ),
}
# One core serves both colours, so the second one is swept through the longest lives only.
SWEPT = [
    pytest.param(family, colour, life, id=f"{family}-{colour}-{life.__name__}")
    for family, lives in LIVES.items()
    for life in lives
    for colour in ("blocking", "awaiting")
    if colour == "blocking" or life in {invoice, reviewed_invoice}
]


def test_the_upload_is_among_what_is_swept():
    assert roles("current", uploaded_invoice)[2:6] == ["open", "put", "complete", "create"]


def roles(family, life, server=None, before=None):
    """Live a life without faults, and name what each of its requests was for."""
    world = World(family, "blocking", server)
    if before:
        assert world.live(before) is None
    assert world.live(life) is None
    return roles_of(world.runtime.sent)


def check(world, life, kind, role, family, requests, *, existing=False):
    if life is failed_run and role == "outputs":
        role = "reason"
    outcome = expected(kind, role, family, existing=existing)
    world.runtime.limit = requests + MORE_REQUESTS
    world.runtime.release_after = 0
    error = world.live(life)

    assert outcome.error is None or isinstance(error, outcome.error), repr(error)
    assert outcome.error is not None or error is None, repr(error)
    assert world.created == outcome.created
    assert world.clock.time - START < PATIENCE
    if error is not None and family == "current" and life not in {invoice, failed_run, cancelled_run}:
        # The task tries again: there is one run, whatever it met before.
        assert world.live(life) is None
        assert world.created == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("family", "colour", "life"), SWEPT)
def test_one_fault_at_any_request(family, colour, life, kind, count):
    for index, role in enumerate(steps := roles(family, life)):
        world = World(family, colour)
        world.service.faults.post([posted(kind, index)])
        check(world, life, kind, role, family, len(steps))
        count("client")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("server", ["current", "both"])
def test_one_fault_when_a_task_tries_again(server, kind, count):
    def first_try(client):
        echo(client, 30)

    def second_try(client):
        assert client.wait_for_run(echo(client, 30).id).status is RunStatus.COMPLETED

    for index, role in enumerate(steps := roles("current", second_try, server, before=first_try)):
        world = World("current", "blocking", server)
        world.live(first_try)
        world.service.faults.post([posted(kind, index)])
        check(world, second_try, kind, role, "current", len(steps), existing=True)
        count("client")
