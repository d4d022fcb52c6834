"""`make demo`: one document through a real Airflow and a real Prefect, against a Retab on this machine.

What happens is told on stderr; the last line, on stdout, is JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

from dev.demo.narrator import Narrator
from dev.hosts.airflow_host import AirflowHost
from dev.hosts.prefect_host import PrefectHost
from dev.hosts.processes import exit_on_terminate
from retab_orchestration.emulator import Emulator

ROOT = Path(__file__).parents[2]
VENVS = ROOT / ".venvs"
SAMPLE = ROOT / "tests" / "samples" / "documents" / "invoice.pdf"

# wf_invoice takes 1.5 s; at a fifth of its speed a run lasts long enough to be waited for in the triggerer.
SPEED = 0.2
KEY = "demo-key"


def through_airflow(emulator: Emulator, document: Path, say: Narrator) -> Any:
    """Run the example DAG on a real Airflow and return what the operator left in XCom."""
    connection = {
        "conn_type": "retab",
        "host": emulator.url,
        "password": KEY,
        "extra": {"dashboard_url": emulator.url + "/runs/{run_id}"},
    }
    env = {"AIRFLOW_CONN_RETAB_DEFAULT": json.dumps(connection)}
    with say.doing("starting Airflow: api-server, scheduler, triggerer, dag-processor"):
        host = AirflowHost(VENVS / "airflow", ROOT / "example_dags", env=env).start()
    try:
        api = host.api
        with say.doing("reading the example DAGs"):
            run_id = api.trigger("run_workflow", {"document": str(document)})
        with say.doing("running example_dags/run_workflow.py"):
            for task_id, _, state in api.watch("run_workflow", run_id):
                say.saw(f"{task_id} is {state}")
                if state == "deferred":
                    page = api.xcom("run_workflow", run_id, task_id, "run_url")
                    say.saw(f"no worker is held meanwhile; View run leads to {page}")
        if (state := api.dag_run_state("run_workflow", run_id)) != "success":
            raise SystemExit(
                f"the DAG run ended in state {state}:\n{api.log('run_workflow', run_id, 'read_invoice')}"
            )
        return api.xcom("run_workflow", run_id, "read_invoice")
    finally:
        with say.doing("stopping Airflow"):
            host.stop()


def through_prefect(emulator: Emulator, document: Path, say: Narrator) -> Any:
    """Run the example flow against a real Prefect server and return what the flow returned."""
    env = {"RETAB_API_KEY": KEY, "RETAB_API_BASE_URL": emulator.url}
    with say.doing("starting a Prefect server"):
        host = PrefectHost(VENVS / "prefect", env=env).start()
    try:
        with say.doing("running example_flows/run_workflow.py"):
            printed = host.run(ROOT / "example_flows" / "run_workflow.py", str(document))
        flow_run = host.flow_runs("book-invoice")[-1]
        say.saw(f"flow run {flow_run['name']} is {flow_run['state_name'].lower()}")
        return json.loads(printed.splitlines()[-1])
    finally:
        with say.doing("stopping Prefect"):
            host.stop()


def main(arguments: list[str]) -> int:
    """Send one document through both hosts, and fail unless both read the same from one run each."""
    document = Path(arguments[0] if arguments else SAMPLE).resolve()
    if not document.is_file():
        raise SystemExit(f"there is no file {document}: use make demo DOCUMENT=path/to/a.pdf")
    exit_on_terminate()
    say = Narrator()
    with Emulator(speed=SPEED, api_key=KEY, on_upload=say.receives) as emulator:
        say.saw(f"a Retab listens on {emulator.url}; the document is {document.name}")
        airflow = through_airflow(emulator, document, say)
        by_airflow = emulator.stats()["runs_created"]
        prefect = through_prefect(emulator, document, say)
        created = {"airflow": by_airflow, "prefect": emulator.stats()["runs_created"] - by_airflow}
    same = airflow == prefect and created == {"airflow": 1, "prefect": 1}
    say.saw("both read the same, from one run each" if same else "Airflow and Prefect differ, see below")
    print(json.dumps({"airflow": airflow, "prefect": prefect, "runs_created": created}), flush=True)
    return 0 if same else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
