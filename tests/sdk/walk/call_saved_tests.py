"""The calls of saved tests and of their runs, which the newest release calls evals."""

from calls import contains, recipes, rows, same
from scene import EXISTS, EXTRACT, MANUAL, plain, wait_until

RECIPES, recipe = recipes()
SAVED = "wfnodetest_invoice_1"


def both(name):
    """Return the names of a call in both vocabularies."""
    return f"workflows.tests.{name}", f"workflows.evals.{name}"


def spoken(scene, name):
    """Return the name of a call in the vocabulary of the release."""
    tests, evals = both(name)
    return evals if scene.has("workflows.evals.get") else tests


def ids(test_id):
    """Return the arguments that name a test."""
    return {"workflow_id": "wf_invoice", "test_id": test_id, "eval_id": test_id}


def created(scene, name="saved"):
    """Create a test."""
    target = {"type": "block", "block_id": EXTRACT}
    return scene.make(
        spoken(scene, "create"),
        workflow_id="wf_invoice", target=target, source=MANUAL, assertion=EXISTS, name=name,
    )  # fmt: skip


@recipe(*both("create"))
def create(call, scene):
    target = {"type": "block", "block_id": EXTRACT}
    test = call(workflow_id="wf_invoice", target=target, source=MANUAL, assertion=EXISTS, name="saved")
    same((test.name, test.target.block_id, test.source.type), ("saved", EXTRACT, "manual"))
    same(test.assertion.target.path, "total_amount")
    scene.make(spoken(scene, "delete"), **ids(test.id))


@recipe(*both("get"))
def get(call, scene):
    test = call(**ids(SAVED))
    same((test.id, test.target.block_id), (SAVED, EXTRACT))


@recipe(*both("list"))
def list_(call, scene):
    contains([test.id for test in rows(call(workflow_id="wf_invoice"))], SAVED)


@recipe(*both("update"))
def update(call, scene):
    test = created(scene)
    same(call(**ids(test.id), name="renamed").name, "renamed")
    same(scene.make(spoken(scene, "get"), **ids(test.id)).name, "renamed")
    scene.make(spoken(scene, "delete"), **ids(test.id))


@recipe(*both("delete"))
def delete(call, scene):
    test = created(scene)
    call(**ids(test.id))
    scene.gone(spoken(scene, "get"), **ids(test.id))


@recipe("workflows.tests.execute")
def execute(call, scene):
    batch = call(workflow_id="wf_invoice", test_id=SAVED)
    same((batch.status, batch.total_tests, batch.test_id), ("queued", 1, SAVED))


@recipe("workflows.tests.wait_for_completion")
def wait_for_completion(call, scene):
    batch = scene.make("workflows.tests.execute", workflow_id="wf_invoice", test_id=SAVED)
    result = call(job_id=batch.job_id, poll_interval_seconds=0.02, timeout_seconds=20)
    same((result.counts.passed, [item.test_id for item in result.results]), (1, [SAVED]))


def begun(scene):
    """Begin a test run of one test."""
    kind = "eval_id" if scene.has("workflows.evals.get") else "test_id"
    scope = {"type": "single", kind: SAVED}
    return scene.make(spoken(scene, "runs.create"), workflow_id="wf_invoice", scope=scope, test_id=SAVED)


def ended(scene):
    """Begin a test run of one test, and wait for its end."""
    run = begun(scene)
    return wait_until(lambda: scene.make(spoken(scene, "runs.get"), run_id=run.id), "completed")


@recipe(*both("runs.create"))
def create_run(call, scene):
    run = call(workflow_id="wf_invoice")
    total = run.total_evals if hasattr(run, "total_evals") else run.total_tests
    same((total, run.lifecycle.status in {"pending", "running"}), (2, True))


@recipe(*both("runs.get"))
def get_run(call, scene):
    if scene.has("workflows.tests.execute"):
        record = records(scene)[0]
        found = call(workflow_id="wf_invoice", test_id=SAVED, run_id=record.id)
        same((found.id, found.test_id, found.status), (record.id, SAVED, "passed"))
        return
    run = ended(scene)
    found = call(run_id=run.id)
    passed = found.counts.passed if hasattr(found.counts, "passed") else found.counts.outcome.passed
    same((found.id, passed), (run.id, 1))


def records(scene, call=None):
    """Execute a test where its runs are records of each test, wait for their end, and list them."""
    batch = scene.make("workflows.tests.execute", workflow_id="wf_invoice", test_id=SAVED)
    if scene.has("workflows.tests.wait_for_completion"):
        scene.make("workflows.tests.wait_for_completion", job_id=batch.job_id, poll_interval_seconds=0.02)
    else:
        wait_until(lambda: newest(scene), "passed")
    asked = {"workflow_id": "wf_invoice", "test_id": SAVED}
    return rows(call(**asked) if call else scene.make("workflows.tests.runs.list", **asked))


def newest(scene):
    """Return the newest record of the test."""
    return rows(scene.make("workflows.tests.runs.list", workflow_id="wf_invoice", test_id=SAVED))[0]


@recipe(*both("runs.list"))
def list_runs(call, scene):
    if scene.has("workflows.tests.execute"):
        record = records(scene, call)[0]
        same((record.test_id, record.status, record.target.block_id), (SAVED, "passed", EXTRACT))
        return
    run = ended(scene)
    contains([each.id for each in rows(call(workflow_id="wf_invoice", status="completed"))], run.id)


@recipe(*both("runs.cancel"))
def cancel_run(call, scene):
    run = scene.make(spoken(scene, "runs.create"), workflow_id="wf_long_tests")
    same(call(run_id=run.id).lifecycle.status, "cancelled")


@recipe(*both("runs.results.list"), *both("results.list"))
def list_results(call, scene):
    (result,) = rows(call(run_id=ended(scene).id))
    same((test_of(result), verdict_of(result)), (SAVED, "passed"))


@recipe(*both("runs.results.get"), *both("results.get"))
def get_result(call, scene):
    run = ended(scene)
    name = "runs.results.list" if scene.has("workflows.tests.runs.results.list") else "results.list"
    (listed,) = rows(scene.make(spoken(scene, name), run_id=run.id))
    result = call(run_id=run.id, test_id=SAVED, result_id=listed.id)
    same((result.id, test_of(result), verdict_of(result)), (listed.id, SAVED, "passed"))


def test_of(result):
    """Return the id of a result's test, in any shape."""
    return result.eval_id if hasattr(result, "eval_id") else result.test_id


def verdict_of(result):
    """Return the verdict of a result, in any shape."""
    return result.verdict["status"] if isinstance(result.verdict, dict) else plain(result.verdict)
