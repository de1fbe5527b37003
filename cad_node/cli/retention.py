"""retention: which files are removed for their age or for want of space, and why."""

from dataclasses import asdict
from typing import Annotated

import typer

from cad_node.cli.context import AsJson, console, existing_store, print_json, settings
from cad_node.cli.tables import add, narrow, number, short_uid, table
from cad_node.retention import Stored

app = typer.Typer(
    no_args_is_help=True,
    help="See and do what keeps the disk from filling: the files of a study go when its jobs have ended and their results are delivered, "
    "once they are old or space is short, as the retention section of the settings says. A running node does it by itself.",
)


@app.command("show", epilog="Example: cad-node retention show --json | jq '.goes[] | {kind, why}'")
def show(limit: Annotated[int, typer.Option(min=1, help="The oldest so many of each kind.")] = 50, as_json: AsJson = False) -> None:
    """Show what would be removed now and why, and what is old enough but still needed. Removes nothing."""
    from cad_node.app.retention import open_remover

    remover = open_remover(settings(), existing_store())
    goes, stays = remover.due(limit), remover.held(limit)
    if as_json:
        print_json({"goes": [asdict(one.stored) | {"why": one.why} for one in goes], "stays": [asdict(one) for one in stays]})
        return
    _print("Goes now", [(removal.stored, removal.why) for removal in goes])
    if stays:
        _print("\nIs old, but stays", [(stored, stored.held_by) for stored in stays])


@app.command("run", epilog="Example: cad-node retention run")
def run(
    orphans: Annotated[bool, typer.Option("--orphans", help="Also what no row names, which a running node looks for once a day.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove now what `show` shows, rather than when the node looks next."""
    from cad_node.app.retention import open_remover

    remover = open_remover(settings(), existing_store())
    removed = remover.remove_due()
    count = remover.remove_orphans() if orphans else 0
    if as_json:
        print_json({"removed": [asdict(one.stored) | {"why": one.why} for one in removed], "orphans": count})
        return
    _print("Removed", [(removal.stored, removal.why) for removal in removed])
    if orphans:
        console.print(f"{count} files that no row names")


def _print(title: str, listed: list[tuple[Stored, str]]) -> None:
    if not listed:
        console.print(f"{title}: nothing")
        return
    rows = table(title, narrow("what"), narrow("study"), number("job"), narrow("since"), number("files"), number("MB"), narrow("why"))
    for one, why in listed:
        uid = short_uid(one.study_instance_uid, console.width)
        add(rows, one.kind, uid, one.number, one.since, one.files, f"{one.size_bytes / 1e6:.1f}", why)
    console.print(rows)
