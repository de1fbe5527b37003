"""send, echo: talk to a DICOM peer by hand."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from cad_node.cli.context import console, settings
from cad_node.deliver.cstore import CStore
from cad_node.deliver.echo import echo as verify
from cad_node.deliver.gather import gather
from cad_node.errors import SettingsError
from cad_node.settings import Destination, Settings

app = typer.Typer()

Peer = Annotated[str, typer.Argument(help="AETITLE@HOST:PORT, or the name of a configured destination.")]


@app.command()
def echo(peer: Peer) -> None:
    """Ask a peer whether it is there (C-ECHO)."""
    read = settings()
    to = _peer(read, peer)
    verify(to, to.calling_ae_title or read.node.ae_title, read.sender.timeout_s)
    console.print(f"[green]ok[/] {to.ae_title} at {to.host}:{to.port} answers")


@app.command()
def send(
    peer: Peer, folder: Annotated[Path, typer.Argument(help="A folder (nested, mixed, junk is skipped) or one file.", exists=True)]
) -> None:
    """Send the DICOM files of a folder to a peer (C-STORE); exits with 1 if any is not taken."""
    read = settings()
    to = _peer(read, peer)
    gathered = gather(folder)
    for path, why in gathered.skipped:
        console.print(f"[yellow]skipped[/] {path}: {why}")
    paths = [file.path for file in gathered.files]
    outcomes = CStore(to, to.calling_ae_title or read.node.ae_title, read.sender.timeout_s).send(paths)
    failed = [
        (path, outcome.reason) for path, outcome in zip(paths, track(outcomes, "sending", len(paths)), strict=True) if not outcome.delivered
    ]
    for path, reason in failed:
        console.print(f"[red]failed[/] {path}: {reason}")
    console.print(f"{len(paths) - len(failed)} of {len(paths)} sent, {len(gathered.skipped)} files skipped")
    raise typer.Exit(1 if failed or not paths else 0)


def _peer(read: Settings, peer: str) -> Destination:
    if peer in read.destinations:
        return read.destinations[peer]
    title, _, address = peer.partition("@")
    host, _, port = address.rpartition(":")
    if not (title and host and port.isdigit()):
        known = ", ".join(read.destinations) or "none is configured"
        raise SettingsError(f"peer {peer!r}: write AETITLE@HOST:PORT, or name a destination ({known})")
    return Destination(ae_title=title, host=host, port=int(port))
