"""What has become of runs and of calls, as the tests of several modules look at it."""

from retab_orchestration import RetabClient


def created(emulator):
    """Return how many runs an emulator has created."""
    return emulator.stats()["runs_created"]


def statuses(emulator):
    """Return the statuses of its runs, in the order in which they were created."""
    with RetabClient() as client:
        return [client.get_run(run_id).status_name for run_id in emulator.run_ids()]


def safely(call):
    """Return what a call returns, or the error that it raises."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001
        return error
