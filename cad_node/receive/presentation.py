"""What the Storage SCP accepts: SOP classes and transfer syntaxes."""

from collections.abc import Collection

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedUSVolumeStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MPEGTransferSyntaxes,
    RLELossless,
)
from pynetdicom import AllStoragePresentationContexts, register_uid
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # made when pynetdicom is imported

# Where a sender offers several in one presentation context, the first of this list is taken: nothing to decode,
# then the lossless ones, so that a sender is never asked to compress with loss what it could send without.
TRANSFER_SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGLSLossless,
    JPEG2000Lossless,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEGLosslessSV1,
    JPEGLossless,
    RLELossless,
    JPEGLSNearLossless,
    JPEG2000,
    HTJ2K,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    *MPEGTransferSyntaxes,
)

_LIKELY = [syntax for syntax in TRANSFER_SYNTAXES if syntax not in {ExplicitVRLittleEndian, ImplicitVRLittleEndian}]
_MOST_TO_GET = 127  # presentation contexts: of 128, PS3.8 9.3.2.2, one is the retrieve's own

# Their instances belong to no study (PS3.4 GG), or aren't sent by C-STORE at all.
_OUTSIDE_STUDIES = {
    "StorageCommitmentPushModel",
    "StorageCommitmentPullModel",
    "MediaStorageDirectoryStorage",
    "StoredPrintStorage",
    "CTDefinedProcedureProtocolStorage",
    "XADefinedProcedureProtocolStorage",
    "ProtocolApprovalStorage",
    "InventoryStorage",
    "HangingProtocolStorage",
    "ColorPaletteStorage",
    "GenericImplantTemplateStorage",
    "ImplantAssemblyTemplateStorage",
    "ImplantTemplateGroupStorage",
}


_NEGOTIABLE = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
_REGISTERED = {
    uid
    for uid, (name, kind, _info, _retired, keyword) in UID_dictionary.items()
    if kind == "SOP Class" and "Storage" in name and keyword not in _OUTSIDE_STUDIES
}

# Every storage SOP class of the standard, the retired ones too: old devices send them. Private classes aren't negotiated:
# pynetdicom accepts unknown ones only by a switch of the whole process, which takes any transfer syntax as well.
STORAGE_CLASSES = tuple(sorted(_NEGOTIABLE | _REGISTERED))

# PS3.6 calls every class of images "… Image Storage", but for one; the others (segmentations, reports, presentation states,
# key objects, plans, waveforms, documents) are made from images and are nothing a model reads.
IMAGE_CLASSES = frozenset({EnhancedUSVolumeStorage, *(uid for uid in STORAGE_CLASSES if "Image Storage" in UID(uid).name)})


def accepted_contexts() -> list[PresentationContext]:
    """The presentation contexts of the SCP: verification, and storage of every class in every transfer syntax."""
    for uid in STORAGE_CLASSES:
        if uid not in _NEGOTIABLE:
            register_uid(uid, UID(uid).keyword, StorageServiceClass)
    contexts = [build_context(uid, list(TRANSFER_SYNTAXES)) for uid in STORAGE_CLASSES]
    for context in contexts:
        context.scu_role = context.scp_role = True  # as the requestor proposes, PS3.7 D.3.3.4: with C-GET it is the one that stores
    return [build_context(Verification), *contexts]


def contexts_to_get(sop_class_uids: Collection[str]) -> list[PresentationContext]:
    """What to propose to a peer that is to send us instances of these classes; empty: not known which.

    A peer takes one transfer syntax of those in a presentation context, and may be unable to send what it holds in another:
    each has its own, as far as an association has room for them, the likely ones first.
    """
    classes = sorted(sop_class_uids) or sorted(IMAGE_CLASSES)
    uncompressed = [build_context(uid, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]) for uid in classes]
    others = [build_context(uid, syntax) for syntax in _LIKELY for uid in classes]
    return [*uncompressed, *others][:_MOST_TO_GET]
