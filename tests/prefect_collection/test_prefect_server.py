"""What threads of this package's own send to Prefect's server."""

import logging

from prefect.context import get_settings_context
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from prefect_collection._prefect_server import context_of_thread


class Sent(APILogHandler):
    """Prefect's handler, as far as to what it would send."""

    def __init__(self):
        super().__init__()
        self.records = []

    def prepare(self, record):
        self.records.append(record.getMessage())
        raise ValueError("this far and no further")

    def handleError(self, record):  # noqa: N802  logging's
        pass


def test_a_thread_of_ours_sends_no_log_records_and_its_flow_run_still_does():
    handler = Sent()

    def log(text):
        handler.emit(logging.LogRecord("httpcore", logging.DEBUG, "", 0, text, (), None))

    with temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: True}):
        context = context_of_thread()
        context.run(log, "in the thread")
        log("in the flow run")
        api_url = get_settings_context().settings.api.url

    assert handler.records == ["in the flow run"]
    assert context.run(lambda: get_settings_context().settings.api.url) == api_url


def test_the_settings_of_threads_are_made_once_for_all_of_them_and_again_when_the_users_change():
    def in_thread():
        return context_of_thread().run(get_settings_context).settings

    first = in_thread()
    assert in_thread() is first

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        changed = in_thread()
    assert (changed.api.url, changed.logging.to_api.enabled) == ("http://127.0.0.1:9/api", False)
