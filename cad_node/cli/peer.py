"""A peer as it is named on the command line."""

from collections.abc import Mapping
from typing import TypeVar

import typer
from pydantic import ValidationError

from cad_node.settings import Destination, Source

Section = TypeVar("Section", Destination, Source)


def named_peer(named: str, configured: Mapping[str, Section], section: type[Section], kind: str) -> Section:
    """A configured peer by its name, or one made of AETITLE@HOST:PORT; kind: what the configured ones are called."""
    if named in configured:
        return configured[named]
    title, _, address = named.partition("@")
    host, _, port = address.rpartition(":")
    if not (title and host and port.isdecimal()):
        known = ", ".join(configured) or "none is configured"
        raise typer.BadParameter(f"{named!r}: write AETITLE@HOST:PORT, or name a {kind} ({known})")
    try:
        return section(ae_title=title, host=host, port=int(port))
    except ValidationError as exc:
        wrong = "; ".join(f"{error['loc'][0]}: {error['msg']}" for error in exc.errors())
        raise typer.BadParameter(f"{named!r}: {wrong}") from exc
