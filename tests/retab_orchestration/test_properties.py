"""What holds for any body, any owner and any input, not only for those that somebody thought of."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from retab_orchestration import Document, RunIdentity
from retab_orchestration._arguments import NewRun
from retab_orchestration.identity import digest_of
from retab_orchestration.models import RunPage, RunStatus, Step, WorkflowRun

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

# ---- any JSON, with the names and words that the reader looks for made likely

WORDS = [
    *RunStatus,
    *(
        "awaiting_review",
        "failed",
        "canceled",
        "waiting_for_hil",
        "succeeded",
        "done",
        "success",
        "COMPLETED",
    ),
]
NAMES = [
    *("id", "status", "kind", "lifecycle", "run", "steps", "final_outputs", "inputs", "documents", "timing"),
    *("waiting_for_block_ids", "waiting_for_node_ids", "node_id", "block_id", "error", "error_details"),
    *("workflow", "trigger", "cost", "metadata", "raw", "data", "list_metadata", "json_data", "document"),
    *("status_name", "created_at", "completed_at", "handle_outputs", "loop_containers", "iteration"),
    *("has_final_outputs", "label", "cancellation", "cancellation_status", "duration_ms"),
]
texts = st.one_of(
    st.sampled_from(WORDS).map(str), st.sampled_from(["run_1", "2026-01-02T03:04:05Z"]), st.text()
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
names = st.one_of(st.sampled_from(NAMES), st.text(max_size=8))
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=6)),
    max_leaves=25,
)
bodies = st.dictionaries(names, anything, max_size=8)
runs = st.builds(
    lambda body, state: {
        "id": "run_1",
        **state,
        **{k: v for k, v in body.items() if k not in {"id", *state}},
    },
    bodies,
    st.one_of(
        texts.filter(bool).map(lambda word: {"status": word}),
        texts.filter(bool).map(lambda word: {"lifecycle": {"status": word}}),
        texts.filter(bool).map(lambda word: {"lifecycle": {"kind": word}}),
    ),
)

# The words that servers have had for a run that ended well: nothing else may be read as that.
SUCCESS = {"completed"}


def word_of(body):
    """Find the word for a run's state as the API's pages say, by other means than the reader's."""
    body = body if "id" in body or not isinstance(body.get("run"), dict) else body["run"]
    lifecycle = body.get("lifecycle") if isinstance(body.get("lifecycle"), dict) else {}
    words = (lifecycle.get("status"), lifecycle.get("kind"), body.get("status"))
    return next((word for word in words if isinstance(word, str) and word), None)


@EXAMPLES
@given(st.one_of(anything, bodies, runs))
@example({"id": "run_1", "status": 1e400})
@example({"run": {"run": {"id": "x"}}})
def test_a_body_is_read_or_refused_and_nothing_else(body):
    for reader in (WorkflowRun, Step, RunPage):
        try:
            read = reader.model_validate(body)
        except (ValueError, ValidationError):
            continue
        json.loads(read.model_dump_json())
        repr(read)


@EXAMPLES
@given(st.one_of(bodies, runs))
def test_no_state_is_taken_for_success_that_does_not_say_so(body):
    try:
        run = WorkflowRun.model_validate(body)
    except ValueError:
        return
    assert run.id
    assert run.status_name
    if run.status is RunStatus.COMPLETED:
        word = word_of(body)
        assert word is not None
        assert word.strip().lower() in SUCCESS
    if run.status is RunStatus.UNKNOWN:
        assert not run.is_terminal
        assert not run.is_waiting
        assert run.raise_for_status() is run


@EXAMPLES
@given(runs)
def test_a_run_with_an_id_and_a_state_is_always_read(body):
    run = WorkflowRun.model_validate(body)

    assert run.id == "run_1"
    assert run.raw == body or isinstance(body.get("raw"), dict)


@EXAMPLES
@given(bodies, st.sampled_from(["id", "status"]))
def test_a_run_without_an_id_or_a_state_is_refused(body, missing):
    present = {"id": "run_1", "status": "running"}
    kept = {
        key: value
        for key, value in body.items()
        if key not in {"id", "status", "lifecycle", "run", "status_name"}
    }
    del present[missing]

    with pytest.raises(ValueError, match=f"it has no {missing}"):
        WorkflowRun.model_validate({**kept, **present})


@EXAMPLES
@given(runs)
def test_what_was_read_reads_itself_again(body):
    run = WorkflowRun.model_validate(body)

    again = WorkflowRun.model_validate(json.loads(run.model_dump_json()))

    assert (again.id, again.status, again.status_name) == (run.id, run.status, run.status_name)
    assert again.waiting_for_node_ids == run.waiting_for_node_ids
    assert again.metadata == run.metadata


