"""How a destination proves that it keeps what it took: the plug point behind `destinations.NAME.confirm`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from cad_node.commitment import Reference
from cad_node.errors import CadNodeError


class NotAnswered(CadNodeError):
    """The destination is there, but doesn't answer this kind of question, or not now."""

    retryable = True  # its configuration can change


class Located(NamedTuple):
    """An instance, and where it belongs."""

    study_instance_uid: str
    series_instance_uid: str
    reference: Reference


@dataclass(frozen=True, slots=True)
class Answer:
    """What the destination says at once."""

    committed: frozenset[Reference] = frozenset()
    failed: Mapping[Reference, str] = field(default_factory=dict)  # with the reason why it doesn't keep them, for people
    reports_later: bool = False  # whether the rest is told by itself; else it has to be asked for again
    reason: str = ""  # what is to be said of the rest, for people


class Confirmation(Protocol):
    def ask(self, transaction_uid: str, instances: Sequence[Located]) -> Answer:
        """Ask whether these instances are kept. transaction_uid: of this question, new.

        Raises PacsUnreachable, AssociationRejected, NotAnswered.
        """
        ...
