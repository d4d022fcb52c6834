import importlib.util

from tests.airflow_provider.conftest import fire  # noqa: F401 -- an Airflow of our own

collect_ignore_glob = [] if importlib.util.find_spec("airflow") else ["test_*.py"]
