"""audit: the node's audit trail, checked and shown."""

from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column

from cad_node.cli.context import AsJson, console, print_json, settings
from cad_node.cli.tables import WIDE, add, listed, narrow, number, short_uid, table
from cad_node.errors import CadNodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cad_node.audit.summary import Summary

app = typer.Typer(
    no_args_is_help=True,
    help="The audit trail: who sent, asked, was refused, and when (PS3.15 A.5).\n\n"
    "Each line of the log names the hash of the line before, so that what is changed or taken away later shows.",
)


class NoAuditLog(CadNodeError):
    """The node that these settings describe has never run."""


class ChainBroken(CadNodeError):
    """The audit log isn't as it was written."""


@app.command(
    "verify",
    epilog="Examples: cad-node audit verify\n\nby a number and hash that a collector keeps: "
    "cad-node audit verify --anchor 812:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
)
def verify_log(
    anchor: Annotated[
        list[str] | None,
        typer.Option(help="NUMBER:HASH of a record as somebody else has it: it must still be there. May be given more than once."),
    ] = None,
) -> None:
    """Walk the whole chain and name the first line that isn't as it was written; status 1 if there is one.

    Lines missing at the very end only show by an anchor: what the collector was sent last is one by itself.
    """
    from cad_node.audit.forwarder import forwarded_anchor
    from cad_node.audit.verify import verify

    folder = _folder()
    found = verify(folder, {**forwarded_anchor(folder), **dict(map(_anchor, anchor or []))})
    if found.broken:
        raise ChainBroken(f"{found.broken.path}: line {found.broken.line}: {found.broken.why}. {found.records} records before it are whole")
    if found.last is None:
        console.print("the audit log is empty")
        return
    console.print(f"{found.records} records in {found.files} files are whole: number {found.first} to {found.last.sequence}")
    if found.torn or found.ends_torn:
        told = f"{found.torn} lines were torn off by a death in mid-write; the record after each says so"
        console.print(told + ("; one more is at the end" if found.ends_torn else ""))
    console.print(f"anchor of the last: {found.last.sequence}:{found.last.hash}")


@app.command("list", epilog='Examples: cad-node audit list --limit 20\n\ncad-node audit list --event "Security Alert"')
def list_records(
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    event: Annotated[str, typer.Option(help="Only events of this name, such as Query or Security Alert.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the newest records, oldest first. That the log was read is itself written to it."""
    import getpass

    from cad_node.app.audit import open_trail
    from cad_node.audit.reading import records_after
    from cad_node.audit.summary import summary

    folder = _folder()
    wanted = (found for _, record in records_after(folder) if (found := summary(record)) and event.lower() in ("", found.event.lower()))
    newest = deque(wanted, maxlen=limit)
    open_trail(settings(), "audit list").log_read(getpass.getuser(), folder.resolve().as_uri())
    if as_json:
        print_json([asdict(row) for row in newest])
        return
    print_summaries(console, newest)


def print_summaries(console: Console, rows: "Sequence[Summary]") -> None:
    """The table, and below it what was said of the records that have a description: a sentence fits no column."""
    more = console.width >= WIDE
    columns: list[str | Column] = [number("no."), narrow("when"), narrow("event"), narrow("who"), Column("what", overflow="fold")]
    shown = table("Audit trail", *columns, *((narrow("outcome"), narrow("process")) if more else ()))
    for row in rows:
        event = (row.event_type or row.event).removeprefix("DICOM ")
        who = (f"{row.peer} at {row.peer_host}" if more and row.peer_host else row.peer) or row.process
        what = short_uid(row.object_id, console.width) + (f" ({row.instances})" if row.instances else "")
        add(shown, row.sequence, row.time, event, who, what, *((row.outcome, row.process) if more else ()))
    console.print(shown)
    said = [(f"no. {row.sequence}", _said(row)) for row in rows if row.description or row.after_torn_line]
    if said:
        console.print(listed(said, "\nWhat was said"))


def _said(row: "Summary") -> str:
    torn = "a line before it was torn off by a death in mid-write" if row.after_torn_line else ""
    return "; ".join(part for part in (row.description, torn) if part)


def _folder() -> Path:
    folder = settings().audit_dir
    if not folder.is_dir():
        raise NoAuditLog(f"no audit log at {folder}: no node has run with these settings. Name the node's own with --config FILE")
    return folder


def _anchor(text: str) -> tuple[int, str]:
    sequence, _, digest = text.partition(":")
    if not sequence.isdigit() or len(digest) != 64:
        raise typer.BadParameter(f"{text!r} isn't NUMBER:HASH with a SHA-256 of 64 characters")
    return int(sequence), digest.lower()
