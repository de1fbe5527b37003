"""What the listener offers to peers: each service brings its presentation contexts and the handlers behind them."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pynetdicom.presentation import PresentationContext

Handler = tuple[Any, Callable[[Any], Any]]  # one of pynetdicom.evt's events, and what answers it


class Service(Protocol):
    def contexts(self) -> Sequence[PresentationContext]:
        """The presentation contexts that the service is offered in."""
        ...

    def handlers(self) -> Sequence[Handler]:
        """pynetdicom's handlers, one for each event that concerns the service."""
        ...
