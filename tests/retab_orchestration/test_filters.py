import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from retab_orchestration import InvalidInputError, RunStatus
from retab_orchestration._endpoints.filters import RunFilter, RunFilters


def query(family="current", **given):
    return dict(RunFilters.read(**given).query(family))


def test_classic_servers_are_told_a_duration_under_both_of_its_names():
    given = {"min_duration_ms": 5, "max_duration_ms": 9}

    assert query("classic", **given) == {
        "min_duration": "5",
        "min_duration_ms": "5",
        "max_duration": "9",
        "max_duration_ms": "9",
    }
    assert query("current", **given) == {"min_duration_ms": "5", "max_duration_ms": "9"}


def test_every_filter_goes_out_under_its_own_name():
    given = {
        "workflow_id": "wf_1",
        "status": "error",
        "exclude_status": "pending",
        "trigger_type": "email",
        "from_date": date(2026, 4, 24),
        "to_date": "2026-05-01",
        "min_duration_ms": 0,
        "max_duration_ms": 5000,
        "search": "run_ab",
        "metadata": {"b": "2", "a": "1"},
        "after": "run_9",
        "limit": 100,
        "order": "asc",
        "sort_by": "created_at",
    }

    assert query(**given) == {
        **{name: str(value) for name, value in given.items()},
        "metadata": '{"a": "1", "b": "2"}',
        "sort_by": "timing.created_at",
    }
    assert set(given) | {"before"} == set(RunFilter.__annotations__)
    assert query(before="run_1") == {"before": "run_1"}


@pytest.mark.parametrize("name", sorted(RunFilter.__annotations__))
def test_none_is_as_good_as_not_given(name):
    assert query(**{name: None}) == {}


@pytest.mark.parametrize(
    "spelling", ["waiting_for_human", "awaiting_review", RunStatus.WAITING_FOR_HUMAN, "AWAITING_REVIEW"]
)
def test_a_state_goes_out_as_the_server_spells_it(spelling):
    assert query("classic", status=spelling)["status"] == "waiting_for_human"
    assert query("current", exclude_status=spelling)["exclude_status"] == "awaiting_review"


@pytest.mark.parametrize("spelling", ["error", "failed", RunStatus.ERROR])
def test_failed_is_error(spelling):
    assert query(status=spelling)["status"] == "error"


@pytest.mark.parametrize(
    ("spelling", "classic", "current"),
    [
        ("created_at", "created_at", "timing.created_at"),
        ("timing.created_at", "created_at", "timing.created_at"),
        ("started_at", "started_at", "timing.started_at"),
    ],
)
def test_an_order_is_one_value_in_the_servers_spelling(spelling, classic, current):
    assert query("classic", sort_by=spelling)["sort_by"] == classic
    assert query("current", sort_by=spelling)["sort_by"] == current


def test_a_moment_is_its_day_in_utc():
    late = datetime(2026, 1, 1, 23, tzinfo=timezone(timedelta(hours=-5)))

    assert query(from_date=late)["from_date"] == "2026-01-02"
    assert (
        query(from_date=datetime(2026, 1, 1, 23, tzinfo=UTC).replace(tzinfo=None))["from_date"]
        == "2026-01-01"
    )


def test_classic_routes_have_no_metadata():
    with pytest.raises(InvalidInputError, match="metadata"):
        query("classic", metadata={"a": "1"})
    assert json.loads(query("current", metadata={"a": "1"})["metadata"]) == {"a": "1"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workflow_id", ""),
        ("workflow_id", "wf 1"),
        ("workflow_id", 7),
        ("status", "done"),
        ("status", "unknown"),
        ("status", 3),
        ("exclude_status", ""),
        ("trigger_type", "cron"),
        ("from_date", "01/02/2026"),
        ("from_date", 20260102),
        ("to_date", "2026-13-01"),
        ("min_duration_ms", -1),
        ("min_duration_ms", 1.5),
        ("max_duration_ms", True),
        ("search", ""),
        ("metadata", {"a": 1}),
        ("metadata", "a=1"),
        ("before", ""),
        ("after", 3),
        ("limit", 0),
        ("limit", 101),
        ("limit", "20"),
        ("order", "up"),
        ("sort_by", "name"),
        ("fields", "id"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(InvalidInputError, match=name):
        RunFilters.read(**{name: value})


@pytest.mark.parametrize(
    "given",
    [
        {"before": "run_1", "after": "run_2"},
        {"from_date": "2026-02-01", "to_date": "2026-01-01"},
        {"min_duration_ms": 2, "max_duration_ms": 1},
    ],
)
def test_filters_that_contradict_each_other_are_refused(given):
    with pytest.raises(InvalidInputError):
        RunFilters.read(**given)


@pytest.mark.parametrize("cursor", ["eyJpZCI6IDF9/+==", "a b", "x" * 1000, "\xfc", "run_1?x#y"])
def test_a_cursor_is_whatever_text_a_server_gives(cursor):
    assert query(after=cursor) == {"after": cursor}
    assert query(before=cursor) == {"before": cursor}


def test_a_cursor_goes_into_an_address():
    with pytest.raises(InvalidInputError, match="after must have at most 4096 characters"):
        query(after="x" * 5000)
