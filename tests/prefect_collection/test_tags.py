"""What a run's own tags remember of its call."""

from uuid import UUID

import pytest

from prefect_collection._tags import Family, FilteredAccounts, Note, short_id
from retab_orchestration import WorkflowRun
from retab_orchestration.identity import NOTE

NOTES = [
    Note("c" * 20, "a" * 12, "p" * 20),
    Note("c" * 20, "a" * 12, "p" * 20, ("0123456789ab", "reference", "-"), ("f" * 12, "0" * 12)),
    Note("c", "", "", (), ("f",)),
]
PLACE = "p"


def note(content="c", place=PLACE, facts=("f1",)):
    return Note(content, "one", place, facts, ("flow",))


def run(run_id, status="running", *, of=None):
    text = (of or note()).text
    return WorkflowRun.model_validate({"id": run_id, "status": status, "metadata": {NOTE: text}})


@pytest.mark.parametrize("each", NOTES)
def test_a_note_is_read_as_it_was_written(each):
    assert Note.read(each.text) == each


@pytest.mark.parametrize("text", [None, "", "1", "1 c a", "2 c a p . .", "1 c a p . . .", 5, b"1 c a p . ."])
def test_what_is_no_note_is_read_as_none(text):
    assert Note.read(text) is None


def test_a_note_that_no_server_need_keep_is_not_written():
    assert note(facts=("0123456789ab",) * 20).text is not None
    assert note(facts=("0123456789ab",) * 50).text is None


def test_flow_runs_that_were_created_at_the_same_moment_have_other_names():
    # The beginning of a version 7 UUID is a time.
    one, other = (UUID(f"0199c0de-0000-7000-8000-00000000000{end}") for end in "12")

    assert short_id(one) != short_id(other)


@pytest.mark.parametrize(
    ("statuses", "kept"),
    [
        (["running"], "run_0"),
        (["error", "running"], "run_1"),
        (["running", "error"], "run_0"),
        (["error", "cancelled"], "run_1"),
        (["completed", "running"], "run_1"),
    ],
)
def test_of_several_runs_of_a_call_the_one_is_known_that_has_not_ended_badly(statuses, kept):
    family = Family()

    family.add_listed(run(f"run_{number}", status) for number, status in enumerate(statuses))

    assert family.by_content("c") == (kept, note())


def test_what_this_process_knows_is_newer_than_what_is_listed_or_reported():
    family = Family()
    family.add(note(), "run_own")

    family.add_listed([run("run_listed")])
    family.add_reported({"c": {"id": "run_reported", "note": note().text}})

    assert family.by_content("c") == ("run_own", note())


def test_what_another_process_has_reported_is_known_and_what_is_no_report_is_not():
    family = Family()

    family.add_reported(
        {"c": {"id": "run_1", "note": note().text}, "d": {"id": "run_2", "note": "?"}, "e": {}}
    )

    assert family.by_content("c") == ("run_1", note())
    assert family.by_content("d") is family.by_content("e") is None


def test_the_contents_that_a_place_had_are_known_by_it():
    family = Family()
    family.add_listed(
        [run("run_1"), run("run_2", of=note("d", facts=("f2",))), run("run_3", of=note("e", "q"))]
    )

    assert family.by_place(PLACE) == {"c": ("f1",), "d": ("f2",)}
    assert family.by_place("nowhere") == {}


def test_one_call_at_a_time_finds_out_whether_an_account_filters():
    accounts = FilteredAccounts()

    assert [accounts.begin("a"), accounts.begin("a"), accounts.begin("b")] == [True, False, True]
    accounts.end("a")  # its create failed
    assert accounts.begin("a")
    assert not accounts.is_answered("a")

    accounts.answered("a", is_kept=True)
    accounts.end("a")
    assert accounts.known("a") is None
    assert accounts.begin("a")
    assert accounts.is_answered("a")

    accounts.found("a", is_filtered=True)
    accounts.end("a")
    assert accounts.known("a") is True
    assert not accounts.begin("a")


def test_an_answer_without_tags_is_that_of_a_server_that_keeps_none():
    accounts = FilteredAccounts()
    accounts.answered("a", is_kept=True)
    accounts.found("a", is_filtered=True)

    accounts.answered("a", is_kept=False)

    assert accounts.known("a") is False


def test_a_server_that_has_shown_no_tags_yet_may_still_keep_them():
    accounts = FilteredAccounts()

    accounts.found("a", is_filtered=False)

    assert accounts.known("a") is None
