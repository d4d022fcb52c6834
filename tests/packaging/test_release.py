"""The check before a release does what its page says."""

import pytest

from dev.release import rehearse
from retab_orchestration import __version__

pytestmark = pytest.mark.system


def test_what_would_be_released_is_installed_from_an_index_and_runs(tmp_path):
    told = rehearse(tmp_path)

    metadata = told["metadata"]
    assert told["files"] == [
        f"retab_orchestration-{__version__}-py3-none-any.whl",
        f"retab_orchestration-{__version__}.tar.gz",
    ]
    assert told["file"].startswith(str(tmp_path))
    assert told["version"] == metadata["version"] == __version__
    assert (metadata["name"], metadata["license_expression"]) == ("retab-orchestration", "Apache-2.0")
    assert set(metadata["provides_extra"]) == {"airflow", "emulator", "prefect"}
    assert "Documentation, https://docs.retab.com" in metadata["project_url"]
    assert metadata["description"].startswith("# retab-orchestration")
    assert "hello" in str(told["outputs"])
