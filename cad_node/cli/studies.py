"""studies: what was received."""

from typing import Annotated

import typer

from cad_node.app.start import open_store
from cad_node.cli.context import AsJson, settings, show

app = typer.Typer(no_args_is_help=True, help="See what was received.")


@app.command("list")
def list_studies(limit: Annotated[int, typer.Option(help="The newest so many.")] = 50, as_json: AsJson = False) -> None:
    """List studies, newest first: state, revision, how much of each has arrived, and conflicting instances kept aside."""
    columns = ("study_instance_uid", "state", "revision", "series", "instances", "conflicts", "last_instance_at")
    show(open_store(settings()).studies.list(limit), columns, as_json, "Studies")
