"""Every error the node raises on purpose: what happened, to which UID or file, and what to do next."""

from enum import StrEnum
from pathlib import Path
from typing import ClassVar


class CadNodeError(Exception):
    """Root of the node's own errors. `retryable` says whether the same call may succeed later."""

    retryable: ClassVar[bool] = False


class SettingsError(CadNodeError):
    """The configuration can't be used; the message names the key."""


class ManifestError(CadNodeError):
    """A model folder can't be used; the message names the file and the key."""

    def __init__(self, file: Path, key: str, why: str) -> None:
        super().__init__(f"{file}: {key}: {why}")
        self.file = file  # model.toml or another file of the model's folder
        self.key = key


class ProviderMissing(CadNodeError):
    """The execution provider asked for isn't the one ONNX Runtime uses."""


class DeviceFailed(CadNodeError):
    """The accelerator failed while it computed; its process must end, since what it holds there can't be trusted any more."""

    retryable = True


class Refusal(StrEnum):
    """Why a model can't take a study; written on the job row."""

    NO_MATCHING_SERIES = "no-matching-series"
    TOO_FEW_SLICES = "too-few-slices"
    PIXELS_MISSING = "pixels-missing"
    PIXELS_UNDECODABLE = "pixels-undecodable"
    FILE_UNREADABLE = "file-unreadable"
    GEOMETRY_MISSING = "geometry-missing"
    MIXED_GEOMETRY = "mixed-geometry"
    NOT_ORTHOGONAL = "not-orthogonal"
    WRONG_ORIENTATION = "wrong-orientation"
    DUPLICATE_POSITION = "duplicate-position"
    SLICES_MISSING = "slices-missing"
    SPACING_OUT_OF_RANGE = "spacing-out-of-range"
    MULTI_FRAME = "multi-frame"
    ANATOMY_NOT_FOUND = "anatomy-not-found"
    WRONG_BODY_PART = "wrong-body-part"
    PHANTOM = "phantom"
    NOT_A_VOLUME = "not-a-volume"
    VALUES_NOT_HU = "values-not-hu"
    FIELD_OF_VIEW_CUT = "field-of-view-cut"
    SLICE_GAP = "slice-gap"
    DERIVED_IMAGE = "derived-image"
    TOO_LOSSY = "too-lossy"
    TOO_NOISY = "too-noisy"


class UnusableSeries(CadNodeError):
    """A series that a model can't be run on: a code and a sentence, never silence."""

    def __init__(self, code: Refusal, series_instance_uid: str, sentence: str) -> None:
        super().__init__(f"series {series_instance_uid}: {sentence}" if series_instance_uid else sentence)
        self.code = code
        self.sentence = str(self)


class LeaseLost(CadNodeError):
    """The row was taken over by another process (or cancelled); this process's result must be discarded."""


class UnknownRow(CadNodeError):
    """No row has this key; the message names it."""


class Removed(CadNodeError):
    """What this would need has been removed to make room."""


class PacsUnreachable(CadNodeError):
    """No association with the peer, now."""

    retryable = True


class AssociationRejected(CadNodeError):
    """The peer rejects the association for good, PS3.8 9.3.4: until someone changes its configuration, or ours."""

    retryable = True


class UnusableTlsFile(CadNodeError):
    """A certificate, a key or another file that TLS needs can't be used; the message names it. It is read again once it changes."""

    retryable = True
