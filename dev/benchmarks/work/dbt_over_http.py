"""dbt Cloud's trigger as a triggerer finds it by its name, with a hook that speaks plain http; see `triggers.dbt`."""

from dev.benchmarks.work.triggers import dbt

dbt()

from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger  # noqa: E402  after its hook was changed

__all__ = ["DbtCloudRunJobTrigger"]