@EXAMPLES
@given(texts)
def test_any_word_for_a_state_is_a_state(word):
    status = RunStatus.read(word)

    assert status in RunStatus
    assert (status is RunStatus.COMPLETED) == (word.strip().lower() == "completed")


# ---- identity

parts = st.lists(st.one_of(st.text(), st.integers(), st.none()), min_size=1, max_size=6).filter(
    lambda given: any(part not in {None, ""} for part in given)
)
generations = st.one_of(st.integers(), st.text())


@EXAMPLES
@given(parts, generations)
def test_an_identity_is_stable_and_shows_nothing(given_parts, generation):
    identity = RunIdentity.of(*given_parts, generation=generation)

    assert identity == RunIdentity.of(*given_parts, generation=generation)
    assert len(identity.key) == len(identity.family) == 64
    assert set(identity.key) <= set("0123456789abcdef")


@EXAMPLES
@given(parts, generations, parts, generations)
@example(["a", "b"], 0, ["ab"], 0)
@example(["a", 1], 0, ["a", "1"], 0)
@example(["a", None], 0, ["a", ""], 0)
@example(["a", "b"], 0, ["b", "a"], 0)
@example(["a"], 0, ["a"], "0")
@example(['a","b'], 0, ["a", "b"], 0)
def test_different_owners_have_different_identities(first, first_generation, second, second_generation):
    one = RunIdentity.of(*first, generation=first_generation)
    other = RunIdentity.of(*second, generation=second_generation)

    def named(given_parts):
        return [(type(part), part) for part in given_parts]

    same_owner = named(first) == named(second)
    same_run = same_owner and named([first_generation]) == named([second_generation])
    assert (one.family == other.family) == same_owner
    assert (one.key == other.key) == same_run


# ---- fingerprint

values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
contents = st.binary(min_size=1, max_size=64)
filenames = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12)


def fingerprint(content=b"%PDF", filename="a.pdf", node="start-node-1", value=None, workflow="wf_1", **more):
    return NewRun.read(
        workflow,
        documents={node: (filename, content)},
        json_inputs={"json-node-1": value},
        **more,
    ).fingerprint()


def shuffled(value):
    if isinstance(value, dict):
        return {key: shuffled(item) for key, item in reversed(value.items())}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@EXAMPLES
@given(contents, filenames, values)
def test_a_fingerprint_is_stable_whatever_the_order_of_keys(content, filename, value):
    first = fingerprint(content, filename, value=value)

    assert first == fingerprint(content, filename, value=shuffled(value))
    assert first == fingerprint(content, filename, value=value, metadata={"any": "tag"})
    assert first == fingerprint(content, filename, value=value, identity=RunIdentity.of("another"))
    assert first == fingerprint(content, filename, value=value, version="production")


@EXAMPLES
@given(contents, contents, filenames, filenames)
def test_a_fingerprint_tells_documents_apart(content, other_content, filename, other_filename):
    first = fingerprint(content, filename)

    assert (first == fingerprint(other_content, filename)) == (content == other_content)
    assert (first == fingerprint(content, other_filename)) == (filename == other_filename)
    assert first != fingerprint(content, filename, node="start-node-2")
    assert first != fingerprint(content, filename, workflow="wf_2")
    assert first != fingerprint(content, filename, version="draft")


@EXAMPLES
@given(values, values)
def test_a_fingerprint_tells_values_apart(value, other):
    same = json.dumps(value, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert (fingerprint(value=value) == fingerprint(value=other)) == same


@EXAMPLES
@given(contents, filenames)
def test_a_document_has_one_fingerprint_wherever_it_comes_from(tmp_path_factory, content, filename):
    path = tmp_path_factory.mktemp("documents") / f"{filename}.pdf"
    path.write_bytes(content)
    name = path.name

    prints = {
        NewRun.read("wf_1", documents={"n": source}).fingerprint()
        for source in (path, (name, content), Document(content, filename=name), Document(path, filename=name))
    }

    assert len(prints) == 1


@EXAMPLES
@given(
    st.dictionaries(
        st.one_of(st.text(max_size=3), st.integers(), st.booleans(), st.none()), values, max_size=4
    )
)
def test_keys_that_json_turns_into_text_do_not_break_a_fingerprint(value):
    sent = json.loads(json.dumps(value))

    assert fingerprint(value=value) == fingerprint(value=sent)
    assert digest_of(value) == digest_of(sent)
