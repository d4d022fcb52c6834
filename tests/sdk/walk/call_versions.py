"""The calls of published versions: of workflows, of blocks, of edges."""

from calls import recipes, rows, same

RECIPES, recipe = recipes()


def versions_of(scene, name, workflow, **more):
    """Return the versions that a call lists, the newest first."""
    return rows(scene.make(name, workflow_id=workflow.id, **more))


@recipe("workflows.list_versions", "workflows.list_snapshots")
def list_versions(call, scene):
    workflow, *_ = scene.published()
    versions = rows(call(workflow_id=workflow.id))
    same([version.workflow_id for version in versions], [workflow.id] * 2)


@recipe("workflows.get_version")
def get_version(call, scene):
    workflow, first, second, _edge = scene.published()
    newest, _oldest = versions_of(scene, "workflows.list_versions", workflow)
    version = call(workflow_id=workflow.id, workflow_version_id=newest.id)
    same((version.id, [block.id for block in version.blocks]), (newest.id, [first, second]))


@recipe("workflows.list_diff")
def diff_versions(call, scene):
    workflow, _first, second, _edge = scene.published()
    newest, oldest = versions_of(scene, "workflows.list_versions", workflow)
    diff = call(workflow_id=workflow.id, from_workflow_version_id=oldest.id, to_workflow_version_id=newest.id)
    same((diff.changed_block_ids, diff.added_block_ids), ([second], []))


@recipe("workflows.create_version_restore")
def restore_version(call, scene):
    workflow, _first, second, _edge = scene.published()
    _newest, oldest = versions_of(scene, "workflows.list_versions", workflow)
    same(call(workflow_id=workflow.id, workflow_version_id=oldest.id).id, workflow.id)
    same(scene.make("workflows.blocks.get", workflow_id=workflow.id, block_id=second).label, "Read")


def block_versions(scene):
    """Publish a block twice; return its workflow, its id and its versions, the newest first."""
    workflow, _first, second, _edge = scene.published()
    return workflow, second, versions_of(scene, "workflows.blocks.list_versions", workflow, block_id=second)


@recipe("workflows.blocks.list_versions")
def list_block_versions(call, scene):
    workflow, _first, second, _edge = scene.published()
    versions = rows(call(workflow_id=workflow.id, block_id=second))
    same(
        [(version.block_id, version.label) for version in versions], [(second, "Read more"), (second, "Read")]
    )


@recipe("workflows.blocks.get_version")
def get_block_version(call, scene):
    _workflow, block_id, (_newest, oldest) = block_versions(scene)
    version = call(block_version_id=oldest.id)
    same((version.id, version.block_id, version.label), (oldest.id, block_id, "Read"))


@recipe("workflows.blocks.list_diff")
def diff_block_versions(call, scene):
    _workflow, block_id, (newest, oldest) = block_versions(scene)
    diff = call(from_block_version_id=oldest.id, to_block_version_id=newest.id)
    same(diff.block_id, block_id)
    same([(change.field, change.to_value) for change in diff.changes], [("label", "Read more")])


@recipe("workflows.blocks.create_version_restore")
def restore_block_version(call, scene):
    _workflow, block_id, (_newest, oldest) = block_versions(scene)
    block = call(block_version_id=oldest.id)
    same((block.id, block.label), (block_id, "Read"))


def edge_versions(scene):
    """Publish an edge twice; return its workflow, its id and its versions, the newest first."""
    workflow, _first, _second, edge = scene.published()
    return workflow, edge, versions_of(scene, "workflows.edges.list_versions", workflow, edge_id=edge)


@recipe("workflows.edges.list_versions")
def list_edge_versions(call, scene):
    workflow, _first, _second, edge = scene.published()
    same([version.edge_id for version in rows(call(workflow_id=workflow.id, edge_id=edge))], [edge] * 2)


@recipe("workflows.edges.get_version")
def get_edge_version(call, scene):
    _workflow, edge_id, (newest, _oldest) = edge_versions(scene)
    version = call(edge_version_id=newest.id)
    same((version.id, version.edge_id), (newest.id, edge_id))


@recipe("workflows.edges.list_diff")
def diff_edge_versions(call, scene):
    _workflow, edge_id, (newest, oldest) = edge_versions(scene)
    diff = call(from_edge_version_id=oldest.id, to_edge_version_id=newest.id)
    same((diff.edge_id, diff.changes), (edge_id, []))


@recipe("workflows.edges.create_version_restore")
def restore_edge_version(call, scene):
    workflow, edge_id, (_newest, oldest) = edge_versions(scene)
    scene.make("workflows.edges.delete", workflow_id=workflow.id, edge_id=edge_id)
    same(call(edge_version_id=oldest.id).id, edge_id)
    same(scene.ids("workflows.edges.list", workflow_id=workflow.id), [edge_id])
