"""Run one flow run in this process, as Prefect's runner would: `python execute.py <flow run id>`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
