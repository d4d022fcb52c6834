"""A create that takes effect long after its client gave it up, and restarts: one run where that can be had."""

import pytest

from retab_orchestration import CreateOutcomeUnknownError, RunStatus
from tests.sweep.core.world import IDENTITY, World
from tests.sweep.plan import AMBIGUOUS, HARMLESS, posted, role_of

# The requests after a create that is held: six looks for its run, and two whether there is any run that shows what
# becomes of tags; the second create; two looks at what both have made.
LOOKS, SECOND_CREATE, COMPARISON = 6 + 2, 1, 2
NEVER_TOO_LATE = LOOKS + SECOND_CREATE + COMPARISON


def once(client):
    run = client.create_run(
        "wf_echo", json_inputs={"json-node-1": {"seconds": 30}}, identity=IDENTITY, adopt=True
    )
    assert client.wait_for_run(run.id).status is RunStatus.COMPLETED


def held_create(release_after, *, idempotency, life=once):
    """Live a life whose create is held until so many requests have passed."""
    world = World("current", idempotency=idempotency)
    roles = ["probe", "find", "create"]
    world.service.faults.post([posted("hold_before", roles.index("create"))])
    world.runtime.release_after = release_after
    error = world.live(life)
    assert [role_of(request) for request in world.runtime.sent][:3] == roles
    assert error is None
    return world


@pytest.mark.parametrize("release_after", range(LOOKS))
def test_a_create_that_acts_while_it_is_looked_for_is_found(release_after, count):
    world = held_create(release_after, idempotency="ignored")

    assert world.created == 1
    count("late creates")


@pytest.mark.parametrize("release_after", range(LOOKS, NEVER_TOO_LATE))
def test_a_create_that_acts_about_when_it_is_sent_again_leaves_one_run_alive(release_after, count):
    world = held_create(release_after, idempotency="ignored")

    assert world.created == 2
    assert len(world.alive) == 1
    count("late creates")


@pytest.mark.parametrize("release_after", range(NEVER_TOO_LATE, NEVER_TOO_LATE + 3))
def test_without_idempotency_keys_a_create_that_acts_later_still_is_a_run_that_nobody_waits_for(
    release_after, count
):
    # Nobody can prevent it: the server acts on a request that it has held for minutes, after all the looks.
    world = held_create(release_after, idempotency="ignored")

    assert len(world.alive) == 2
    # It is found by its tag, and a task that tries again takes one of the two, never a third.
    assert world.live(once) is None
    assert world.created == 2
    count("late creates")


@pytest.mark.parametrize("release_after", [*range(NEVER_TOO_LATE + 3), None])
def test_with_idempotency_keys_a_create_makes_one_run_however_late_it_acts(release_after, count):
    world = held_create(release_after, idempotency="compared")

    assert (world.created, len(world.alive)) == (1, 1)
    count("late creates")


@pytest.mark.parametrize("release_after", [0, 1, None])
def test_on_classic_routes_a_held_create_is_not_sent_again(release_after, count):
    world = World("classic")
    world.service.faults.post([posted("hold_before", 3)])
    world.runtime.release_after = release_after

    assert isinstance(world.live(once), CreateOutcomeUnknownError)
    assert world.created == 1
    assert [role_of(request) for request in world.runtime.sent].count("create") == 1
    count("late creates")


def restart(client):
    first = next(iter(client._session.runtime.service.state.runs))
    assert client.wait_for_run(client.restart_run(first).id).status is RunStatus.COMPLETED


def restarted(family, *faults):
    world = World(family)
    assert world.live(once) is None
    world.service.faults.post(list(faults))
    world.runtime.release_after = 0
    assert world.live(restart) is None
    return world


@pytest.mark.parametrize("kind", [*AMBIGUOUS, *HARMLESS])
@pytest.mark.parametrize("family", ["classic", "current"])
def test_a_restart_starts_one_run(family, kind, count):
    for index in range(len(restarted(family).runtime.sent)):
        assert restarted(family, posted(kind, index)).created == 2
        count("restart")
