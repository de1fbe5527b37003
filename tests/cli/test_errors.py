"""What a person sees when a command goes wrong: one line, and nothing of a patient."""

import sys

import pytest
import typer

from cad_node.cli.context import run
from cad_node.errors import PacsUnreachable, SettingsError

NAME = "Doe^Jane"


def ended(error: Exception, capsys, monkeypatch) -> tuple[int, str]:
    app = typer.Typer(pretty_exceptions_show_locals=False)

    @app.command()
    def fail() -> None:
        patient_name = NAME
        assert patient_name
        raise error

    monkeypatch.setattr(sys, "argv", ["cad-node"])
    with pytest.raises(SystemExit) as exit_:
        run(app)
    printed = capsys.readouterr()
    assert printed.out == ""
    return int(exit_.value.code or 0), printed.err


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (SettingsError("scp.prot: [unknown]"), 78, "error: scp.prot: [unknown]\n"),
        (PacsUnreachable("PACS at pacs:104 can't be reached"), 1, "error: PACS at pacs:104 can't be reached\n"),
        (PermissionError(13, "Permission denied", "/data/out"), 1, "error: /data/out: Permission denied\n"),
        (OSError(98, "Address already in use"), 1, "error: Address already in use\n"),
    ],
)
def test_an_expected_error_is_one_line_and_a_status(error: Exception, status: int, line: str, capsys, monkeypatch):
    assert ended(error, capsys, monkeypatch) == (status, line)


def test_an_unexpected_error_shows_where_but_neither_its_text_nor_its_locals(capsys, monkeypatch):
    status, text = ended(ValueError(f"can't parse {NAME}"), capsys, monkeypatch)

    assert status == 70
    assert NAME not in text
    assert "test_errors.py" in text
    assert text.splitlines()[-1].startswith("error: ValueError, not expected here")
