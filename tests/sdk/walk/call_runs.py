"""The calls of runs, their steps and their artifacts."""

from calls import contains, recipes, rows, same
from scene import END, EXTRACT, INVOICE, START, VALUES, plain, status_of

RECIPES, recipe = recipes()


@recipe("workflows.runs.create")
def create(call, scene):
    run = call(workflow_id="wf_invoice", documents={START: INVOICE})
    same(status_of(run), "running")
    done = scene.wait(run.id, "completed")
    same((done.id, status_of(done)), (run.id, "completed"))


@recipe("workflows.runs.get")
def get(call, scene):
    run = scene.done()
    found = call(run_id=run.id)
    same((found.id, status_of(found)), (run.id, "completed"))


@recipe("workflows.runs.list")
def list_(call, scene):
    run = scene.done()
    listed = rows(call(workflow_id="wf_invoice", status="completed", limit=1))
    same([(each.id, status_of(each)) for each in listed], [(run.id, "completed")])


@recipe("workflows.runs.cancel")
def cancel(call, scene):
    run = scene.run(seconds=600)
    answer = call(run_id=run.id, command_id=scene.name("command"))
    same((plain(answer.cancellation_status), status_of(answer.run)), ("cancelled", "cancelled"))


@recipe("workflows.runs.restart")
def restart(call, scene):
    run = scene.done()
    again = call(run_id=run.id, command_id=scene.name("command"))
    same(again.id == run.id, False)
    same(again.trigger_type if hasattr(again, "trigger_type") else again.trigger.type, "restart")


@recipe("workflows.runs.delete")
def delete(call, scene):
    run = scene.done()
    call(run_id=run.id)
    scene.gone("workflows.runs.get", run_id=run.id)


@recipe("workflows.runs.export")
def export(call, scene):
    run = scene.done()
    table = call(workflow_id="wf_invoice", node_id=EXTRACT, block_id=EXTRACT, selected_run_ids=[run.id])
    same(table.rows, 1)
    contains(table.csv_data.replace("\n", ";").split(";"), VALUES["invoice_number"])


@recipe("workflows.runs.wait_for_completion")
def wait_for_completion(call, scene):
    run = scene.run(seconds=1)
    done = call(run_id=run.id, poll_interval_seconds=0.02, timeout_seconds=20)
    same((done.id, done.status), (run.id, "completed"))


@recipe("workflows.runs.steps.list", "workflows.steps.list")
def list_steps(call, scene):
    run = scene.done()
    steps = {step_name(step): step for step in rows(call(run_id=run.id))}
    same(list(steps), [START, EXTRACT, END])
    same(steps[EXTRACT].handle_outputs["output-json-0"].data, VALUES)


@recipe("workflows.runs.steps.get")
def get_run_step(call, scene):
    step = call(run_id=scene.done().id, node_id=EXTRACT, block_id=EXTRACT)
    same((step_name(step), status_of(step)), (EXTRACT, "completed"))
    same(step.handle_outputs["output-json-0"].data, VALUES)


@recipe("workflows.steps.get")
def get_step(call, scene):
    run = scene.done()
    listed = next(s for s in rows(scene.make("workflows.steps.list", run_id=run.id)) if s.block_id == EXTRACT)
    step = call(run_id=run.id, step_id=listed.step_id)
    same((step.step_id, step.lifecycle.status), (listed.step_id, "completed"))
    same(step.handle_outputs["output-json-0"].data, VALUES)


@recipe("workflows.runs.steps.get_many")
def get_many_steps(call, scene):
    same(batch(call(run_id=scene.done().id, node_ids=[EXTRACT], block_ids=[EXTRACT])), {EXTRACT: VALUES})


@recipe("workflows.runs.steps.get_all")
def get_all_steps(call, scene):
    contains(batch(call(run=scene.done())).items(), (EXTRACT, VALUES))


def batch(answer):
    """Return the JSON outputs of a batch of steps."""
    steps = answer.outputs if hasattr(answer, "outputs") else answer.executions
    handles = {name: (step.handle_outputs or {}).get("output-json-0") for name, step in steps.items()}
    return {name: handle.data for name, handle in handles.items() if handle is not None}


def step_name(step):
    """Return the id of a step's node, in any shape."""
    return step.node_id if hasattr(step, "node_id") else step.block_id


@recipe("workflows.artifacts.list")
def list_artifacts(call, scene):
    artifacts = rows(call(run_id=scene.done().id))
    contains([plain(artifact.operation) for artifact in artifacts], "extraction")


@recipe("workflows.artifacts.get")
def get_artifact(call, scene):
    listed = rows(scene.make("workflows.artifacts.list", run_id=scene.done().id))
    known = next(artifact for artifact in listed if plain(artifact.operation) == "extraction")
    artifact = call(operation="extraction", artifact_id=known.id)
    same((artifact.id, plain(artifact.operation)), (known.id, "extraction"))
    if hasattr(artifact, "output"):  # older models have no more than the two
        same(artifact.output, VALUES)
