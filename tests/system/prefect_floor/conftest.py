from tests.system.prefect.conftest import (  # noqa: F401
    collect_ignore_glob,
    emulator,
    invoice,
    prefect_api,
    running_emulator,
)
