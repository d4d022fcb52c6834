"""The calls of experiments, as they are from the release on that lists their runs by themselves."""

from calls import contains, recipes, rows, same
from scene import EXTRACT, MANUAL, plain, status_of, wait_until

RECIPES, recipe = recipes()
DOCUMENTS = [{"handle_inputs": MANUAL["handle_inputs"]}]


def asked(**more):
    """Return the arguments that make an experiment."""
    return {"workflow_id": "wf_invoice", "block_id": EXTRACT, "name": "three times", "n_consensus": 3,
            "documents": DOCUMENTS, **more}  # fmt: skip


def created(scene, documents=1):
    """Create an experiment, which takes the longer the more documents it has."""
    return scene.make("workflows.experiments.create", **asked(documents=DOCUMENTS * documents))


def ids(experiment):
    """Return the arguments that name an experiment."""
    return {"workflow_id": "wf_invoice", "experiment_id": experiment.id}


@recipe("workflows.experiments.create")
def create(call, scene):
    experiment = call(**asked())
    same((experiment.name, experiment.block_id, experiment.document_count), ("three times", EXTRACT, 1))


@recipe("workflows.experiments.get")
def get(call, scene):
    experiment = created(scene)
    same((call(**ids(experiment)).id, plain(experiment.n_consensus)), (experiment.id, 3))


@recipe("workflows.experiments.list")
def list_(call, scene):
    experiment = created(scene)
    contains([each.id for each in rows(call(workflow_id="wf_invoice"))], experiment.id)


@recipe("workflows.experiments.update")
def update(call, scene):
    experiment = created(scene)
    same(call(**ids(experiment), name="renamed").name, "renamed")
    same(scene.make("workflows.experiments.get", **ids(experiment)).name, "renamed")


@recipe("workflows.experiments.duplicate")
def duplicate(call, scene):
    experiment = created(scene)
    copy = call(**ids(experiment))
    same((copy.id == experiment.id, copy.block_id), (False, EXTRACT))


@recipe("workflows.experiments.delete")
def delete(call, scene):
    experiment = created(scene)
    call(**ids(experiment))
    scene.gone("workflows.experiments.get", **ids(experiment))


@recipe("workflows.experiments.list_eligible_blocks")
def list_eligible_blocks(call, scene):
    contains([block.block_id for block in rows(call(workflow_id="wf_invoice"))], EXTRACT)


def ended(scene):
    """Begin a run of a new experiment, and wait for its end."""
    run = scene.make("workflows.experiments.runs.create", **ids(created(scene)))
    return wait_until(lambda: scene.make("workflows.experiments.runs.get", run_id=run.id), "completed")


@recipe("workflows.experiments.runs.cancel")
def cancel_run(call, scene):
    run = scene.make("workflows.experiments.runs.create", **ids(created(scene, documents=200)))
    answer = call(run_id=run.id)
    same((answer.id, status_of(answer)), (run.id, "cancelled"))


@recipe("workflows.experiments.metrics.get", "workflows.experiments.runs.metrics.get")
def get_metrics(call, scene):
    run = ended(scene)
    metrics = call(run_id=run.id)
    same((metrics.run_id, len(metrics.documents)), (run.id, 1))


@recipe("workflows.experiments.results.list", "workflows.experiments.runs.results.list")
def list_results(call, scene):
    run = ended(scene)
    (result,) = rows(call(run_id=run.id))
    same((result.experiment_id, status_of(result)), (run.experiment_id, "completed"))


@recipe("workflows.experiments.results.get", "workflows.experiments.runs.results.get")
def get_result(call, scene):
    run = ended(scene)
    name = "workflows.experiments.results.list"
    name = name if scene.has(name) else "workflows.experiments.runs.results.list"
    (listed,) = rows(scene.make(name, run_id=run.id))
    result = call(run_id=run.id, document_id=listed.document_id, result_id=listed.id)
    same((result.id, status_of(result)), (listed.id, "completed"))
