"""send, echo: talk to a DICOM peer by hand."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from cad_node.cli.context import EX_FAILED, EX_USAGE, console, settings
from cad_node.cli.peer import named_peer
from cad_node.cli.tables import print_left_out
from cad_node.errors import AssociationRejected, CadNodeError, PacsUnreachable
from cad_node.settings import Destination, Settings

app = typer.Typer()

Peer = Annotated[str, typer.Argument(help="AETITLE@HOST:PORT, or the name of a configured destination.", show_default=False)]


class NoAnswer(CadNodeError):
    """The peer doesn't verify."""


def _peer(named: str, read: Settings) -> Destination:
    """As named_peer; a destination of another transport is no unknown one."""
    other = read.destinations.get(named)
    if other and named not in read.dicom_destinations:
        raise typer.BadParameter(f"{named!r} is reached by transport {other.transport!r}; this speaks DICOM to a peer only")
    return named_peer(named, read.dicom_destinations, Destination, "destination")


@app.command(epilog="Examples: cad-node echo ORTHANC@127.0.0.1:4242\n\ncad-node --config cad_node.toml echo pacs")
def echo(peer: Peer) -> None:
    """Ask a peer whether it is there and takes our AE title (C-ECHO); exits with 1 and says how far it came if not."""
    from cad_node.deliver.echo import echo as verify

    read = settings()
    to = _peer(peer, read)
    calling_ae_title = to.calling_ae_title or read.node.ae_title
    try:
        verify(to, calling_ae_title, read.sender.timeout_s)
    except (PacsUnreachable, AssociationRejected) as exc:
        raise NoAnswer(f"{exc}. Check that it runs, its host, port and AE title, and that it knows {calling_ae_title}") from exc
    console.print(f"[green]ok[/] {to.ae_title} at {to.host}:{to.port} answers", highlight=False)


@app.command(epilog="Example, a study to a node on this machine: cad-node send CAD_NODE@127.0.0.1:11112 /data/study")
def send(
    peer: Peer,
    folder: Annotated[Path, typer.Argument(help="A folder (nested, mixed, junk is skipped) or one file.", exists=True, show_default=False)],
) -> None:
    """Send the DICOM files of a folder to a peer (C-STORE), as a modality would.

    Exits with 1 if any isn't taken, with 2 if there is nothing to send.
    """
    from cad_node.deliver.cstore import CStore
    from cad_node.deliver.gather import gather

    read = settings()
    to = _peer(peer, read)
    gathered = gather(folder)
    print_left_out(console, "skipped", gathered.skipped)
    if not gathered.files:
        typer.echo(f"error: no DICOM file in {folder}", err=True)
        raise typer.Exit(EX_USAGE)
    paths = [file.path for file in gathered.files]
    outcomes = CStore(to, to.calling_ae_title or read.node.ae_title, read.sender.timeout_s).send(paths)
    answered = zip(paths, track(outcomes, "sending", len(paths), console=console), strict=True)
    failed = [(path, outcome.reason) for path, outcome in answered if not outcome.delivered]
    print_left_out(console, "not taken", failed)
    console.print(f"{len(paths) - len(failed)} of {len(paths)} sent, {len(gathered.skipped)} files skipped")
    raise typer.Exit(EX_FAILED if failed else 0)
