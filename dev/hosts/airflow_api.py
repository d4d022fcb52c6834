"""Airflow 3's REST API, as far as our demo, system tests and benchmarks need it."""

import time
from collections.abc import Iterator
from typing import Any

import httpx

from dev.hosts.processes import wait_until

_ENDED = frozenset({"success", "failed"})


class AirflowApi:
    """Starts DAG runs and reads what became of them."""

    def __init__(self, url: str) -> None:
        self.url = url
        # No proxy from the environment: this is loopback.
        self._http = httpx.Client(base_url=url, timeout=30.0, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def log_in(self, user: str, password: str) -> None:
        """Fetch a token with the simple auth manager's user and password."""
        answer = self._http.post("/auth/token", json={"username": user, "password": password})
        answer.raise_for_status()
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def is_healthy(self) -> bool:
        """Whether the api-server answers and the three others have a fresh heartbeat."""
        try:
            answer = self._http.get("/api/v2/monitor/health")
        except httpx.TransportError:
            return False
        if answer.status_code != 200:
            return False
        return all(part["status"] == "healthy" for part in answer.json().values())

    def wait_for_dag(self, dag_id: str, *, timeout: float = 90.0) -> None:
        """Wait until the dag-processor has read a DAG.

        Raises:
            ImportError: A file of the DAGs folder cannot be imported.
            TimeoutError: `timeout` seconds passed.
        """

        def is_known() -> bool:
            errors = self.get("/importErrors")["import_errors"]
            if errors:
                raise ImportError("\n".join(f"{each['filename']}:\n{each['stack_trace']}" for each in errors))
            return self._http.get(f"/api/v2/dags/{dag_id}").status_code == 200

        wait_until(is_known, timeout=timeout, what=f"Airflow to read DAG {dag_id}")

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None, *, run_id: str | None = None) -> str:
        """Start a DAG run with `conf`, unpausing its DAG; return the DAG run's id, which Airflow makes up for None."""
        self.wait_for_dag(dag_id)
        self.send("PATCH", f"/dags/{dag_id}", {"is_paused": False})
        body = {"logical_date": None, "conf": conf or {}} | ({"dag_run_id": run_id} if run_id else {})
        run = self.send("POST", f"/dags/{dag_id}/dagRuns", body)
        return str(run["dag_run_id"])

    def dag_run_state(self, dag_id: str, run_id: str) -> str:
        """Return `queued`, `running`, `success` or `failed`."""
        return str(self.get(f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def wait_for_dag_run(self, dag_id: str, run_id: str, *, timeout: float = 300.0) -> str:
        """Wait for the end of a DAG run; return `success` or `failed`.

        Raises:
            TimeoutError: `timeout` seconds passed.
        """

        def has_ended() -> bool:
            return self.dag_run_state(dag_id, run_id) in _ENDED

        wait_until(has_ended, timeout=timeout, what=f"the end of DAG run {run_id} of {dag_id}", interval=1.0)
        return self.dag_run_state(dag_id, run_id)

    def watch(self, dag_id: str, run_id: str, *, timeout: float = 300.0) -> Iterator[tuple[str, int, str]]:
        """Yield `(task id, map index, state)` on each change of a task's state, until the DAG run has ended.

        Raises:
            TimeoutError: `timeout` seconds passed.
        """
        seen: dict[tuple[str, int], str] = {}
        deadline = time.monotonic() + timeout
        ended = False
        while not ended:
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout:g} s for the end of DAG run {run_id} of {dag_id}")
            ended = self.dag_run_state(dag_id, run_id) in _ENDED
            for task in self.task_instances(dag_id, run_id):
                key, state = (task["task_id"], task["map_index"]), task["state"] or "none"
                if seen.get(key, "none") != state:
                    seen[key] = state
                    yield *key, state
            time.sleep(0.0 if ended else 0.5)

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a DAG run, mapped ones each by itself."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=100, offset=len(found))
            found += page["task_instances"]
            if len(found) >= page["total_entries"] or not page["task_instances"]:
                return found

    def task_states(self, dag_id: str, run_id: str) -> dict[str, list[str]]:
        """Return task id -> the states of its instances, in the order of their map index."""
        states: dict[str, list[str]] = {}
        for task in sorted(self.task_instances(dag_id, run_id), key=lambda task: task["map_index"]):
            states.setdefault(task["task_id"], []).append(task["state"] or "none")
        return states

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1
    ) -> Any:
        """Return an XCom's value.

        Raises:
            httpx.HTTPStatusError: 404 when there is no such XCom.
        """
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.get(path, map_index=map_index, deserialize=True)["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1) -> str:
        """Return the log of one try of a task, worker's and trigger's lines together, one event a line."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        content = self.get(path, map_index=map_index)["content"]
        return "\n".join(
            str(line.get("event", line)) if isinstance(line, dict) else str(line) for line in content
        )

    def get(self, path: str, **query: Any) -> Any:
        """GET a path below `/api/v2` and return the JSON of its answer."""
        answer = self._http.get(f"/api/v2{path}", params=query)
        answer.raise_for_status()
        return answer.json()

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send JSON to a path below `/api/v2` and return the JSON of the answer, None where it is empty."""
        answer = self._http.request(method, f"/api/v2{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None
