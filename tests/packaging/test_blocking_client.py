"""The blocking client is what is written from the awaiting one."""

import pytest

from dev.blocking_client import blocking, modules


@pytest.mark.parametrize(("path", "text"), modules().items(), ids=lambda value: getattr(value, "name", ""))
def test_a_module_of_the_blocking_client_is_current(path, text):
    assert path.read_text() == text, "run `python -m dev.blocking_client` in the core's environment"


def test_there_is_no_other_module():
    assert {path.name for path in next(iter(modules())).parent.glob("*.py")} == {
        path.name for path in modules()
    }


def test_an_operation_runs_to_its_end_and_an_iterator_is_stepped_through():
    source = '''"""…: columns are counted in bytes."""

from collections.abc import AsyncIterator


class AsyncRunOperations:
    async def get(self, run_id: str) -> int:
        return await core.get(
            self._session, run_id
        )

    def every(self) -> AsyncIterator[int]:
        return core.every(self._session)

    async def aclose(self) -> None:
        await self._runtime.aclose()
'''

    written = blocking(source)

    assert "def get(self, run_id: str) -> int:\n        return run_blocking(core.get(\n" in written
    assert (
        "def every(self) -> Iterator[int]:\n        return iterate_blocking(core.every(self._session))"
        in written
    )
    assert "def close(self) -> None:\n        self._runtime.close()" in written
    assert "async" not in written.partition("\n")[2].lower()
