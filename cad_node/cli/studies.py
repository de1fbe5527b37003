"""studies: what was received."""

from dataclasses import asdict
from typing import Annotated

import typer

from cad_node.cli.context import AsJson, console, existing_store, print_json
from cad_node.cli.tables import add, narrow, number, short_uid, table

app = typer.Typer(no_args_is_help=True, help="See what was received.")


@app.callback()
def studies() -> None:
    """See what was received."""


@app.command("list", epilog="Example: cad-node studies list --json | jq -r '.[].study_instance_uid'")
def list_studies(limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50, as_json: AsJson = False) -> None:
    """List studies, newest first: state, revision, how much of each has arrived, and conflicting instances kept aside."""
    found = existing_store().studies.list(limit)
    if as_json:
        print_json([asdict(study) for study in found])
        return
    rows = table(
        "Studies",
        *(
            narrow("study"),
            narrow("state"),
            number("rev"),
            number("series"),
            number("images"),
            number("conflicts"),
            narrow("last image"),
            narrow("removed"),
        ),
    )
    for study in found:
        uid = short_uid(study.study_instance_uid, console.width)
        counts = study.revision, study.series, study.instances, study.conflicts
        add(rows, uid, study.state, *counts, study.last_instance_at, study.removed_at)
    console.print(rows)
