"""The programs of docs/client.md run as they stand there."""

import hashlib
import hmac
import re
from pathlib import Path

from retab_orchestration import PollPolicy, RetabClient
from retab_orchestration.emulator import Emulator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "client.md").read_text()
INVOICE = ROOT / "tests" / "samples" / "documents" / "invoice.pdf"
FILES, ALL_FILES, WEBHOOK = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_files_of_a_run_are_fetched(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with Emulator(speed=100) as emulator:
        monkeypatch.setenv("RETAB_API_KEY", "key")
        monkeypatch.setenv("RETAB_API_BASE_URL", emulator.url)
        with RetabClient() as client:
            run = client.create_run("wf_edit", documents={"start-node-1": INVOICE})
            client.wait_for_run(run.id, poll=PollPolicy(first=0.02, shortest=0.02))

        exec(compile(FILES.replace("run_...", run.id), "client.md", "exec"), {})  # noqa: S102

    [written] = (tmp_path / "documents").iterdir()
    made, found = capsys.readouterr().out.splitlines()
    assert made == "edit-node-1 output-file-0 invoice edited.pdf"
    assert found.split()[-1] == hashlib.sha256(written.read_bytes()).hexdigest()


def test_all_files_of_a_run_are_fetched(tmp_path, monkeypatch, capsys):
    with Emulator(speed=100) as emulator:
        monkeypatch.setenv("RETAB_API_KEY", "key")
        monkeypatch.setenv("RETAB_API_BASE_URL", emulator.url)
        with RetabClient() as client:
            run = client.create_run("wf_edit", documents={"start-node-1": INVOICE})
            client.wait_for_run(run.id, poll=PollPolicy(first=0.02, shortest=0.02))

        program = ALL_FILES.replace("run_...", run.id).replace("s3://bucket/folder", str(tmp_path))
        exec(compile(program, "client.md", "exec"), {})  # noqa: S102

    [written] = (tmp_path / run.id / "edit-node-1").iterdir()
    size, sha256, node_id, iteration = capsys.readouterr().out.split()[-4:]
    assert (int(size), node_id, iteration) == (written.stat().st_size, "edit-node-1", "[]")
    assert sha256 == hashlib.sha256(written.read_bytes()).hexdigest()


def test_a_webhook_is_received(capsys):
    names = {}
    exec(compile(WEBHOOK, "client.md", "exec"), names)  # noqa: S102
    body = b'{"json": {"total": 1}}'
    signature = hmac.new(b"secret", body, hashlib.sha256).hexdigest()

    assert names["receive"](body, {"x-retab-signature": signature}, "secret") == 204
    assert names["receive"](body, {"x-retab-signature": signature}, "other") == 401
    assert names["receive"](body, {}, "secret") == 401
    assert capsys.readouterr().out == "{'total': 1}\n"
