import re
import shutil

from retab_orchestration.emulator import Emulator
from tests.readme import README, block_with

ROOT = README.parent
INVOICE = ROOT / "tests" / "samples" / "documents" / "invoice.pdf"


def test_the_client_example_prints_a_total(tmp_path, monkeypatch, capsys):
    shutil.copy(INVOICE, tmp_path / "invoice.pdf")
    monkeypatch.chdir(tmp_path)
    with Emulator() as emulator:
        monkeypatch.setenv("RETAB_API_KEY", "key")
        monkeypatch.setenv("RETAB_API_BASE_URL", emulator.url)

        exec(compile(block_with("with RetabClient()"), "README.md", "exec"), {})  # noqa: S102

    assert capsys.readouterr().out == "1234.56\n"


def test_the_commands_are_there():
    commands = re.findall(r"^make ([a-z-]+)", README.read_text(), flags=re.MULTILINE)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)

    assert commands == ["demo", "test"]
    assert set(commands) <= set(targets)


def test_every_page_that_is_linked_to_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_the_first_screen_has_both_hosts_and_a_value_downstream():
    first_screen = "\n".join(README.read_text().splitlines()[:60])

    for wanted in ("make demo", "make test", "@dag", "@flow"):
        assert wanted in first_screen
    assert first_screen.count("# a value, downstream") == 2
    assert all(len(re.findall(r"\S.*", block_with(host))) <= 13 for host in ("airflow.sdk", "from prefect"))


def test_the_flow_takes_the_block_that_the_text_creates():
    text = " ".join(README.read_text().split())

    assert (
        "`prefect block register -m prefect_collection`; then create a block *Retab Credentials* named `retab`"
        in text
    )
    assert 'credentials="retab"' in block_with("from prefect import")
