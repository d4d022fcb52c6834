import importlib.util

from tests.airflow_provider.conftest import airflow_home, fire  # noqa: F401 -- fixtures, and an Airflow of our own

collect_ignore_glob = [] if importlib.util.find_spec("airflow") else ["*"]
