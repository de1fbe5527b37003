"""QIDO-RS as a client: whether a PACS holds instances, PS3.18 10.6."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from cad_node.commitment import Reference
from cad_node.confirmation import Answer, Located, NotAnswered
from cad_node.deliver.web import WebService, WebSession

_SOP_CLASS, _SOP_INSTANCE = "00080016", "00080018"


@dataclass(frozen=True, slots=True)
class ByQido:
    """A Confirmation: each instance is looked for."""

    service: WebService

    def ask(self, transaction_uid: str, instances: Sequence[Located]) -> Answer:  # noqa: ARG002 - QIDO-RS has no transactions
        with self.service.session() as session:
            held = {instance.reference for instance in instances if instance.reference in self._found(session, instance)}
        return Answer(frozenset(held), reason="not found by QIDO-RS")

    def _found(self, session: WebSession, instance: Located) -> set[Reference]:
        wanted = {
            "StudyInstanceUID": instance.study_instance_uid,
            "SeriesInstanceUID": instance.series_instance_uid,
            "SOPInstanceUID": instance.reference.sop_instance_uid,
            "includefield": _SOP_CLASS,
        }
        answer = session.get(f"/instances?{urlencode(wanted)}", {"Accept": "application/dicom+json"})
        if answer.status == HTTPStatus.NO_CONTENT:  # nothing matches, PS3.18 8.3.3
            return set()
        if answer.status != HTTPStatus.OK:
            raise NotAnswered(f"{self.service.url} answers a query with {answer}")
        try:
            return {Reference(_value(match, _SOP_CLASS), _value(match, _SOP_INSTANCE)) for match in json.loads(answer.body or b"[]")}
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as exc:
            raise NotAnswered(f"{self.service.url} answers a query with what isn't DICOM JSON") from exc


def _value(match: Any, tag: str) -> str:
    """A DICOM JSON attribute's first value, PS3.18 F.2."""
    return str(match[tag]["Value"][0])
