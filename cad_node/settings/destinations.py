"""The systems that results go to and studies are fetched from."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from cad_node.objects import DEFAULT_OBJECTS, ObjectName, Profile, RefusalName, expanded
from cad_node.settings.section import AETitle, Section
from cad_node.settings.tls import PeerTls


def _expand(names: Any) -> Any:
    """Presets stand for the objects they name; what is no list of names is left for the type to refuse."""
    listed = [names] if isinstance(names, str) else names
    return expanded(listed) if isinstance(listed, list | tuple) and all(isinstance(name, str) for name in listed) else names


class _Peer(Section):
    ae_title: AETitle
    """Called AE title of the PACS."""
    host: str
    """Its address."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """Its TCP port."""
    calling_ae_title: AETitle | None = None
    """Calling AE title, where it isn't node.ae_title."""
    tls: PeerTls | None = None
    """TLS to this PACS; without it, the connection is plain."""


class Destination(_Peer):
    objects: Annotated[tuple[ObjectName | RefusalName, ...], BeforeValidator(_expand)] = DEFAULT_OBJECTS
    """Which objects it gets, docs/outputs.md; or the presets ohif, legacy, planning. rejection: a note that rejects what a later run has
    superseded. refusal: a short report for each model that can't take a study, which says why."""
    empty_frames: Literal["omitted", "kept"] = "omitted"
    """Whether a Segmentation has frames too in which nothing of a segment lies: some viewers misplace overlays without them."""
    confirm: Literal["none", "commitment", "find", "qido"] = "none"
    """How it proves that it keeps what it took: storage commitment, C-FIND, QIDO-RS, or not at all. A delivery is committed only after the
    proof."""
    confirm_ae_title: AETitle | None = None
    """Called AE title for storage commitment and C-FIND, where it isn't ae_title."""
    confirm_host: str | None = None
    """Address for them, where it isn't host."""
    confirm_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """TCP port for them, where it isn't port."""
    qido_url: Annotated[str, StringConstraints(pattern=r"^(https?://.*)?$")] = ""
    """Its DICOMweb service, such as https://pacs.example/dicom-web, for confirm = "qido"."""
    confirm_timeout_s: Annotated[float, Field(gt=0)] = 3600
    """Storage commitment: asked again when no report has come for so long. C-FIND, QIDO-RS: what isn't found for so long is missing."""
    confirm_resends: int = Field(default=3, ge=0)
    """How often an object that it doesn't keep is sent again before the delivery fails."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.confirm == "qido" and not self.qido_url:
            raise ValueError('confirm = "qido" needs qido_url')
        return self

    @property
    def profile(self) -> Profile:
        """What it gets of a run."""
        return Profile(self.objects, self.empty_frames == "kept")

    @property
    def confirming(self) -> Self:
        """The peer that is asked for storage commitment, or by C-FIND."""
        asked = {"ae_title": self.confirm_ae_title, "host": self.confirm_host, "port": self.confirm_port}
        return self.model_copy(update={key: value for key, value in asked.items() if value is not None})


class Source(_Peer):
    retrieve: Literal["move", "get"] = "move"
    """How instances are fetched. move: the PACS sends them to this node's listener and must know node.ae_title; get: they come on our own
    association."""
    response_timeout_s: Annotated[float, Field(gt=0)] = 600
    """Longest wait for the next response to a query or a retrieve; a PACS may send none before the last instance has gone."""
