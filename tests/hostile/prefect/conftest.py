import importlib.util

import tests.prefect_collection.conftest  # noqa: F401 -- it gives Prefect a home of its own

collect_ignore_glob = [] if importlib.util.find_spec("prefect") else ["test_*.py"]
