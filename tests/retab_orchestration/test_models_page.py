"""Pages of lists, in envelopes and as bare arrays."""

import pytest

from retab_orchestration.models import ReviewPage, RunPage, StepPage

RUN = {"id": "run_1", "status": "running"}


@pytest.mark.parametrize(
    ("body", "ids", "before", "after"),
    [
        ({"data": [RUN], "list_metadata": {"before": "a", "after": "b"}}, ["run_1"], "a", "b"),
        ({"data": [RUN], "list_metadata": {"before": None, "after": None}}, ["run_1"], None, None),
        ({"data": [RUN], "list_metadata": {}}, ["run_1"], None, None),
        ({"data": [RUN], "list_metadata": None}, ["run_1"], None, None),
        ({"data": [RUN]}, ["run_1"], None, None),
        ({"data": [], "list_metadata": {}}, [], None, None),
        ({"data": None}, [], None, None),
        ([RUN], ["run_1"], None, None),
        ([], [], None, None),
    ],
)
def test_page_is_read_in_every_shape(body, ids, before, after):
    page = RunPage.model_validate(body)

    assert [run.id for run in page.data] == ids
    assert (page.before, page.after) == (before, after)
    assert RunPage.model_validate(page.model_dump()).model_dump() == page.model_dump()


@pytest.mark.parametrize("body", [{}, {"detail": "no"}, None, "text", 3])
def test_what_is_no_page_is_refused(body):
    with pytest.raises(ValueError, match="RunPage"):
        RunPage.model_validate(body)


@pytest.mark.parametrize("row", [{}, {"id": "run_1"}, None, "run_1"])
def test_page_with_a_row_that_is_no_run_is_refused(row):
    with pytest.raises(ValueError, match="RunPage"):
        RunPage.model_validate({"data": [row]})


def test_items_are_of_the_pages_own_kind():
    steps = StepPage.model_validate([{"block_id": "n1", "lifecycle": {"status": "completed"}}])
    reviews = ReviewPage.model_validate({"data": [{"id": "rev_1", "block_id": "n1"}]})

    assert steps.data[0].node_id == reviews.data[0].node_id == "n1"


def test_a_page_of_runs_gives_its_runs_and_as_a_dict_its_fields_as_any_model_does():
    page = RunPage.model_validate({"data": [RUN], "list_metadata": {"after": "b"}})

    assert [run.id for run in page] == ["run_1"]
    assert dict(page) == {"data": page.data, "before": None, "after": "b"}
