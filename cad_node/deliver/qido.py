"""QIDO-RS as a client: whether a PACS holds instances, PS3.18 10.6."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from cad_node.commitment import Reference
from cad_node.confirmation import Answer, Located, NotAnswered
from cad_node.errors import PacsUnreachable, UnusableTlsFile
from cad_node.tls import TlsContext

_SOP_CLASS, _SOP_INSTANCE = "00080016", "00080018"
_LARGEST_ANSWER = 1 << 20  # bytes: one instance is asked for


@dataclass(frozen=True, slots=True)
class ByQido:
    """A Confirmation: each instance is looked for."""

    url: str  # of the DICOMweb service, http or https
    timeout_s: float
    tls: TlsContext | None = None  # for an https URL; else the system's authorities are trusted

    def ask(self, transaction_uid: str, instances: Sequence[Located]) -> Answer:  # noqa: ARG002 - QIDO-RS has no transactions
        held = {instance.reference for instance in instances if instance.reference in self._found(instance)}
        return Answer(frozenset(held), reason="not found by QIDO-RS")

    def _found(self, instance: Located) -> set[Reference]:
        wanted = {
            "StudyInstanceUID": instance.study_instance_uid,
            "SeriesInstanceUID": instance.series_instance_uid,
            "SOPInstanceUID": instance.reference.sop_instance_uid,
            "includefield": _SOP_CLASS,
        }
        content = self._get(f"{self.url.rstrip('/')}/instances?{urllib.parse.urlencode(wanted)}")
        try:
            return {Reference(_value(match, _SOP_CLASS), _value(match, _SOP_INSTANCE)) for match in json.loads(content or b"[]")}
        except (ValueError, TypeError, LookupError, AttributeError) as exc:
            raise NotAnswered(f"{self.url} answers a query with what isn't DICOM JSON") from exc

    def _get(self, url: str) -> bytes:
        """The body; empty where nothing matches."""
        request = urllib.request.Request(url, headers={"Accept": "application/dicom+json"})  # noqa: S310 - http or https, by settings
        try:
            context = self.tls.current() if self.tls else None
            with urllib.request.urlopen(request, timeout=self.timeout_s, context=context) as response:  # noqa: S310 - as above
                return b"" if response.status == HTTPStatus.NO_CONTENT else bytes(response.read(_LARGEST_ANSWER))
        except urllib.error.HTTPError as exc:
            exc.close()
            raise NotAnswered(f"{self.url} answers a query with {exc.code} {exc.reason}") from exc
        except UnusableTlsFile as exc:
            raise PacsUnreachable(f"{self.url} can't be called over TLS: {exc}") from exc
        except OSError as exc:
            raise PacsUnreachable(f"{self.url} can't be reached: {getattr(exc, 'reason', None) or exc}") from exc


def _value(match: Any, tag: str) -> str:
    """A DICOM JSON attribute's first value, PS3.18 F.2."""
    return str(match[tag]["Value"][0])
