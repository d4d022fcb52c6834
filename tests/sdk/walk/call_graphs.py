"""The calls of blocks and edges."""

from calls import contains, recipes, rows, same
from scene import EXTRACT, VALUES

RECIPES, recipe = recipes()


@recipe("workflows.blocks.get")
def get_block(call, scene):
    block = call(workflow_id="wf_invoice", block_id=EXTRACT)
    same((block.id, block.label), (EXTRACT, "Extract Data"))


@recipe("workflows.blocks.list")
def list_blocks(call, scene):
    contains([block.id for block in rows(call(workflow_id="wf_invoice"))], EXTRACT)


@recipe("workflows.blocks.create")
def create_block(call, scene):
    workflow, *_ = scene.workflow()
    block_id = scene.name("block")
    block = call(workflow_id=workflow.id, id=block_id, type="extract", label="Third", position_x=7)
    same((block.id, block.label, block.position_x), (block_id, "Third", 7))
    contains(scene.ids("workflows.blocks.list", workflow_id=workflow.id), block_id)


@recipe("workflows.blocks.create_batch")
def create_blocks(call, scene):
    workflow, *_ = scene.workflow()
    ids = [scene.name("block"), scene.name("block")]
    same(
        [
            block.id
            for block in call(
                workflow_id=workflow.id, blocks=[{"id": each, "type": "extract"} for each in ids]
            )
        ],
        ids,
    )


@recipe("workflows.blocks.update")
def update_block(call, scene):
    workflow, _first, second, _edge = scene.workflow()
    same(call(workflow_id=workflow.id, block_id=second, label="Renamed").label, "Renamed")
    same(scene.make("workflows.blocks.get", workflow_id=workflow.id, block_id=second).label, "Renamed")


@recipe("workflows.blocks.delete")
def delete_block(call, scene):
    workflow, first, second, _edge = scene.workflow()
    call(workflow_id=workflow.id, block_id=second)
    same(scene.ids("workflows.blocks.list", workflow_id=workflow.id), [first])
    same(scene.ids("workflows.edges.list", workflow_id=workflow.id), [])


@recipe("workflows.blocks.create_block_validate_config")
def validate_config(call, scene):
    validated = call(workflow_id="wf_invoice", block_id=EXTRACT, config={"model": "retab-small"})
    same((validated.ok, validated.block_id), (True, EXTRACT))


@recipe("workflows.blocks.config_history")
def config_history(call, scene):
    workflow, _first, second, _edge = scene.published()
    history = rows(call(workflow_id=workflow.id, block_id=second))
    same([version.block_label for version in history], ["Read more", "Read"])


@recipe("workflows.blocks.get_resolved_schemas")
def block_schemas(call, scene):
    resolved = call(workflow_id="wf_invoice", block_id=EXTRACT)
    same(resolved.block_id, EXTRACT)
    contains(resolved.block_schema.output_schemas, "output-json-0")


@recipe("workflows.blocks.simulate")
def simulate(call, scene):
    simulation = call(run_id=scene.done().id, block_id=EXTRACT)
    same((simulation.block_id, simulation.success), (EXTRACT, True))
    same(simulation.handle_outputs["output-json-0"]["data"], VALUES)


@recipe("workflows.blocks.list_simulations")
def list_simulations(call, scene):
    run = scene.done()
    simulation = scene.make("workflows.blocks.simulate", run_id=run.id, block_id=EXTRACT)
    same([each.id for each in rows(call(run_id=run.id, block_id=EXTRACT))], [simulation.id])


@recipe("workflows.blocks.executions.create")
def create_execution(call, scene):
    run = scene.done()
    execution = call(run_id=run.id, block_id=EXTRACT)
    run_id = execution.source_run_id if hasattr(execution, "source_run_id") else execution.run_id
    same((run_id, execution.lifecycle.status), (run.id, "completed"))
    handle = execution.handle_outputs["output-json-0"]
    same(handle["data"] if isinstance(handle, dict) else handle.data, VALUES)


@recipe("workflows.blocks.executions.list")
def list_executions(call, scene):
    run = scene.done()
    execution = scene.make("workflows.blocks.executions.create", run_id=run.id, block_id=EXTRACT)
    same([each.id for each in rows(call(run_id=run.id, block_id=EXTRACT))], [execution.id])


@recipe("workflows.edges.get")
def get_edge(call, scene):
    workflow, first, second, edge = scene.workflow()
    found = call(workflow_id=workflow.id, edge_id=edge)
    same((found.id, found.source_block, found.target_block), (edge, first, second))


@recipe("workflows.edges.list")
def list_edges(call, scene):
    contains([edge.source_block for edge in rows(call(workflow_id="wf_invoice"))], EXTRACT)


@recipe("workflows.edges.create")
def create_edge(call, scene):
    workflow, first, _second, _edge = scene.workflow()
    third, edge_id = scene.name("block"), scene.name("edge")
    scene.make("workflows.blocks.create", workflow_id=workflow.id, id=third, type="extract")
    edge = call(workflow_id=workflow.id, id=edge_id, source_block=first, target_block=third)
    same((edge.id, edge.source_block, edge.target_block), (edge_id, first, third))
    contains(scene.ids("workflows.edges.list", workflow_id=workflow.id), edge_id)


@recipe("workflows.edges.create_batch")
def create_edges(call, scene):
    workflow, first, _second, _edge = scene.workflow()
    ends = [scene.name("block"), scene.name("block")]
    for end in ends:
        scene.make("workflows.blocks.create", workflow_id=workflow.id, id=end, type="extract")
    asked = [{"id": f"to-{end}", "source_block": first, "target_block": end} for end in ends]
    same([edge.target_block for edge in call(workflow_id=workflow.id, edges=asked)], ends)


@recipe("workflows.edges.delete")
def delete_edge(call, scene):
    workflow, _first, _second, edge = scene.workflow()
    call(workflow_id=workflow.id, edge_id=edge)
    same(scene.ids("workflows.edges.list", workflow_id=workflow.id), [])


@recipe("workflows.edges.delete_all")
def delete_edges(call, scene):
    workflow, *_ = scene.workflow()
    call(workflow_id=workflow.id)
    same(scene.ids("workflows.edges.list", workflow_id=workflow.id), [])
