"""The blocks that a release of November 2026 left at Prefect's server are loaded by this one."""

import json
from pathlib import Path

import pytest
from prefect.blocks.core import Block
from prefect.client.schemas.objects import BlockSchema, BlockType

import prefect_collection

[SAMPLE] = (Path(__file__).parents[1] / "samples" / "upgrade").glob("prefect-*.json")
BLOCKS = json.loads(SAMPLE.read_text())


def schema_of(saved):
    kind = BlockType(name=saved["type"].replace("-", " ").title(), slug=saved["type"])
    return BlockSchema(
        checksum="sha256:of-another-release",
        fields={},
        block_type_id=kind.id,
        block_type=kind,
        capabilities=[],
    )


@pytest.mark.parametrize("saved", BLOCKS, ids=lambda saved: saved["class"])
def test_a_block_is_loaded_by_its_type_with_what_was_saved(saved):
    kind = Block.get_block_class_from_schema(schema_of(saved))
    block = kind.model_validate(saved["data"])

    assert kind is getattr(prefect_collection, saved["class"])
    held = block.model_dump(mode="json", context={"include_secrets": True})
    assert shared(saved["data"], held) == shared(saved["data"], saved["data"])


def shared(saved, held):
    """Return what both have, as far as it was saved."""
    if not isinstance(saved, dict):
        return held
    return {name: shared(value, held[name]) for name, value in saved.items()}
