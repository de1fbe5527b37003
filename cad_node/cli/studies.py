"""studies: what was received, and its models run again."""

from dataclasses import asdict
from typing import Annotated

import typer

from cad_node.cli.context import AsJson, console, existing_store, print_json, settings
from cad_node.cli.tables import add, narrow, number, short_uid, table
from cad_node.errors import UnknownRow

app = typer.Typer(no_args_is_help=True, help="See what was received, and have it analysed again.")


@app.callback()
def studies() -> None:
    """See what was received, and have it analysed again."""


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


@app.command(
    epilog="Examples: cad-node studies analyse 1.2.3\n\none model, for instance a new one: cad-node studies analyse 1.2.3 --model NAME"
)
def analyse(
    study: Annotated[str, typer.Argument(help="Its Study Instance UID, as `cad-node studies list --json` shows it.", show_default=False)],
    model: Annotated[str, typer.Option(help="Only this one of the enabled models, as NAME or NAME/VERSION.", show_default=False)] = "",
    as_json: AsJson = False,
) -> None:
    """Run the enabled models on a study that is there, once more or for the first time; prints the jobs' numbers.

    What they give takes the place of what they gave before.
    Reports follow the earlier ones, and destinations that take rejections are told to hide those.
    """
    from cad_node.app.start import now, usable_models
    from cad_node.receive.completeness import analyse_again

    store, chosen = existing_store(), settings()
    enabled = [folder.manifest for folder in usable_models(chosen)]
    wanted = [manifest for manifest in enabled if model in {"", manifest.name, f"{manifest.name}/{manifest.version}"}]
    if not wanted:
        known = ", ".join(f"{manifest.name}/{manifest.version}" for manifest in enabled) or "none"
        raise UnknownRow(f"no enabled model {model}".rstrip() + f"; enabled: {known}")
    tell_refusals = any("refusal" in destination.profile.objects for destination in chosen.destinations.values())
    jobs = [store.jobs.show(number).summary for number in analyse_again(store.studies, study, wanted, now(), tell_refusals=tell_refusals)]
    if as_json:
        print_json([asdict(job) for job in jobs])
        return
    for job in jobs:
        told = f"{job.state}: {job.reason}" if job.reason else job.state
        console.print(f"job {job.id}: {job.model_name}/{job.model_version} {told}", soft_wrap=True, markup=False, highlight=False)
