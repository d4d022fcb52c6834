"""The cases that strike everybody: one of Airflow's own processes is killed while several tasks wait."""

from collections.abc import Callable
from dataclasses import dataclass

from dev.hosts.processes import free_port, wait_until
from tests.crash.airflow.cases import CREATE, PATIENCE


@dataclass(frozen=True)
class Outage:
    """What is done, and what has to be seen of each task in the end."""

    does: Callable
    told: str
    expected: tuple = (1, "success", True, ("completed",))
    asks: bool = False


def kill(host, name, scenarios):
    """SIGKILL one of Airflow's processes with all that it started, as the end of its container does."""
    host.processes.pop(name).kill()
    scenarios[0].result.killed.append(name.partition("#")[0])


def triggerer_of(host):
    return next(name for name in host.processes if name.startswith("triggerer"))


def triggerer_is_lost(host, scenarios):
    for scenario in scenarios:
        scenario.begin(seconds=25)
    for scenario in scenarios:
        scenario.wait_until_waited_for()
    kill(host, triggerer_of(host), scenarios)
    host.start_component("triggerer")


def one_of_two_triggerers_is_lost(host, scenarios):
    first = triggerer_of(host)
    second = f"triggerer#{free_port()}"
    for scenario in scenarios:
        scenario.begin(seconds=60)
    for scenario in scenarios:
        scenario.wait_until_waited_for()
    before = living(host)
    host.start_component(
        "triggerer", name=second, env={"AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port())}
    )
    wait_until(lambda: living(host) - before, timeout=PATIENCE, what="the second triggerer", interval=1.0)
    kill(host, first, scenarios)


def living(host):
    jobs = host.api.get("/jobs", job_type="TriggererJob", is_alive=True)["jobs"]
    return {job["id"] for job in jobs}


def scheduler_is_lost(host, scenarios):
    busy, *waiting = scenarios
    for scenario in waiting:
        scenario.begin(seconds=45)
    for scenario in waiting:
        scenario.wait_until_waited_for()
    busy.hold(CREATE, "after")
    busy.begin()
    busy.wait_until_held()
    kill(host, "scheduler", scenarios)
    busy.emulator.release()
    host.start_component("scheduler")


OUTAGES = {
    "triggerer lost": Outage(
        triggerer_is_lost, "the only triggerer, while tasks wait in it; another is started"
    ),
    "one of two triggerers lost": Outage(
        one_of_two_triggerers_is_lost, "the triggerer that tasks wait in, of two"
    ),
    "scheduler lost": Outage(
        scheduler_is_lost,
        "the scheduler with its workers, while a task's create is answered and others are deferred; "
        "another is started",
    ),
}
