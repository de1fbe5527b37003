"""deliveries: what was sent where, and what wasn't."""

from dataclasses import asdict
from typing import Annotated

import typer

from cad_node.cli.context import AsJson, console, existing_store, print_json
from cad_node.cli.tables import add, listed, narrow, number, short_uid, table
from cad_node.lifecycle import DeliveryState

_AS_WANTED = frozenset({DeliveryState.DELIVERED, DeliveryState.COMMITTED})  # there is nothing to say of these

app = typer.Typer(
    no_args_is_help=True,
    help="See and steer the outbox: a delivery is one result for one destination.\n\n"
    "A delivery is pending, sending, delivered, failed (the destination will never take it) or cancelled. It is replaced where the "
    "destination takes no such object and another goes instead, and held where the object didn't pass the checks. Where the destination "
    "has to confirm that it keeps what it took, it is unconfirmed until then, and committed afterwards.",
)


@app.command("list", epilog="Example: cad-node deliveries list --state failed")
def list_deliveries(
    state: Annotated[DeliveryState | None, typer.Option(help="Only deliveries in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List deliveries, newest first, with what the destination answered."""
    deliveries = existing_store().deliveries.list(state=state, limit=limit)
    if as_json:
        print_json([asdict(delivery) for delivery in deliveries])
        return
    rows = table(
        "Deliveries",
        number("job"),
        narrow("destination"),
        narrow("state"),
        narrow("object"),
        narrow("uid"),
        number("tries"),
        narrow("next"),
    )
    for one in deliveries:
        due = one.run_after if one.state in {DeliveryState.PENDING, DeliveryState.UNCONFIRMED} else None
        uid = short_uid(one.sop_instance_uid, console.width)
        add(rows, one.job_id, one.destination, one.state, one.builder, uid, one.attempt, due)
    console.print(rows)
    reasons = [(f"job {one.job_id} to {one.destination}", one.reason) for one in deliveries if one.state not in _AS_WANTED and one.reason]
    if reasons:
        console.print(listed(dict.fromkeys(reasons), "\nWhy"))


@app.command(epilog="Example, after the PACS was repaired: cad-node deliveries retry --destination pacs1")
def retry(
    destination: Annotated[str | None, typer.Option(help="Only those to this destination.", show_default=False)] = None,
) -> None:
    """Send now what failed or waits for its next attempt, and ask about what is unconfirmed; what was cancelled stays so."""
    from cad_node.app.start import now

    count = existing_store().deliveries.retry_all(now(), destination)
    console.print(f"{count} deliveries are due now")
