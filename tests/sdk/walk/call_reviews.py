"""The calls of human decisions, as each age has them: `resume`, `hil-decisions`, overlays, reviews."""

from calls import contains, recipes, rows, same
from scene import GATE, VALUES, plain, status_of

RECIPES, recipe = recipes()
EDITED = {**VALUES, "total_amount": 1.0}


@recipe("workflows.runs.resume")
def resume(call, scene):
    run = scene.waiting()
    same(call(run_id=run.id, node_id=GATE, approved=True, modified_data=EDITED).resume_status, "processing")
    same(status_of(scene.wait(run.id, "completed")), "completed")


@recipe("workflows.runs.submit_hil_decision")
def submit_decision(call, scene):
    run = scene.waiting()
    answer = call(run_id=run.id, block_id=GATE, approved=True, modified_data=EDITED, command_id="command-1")
    same((answer.submission_status, answer.decision.block_id), ("accepted", GATE))
    same(status_of(scene.wait(run.id, "completed")), "completed")


@recipe("workflows.runs.get_hil_decision")
def get_decision(call, scene):
    run = scene.waiting()
    scene.make("workflows.runs.submit_hil_decision", run_id=run.id, block_id=GATE, approved=True)
    decision = call(run_id=run.id, block_id=GATE)
    same((decision.run_id, decision.approved), (run.id, True))


@recipe("workflows.runs.get_agent_hil_review")
def get_agent_review(call, scene):
    run = scene.waiting()
    same(call(run_id=run.id, block_id=GATE).run_id, run.id)


def pending(scene):
    """Create a run that waits; return it with its review, and the one version of that."""
    run = scene.waiting()
    if not scene.has("workflows.reviews.versions.list"):
        return run, scene.make("workflows.reviews.get", run_id=run.id, block_id=GATE), None
    (review,) = rows(scene.make("workflows.reviews.list", run_id=run.id))
    (seed,) = rows(scene.make("workflows.reviews.versions.list", review_id=review.id))
    return run, review, seed


def named(run, review, seed):
    """Return the arguments that name a review, in each age."""
    if seed is None:
        return {"run_id": run.id, "block_id": GATE, "version_stamp": review.rev}
    return {"review_id": review.id, "version_id": seed.id}


@recipe("workflows.reviews.list")
def list_(call, scene):
    run, *_ = pending(scene)
    contains([run_of(review) for review in rows(call(workflow_id="wf_invoice_review", limit=100))], run.id)


def run_of(review):
    """Return the id of a review's run, in any shape."""
    return review.workflow_run_id if hasattr(review, "workflow_run_id") else review.run_id


@recipe("workflows.reviews.get")
def get(call, scene):
    run, review, seed = pending(scene)
    found = call(**named(run, review, seed))
    same((run_of(found), found.block_id), (run.id, GATE))


@recipe("workflows.reviews.wait_for")
def wait_for(call, scene):
    run = scene.waiting()
    same(call(run_id=run.id, block_id=GATE, timeout=5, poll_interval=0.02).block_id, GATE)


@recipe("workflows.reviews.approve")
def approve(call, scene):
    run, review, seed = pending(scene)
    same(plain(call(**named(run, review, seed)).submission_status), "accepted")
    same(status_of(scene.wait(run.id, "completed")), "completed")


@recipe("workflows.reviews.reject")
def reject(call, scene):
    run, review, seed = pending(scene)
    same(plain(call(**named(run, review, seed), reason="unreadable").submission_status), "accepted")
    same(status_of(scene.wait(run.id, "cancelled")), "cancelled")


@recipe("workflows.reviews.edit")
def edit(call, scene):
    run, review, _ = pending(scene)
    overlay = call(run_id=run.id, block_id=GATE, snapshot=EDITED, version_stamp=review.rev)
    same([version.snapshot for version in overlay.versions], [VALUES, EDITED])


@recipe("workflows.reviews.escalate")
def escalate(call, scene):
    run, review, seed = pending(scene)
    answer = call(**named(run, review, seed), reason="too hard", escalate_to="user_senior")
    same((answer.submission_status, answer.overlay.status), ("accepted", "awaiting_review"))


@recipe("workflows.reviews.claim")
def claim(call, scene):
    run, review, seed = pending(scene)
    overlay = call(**named(run, review, seed), ttl_seconds=60)
    same(overlay.claim is not None, True)


@recipe("workflows.reviews.release")
def release(call, scene):
    run, review, seed = pending(scene)
    scene.make("workflows.reviews.claim", **named(run, review, seed))
    overlay = call(**named(run, review, seed))
    same((overlay.block_id, overlay.claim), (GATE, None))


@recipe("workflows.reviews.versions.list")
def list_versions(call, scene):
    _run, review, seed = pending(scene)
    same([(each.id, each.snapshot) for each in rows(call(review_id=review.id))], [(seed.id, VALUES)])


@recipe("workflows.reviews.versions.get")
def get_version(call, scene):
    *_, seed = pending(scene)
    version = call(version_id=seed.id)
    same((version.id, version.snapshot), (seed.id, VALUES))


@recipe("workflows.reviews.versions.create")
def create_version(call, scene):
    _run, review, seed = pending(scene)
    version = call(review_id=review.id, parent_id=seed.id, snapshot=EDITED, note="typo")
    same((version.parent_id, version.snapshot), (seed.id, EDITED))
