"""The calls of workflows as a whole, and of their specs."""

from calls import contains, recipes, rows, same
from scene import EXTRACT, PROJECT

RECIPES, recipe = recipes()


@recipe("workflows.get")
def get(call, scene):
    same(call(workflow_id="wf_invoice").name, "Invoice Processing")


@recipe("workflows.list")
def list_(call, scene):
    contains([workflow.id for workflow in rows(call(limit=100))], "wf_invoice")


@recipe("workflows.create")
def create(call, scene):
    name = scene.name("walk")
    workflow = call(name=name, description="of the walk", project_id=PROJECT)
    same((workflow.name, workflow.description), (name, "of the walk"))
    same(scene.make("workflows.get", workflow_id=workflow.id).name, name)


@recipe("workflows.update")
def update(call, scene):
    workflow, *_ = scene.workflow()
    same(call(workflow_id=workflow.id, name="Renamed").name, "Renamed")
    same(scene.make("workflows.get", workflow_id=workflow.id).name, "Renamed")


@recipe("workflows.delete")
def delete(call, scene):
    workflow, *_ = scene.workflow()
    call(workflow_id=workflow.id)
    scene.gone("workflows.get", workflow_id=workflow.id)


@recipe("workflows.duplicate")
def duplicate(call, scene):
    copy = call(workflow_id="wf_invoice")
    same(copy.id == "wf_invoice", False)
    contains(scene.ids("workflows.blocks.list", workflow_id=copy.id), EXTRACT)


@recipe("workflows.publish")
def publish(call, scene):
    workflow, *_ = scene.workflow()
    published = call(workflow_id=workflow.id, description="first")
    same(is_published(workflow), False)
    same(is_published(published), True)


def is_published(workflow):
    """Return whether a workflow is published, in any shape."""
    if hasattr(workflow, "is_published"):
        return workflow.is_published
    return workflow.published is not None


@recipe("workflows.discard_draft")
def discard_draft(call, scene):
    workflow, _first, second, _edge = scene.published()
    scene.make("workflows.blocks.update", workflow_id=workflow.id, block_id=second, label="Unwanted")
    same(call(workflow_id=workflow.id).id, workflow.id)
    same(scene.make("workflows.blocks.get", workflow_id=workflow.id, block_id=second).label, "Read more")


@recipe("workflows.get_entities")
def get_entities(call, scene):
    entities = call(workflow_id="wf_invoice")
    same(entities.workflow.id, "wf_invoice")
    contains([block.id for block in entities.blocks], EXTRACT)
    contains([edge.source_block for edge in entities.edges], EXTRACT)


@recipe("workflows.diagnose")
def diagnose(call, scene):
    workflow, *_ = scene.workflow()
    diagnosis = call(workflow_id=workflow.id)
    same((diagnosis.is_valid, diagnosis.stats.total_blocks, diagnosis.stats.total_edges), (True, 2, 1))


@recipe("workflows.get_resolved_schemas")
def get_resolved_schemas(call, scene):
    resolved = call(workflow_id="wf_invoice")
    same(resolved.workflow_id, "wf_invoice")
    contains(resolved.schemas[EXTRACT].output_schemas, "output-json-0")


@recipe("workflows.spec.get", "workflows.specs.export")
def get_spec(call, scene):
    spec = call(workflow_id="wf_invoice")
    same(spec.workflow_id, "wf_invoice")
    contains(spec.yaml_definition.split(), EXTRACT)


def a_spec(scene):
    """Return the spec of the workflow with three blocks, and its name."""
    name = "workflows.spec.get" if scene.has("workflows.spec.get") else "workflows.specs.export"
    return scene.make(name, workflow_id="wf_invoice").yaml_definition


@recipe("workflows.spec.validate", "workflows.specs.validate")
def validate_spec(call, scene):
    validated = call(yaml_definition=a_spec(scene), project_id=PROJECT)
    same((validated.workflow_id, validated.is_valid, validated.block_count), ("wf_invoice", True, 4))


@recipe("workflows.plan", "workflows.spec.plan", "workflows.specs.plan")
def plan_spec(call, scene):
    planned = call(yaml_definition=a_spec(scene), project_id=PROJECT)
    same((planned.action, planned.summary.has_changes), ("noop", False))


@recipe("workflows.apply", "workflows.spec.apply", "workflows.specs.apply")
def apply_spec(call, scene):
    workflow_id = scene.name("wf_applied")
    applied = call(yaml_definition=a_spec(scene).replace("wf_invoice", workflow_id), project_id=PROJECT)
    same((applied.workflow_id, applied.created, applied.block_count), (workflow_id, True, 4))
    contains(scene.ids("workflows.blocks.list", workflow_id=workflow_id), EXTRACT)
