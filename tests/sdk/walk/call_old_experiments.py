"""The calls of experiments whose run is always the newest one of an experiment, and those whose shape depends on it."""

import call_experiments
from call_experiments import created, ended, ids
from calls import contains, recipes, rows, same
from scene import EXTRACT, status_of, wait_until

RECIPES, recipe = recipes()


def is_old(scene):
    """Return whether runs of experiments have no ids of their own in calls."""
    return scene.has("workflows.experiments.get_metrics")


def old_ended(scene):
    """Run a new experiment to its end; return it."""
    experiment = created(scene)
    scene.make("workflows.experiments.runs.create", **ids(experiment))
    return wait_until(lambda: scene.make("workflows.experiments.get", **ids(experiment)), "completed")


@recipe("workflows.experiments.runs.create")
def create_run(call, scene):
    experiment = created(scene)
    run = call(**ids(experiment))
    same((run.experiment_id, run.document_count), (experiment.id, 1))


@recipe("workflows.experiments.runs.get")
def get_run(call, scene):
    if is_old(scene):
        experiment = old_ended(scene)
        answer = call(**ids(experiment))
        same(
            (answer.experiment_id, [job.status for job in answer.content.jobs]),
            (experiment.id, ["completed"]),
        )
        return
    run = ended(scene)
    same((call(run_id=run.id).id, status_of(run)), (run.id, "completed"))


@recipe("workflows.experiments.runs.list")
def list_runs(call, scene):
    if is_old(scene):
        experiment = old_ended(scene)
        same([run.status for run in rows(call(**ids(experiment)))], ["completed"])
        return
    run = ended(scene)
    contains([each.id for each in rows(call(workflow_id="wf_invoice"))], run.id)


@recipe("workflows.experiments.run_batch")
def run_batch(call, scene):
    experiment = created(scene)
    batch = call(workflow_id="wf_invoice", block_id=EXTRACT)
    same(batch.block_id, EXTRACT)
    contains([run.experiment_id for run in batch.runs], experiment.id)


@recipe("workflows.experiments.cancel")
def cancel(call, scene):
    experiment = created(scene, documents=200)
    scene.make("workflows.experiments.runs.create", **ids(experiment))
    same(call(**ids(experiment))["status"], "cancelled")
    same(scene.make("workflows.experiments.get", **ids(experiment)).status, "cancelled")


@recipe("workflows.experiments.runs.cancel_document")
def cancel_document(call, scene):
    experiment = old_ended(scene)
    content = scene.make("workflows.experiments.runs.get", **ids(experiment)).content
    again = created(scene, documents=200)
    scene.make("workflows.experiments.runs.create", **ids(again))
    document_id = scene.make("workflows.experiments.runs.get", **ids(again)).content.jobs[0].document_id
    same(content.jobs[0].document_id == document_id, False)
    same(call(**ids(again), document_id=document_id)["status"], "cancelled")


@recipe("workflows.experiments.get_metrics")
def get_metrics(call, scene):
    experiment = old_ended(scene)
    metrics = call(**ids(experiment))
    same((metrics.experiment_id, len(metrics.documents)), (experiment.id, 1))


assert not call_experiments.RECIPES.keys() & RECIPES.keys()
