import hashlib
import zlib

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    MRImageStorage,
    SegmentationStorage,
    generate_uid,
)

from cad_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from cad_node.receive.presentation import IMAGE_CLASSES, STORAGE_CLASSES, TRANSFER_SYNTAXES
from tests.factory import ct_study
from tests.receive.front_door import FrontDoor, after_meta, contexts_of, encoded, identity, store, store_bytes, with_frames

LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"


def test_verification_is_answered(front_door: FrontDoor) -> None:
    association = front_door.associate()

    status = association.send_c_echo()

    association.release()
    assert status.Status == 0x0000


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES, ids=lambda syntax: syntax.name)
def test_every_transfer_syntax_is_stored_bit_for_bit(front_door: FrontDoor, syntax: str) -> None:
    ds = ct_study(slices=1)[0]
    sent = _in_syntax(ds, syntax)
    association = front_door.associate((CTImageStorage, syntax), calling_ae_title="SCANNER_7")

    status = store_bytes(association, sent, ds.SOPClassUID, ds.SOPInstanceUID)

    association.release()
    path = front_door.file(ds.SOPInstanceUID)
    assert status.Status == 0x0000
    assert hashlib.sha256(after_meta(path)).digest() == hashlib.sha256(sent).digest()
    read = dcmread(path, stop_before_pixels=True)
    assert (read.SOPInstanceUID, read.StudyInstanceUID) == (ds.SOPInstanceUID, ds.StudyInstanceUID)
    assert read.file_meta.TransferSyntaxUID == syntax
    assert read.file_meta.FileMetaInformationVersion == b"\0\1"
    assert (read.file_meta.MediaStorageSOPClassUID, read.file_meta.MediaStorageSOPInstanceUID) == (ds.SOPClassUID, ds.SOPInstanceUID)
    assert read.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert read.file_meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    assert read.file_meta.SourceApplicationEntityTitle == "SCANNER_7"


def test_the_index_holds_what_the_header_says(front_door: FrontDoor) -> None:
    ds = ct_study(slices=1)[0]

    front_door.send(ds)

    (series,) = front_door.studies.load(ds.StudyInstanceUID).series
    (instance,) = series.instances
    assert (series.series_instance_uid, series.modality) == (ds.SeriesInstanceUID, "CT")
    assert (instance.sop_class_uid, instance.transfer_syntax_uid) == (CTImageStorage, ExplicitVRLittleEndian)
    assert instance.path == front_door.file(ds.SOPInstanceUID)
    assert instance.header["ImagePositionPatient"] == [float(value) for value in ds.ImagePositionPatient]
    assert (instance.header["Rows"], instance.header["InstanceNumber"], instance.header["BodyPartExamined"]) == (64, 1, "CHEST")


def test_bytes_that_a_library_would_write_otherwise_are_kept(front_door: FrontDoor) -> None:
    ds = identity()
    undefined_length_sequence = bytes.fromhex("40 00 60 02 53 51 00 00 FF FF FF FF FE FF 00 E0 00 00 00 00 FE FF DD E0 00 00 00 00")
    padded_with_spaces = b"\x20\x00\x20\x02" + b"SH" + b"\x08\x00" + b"        "
    trailing_padding = bytes.fromhex("FC FF FC FF 4F 42 00 00 04 00 00 00 00 00 00 00")
    sent = encoded(ds) + undefined_length_sequence + padded_with_spaces + trailing_padding
    association = front_door.associate()

    status = store_bytes(association, sent, ds.SOPClassUID, ds.SOPInstanceUID)

    association.release()
    assert status.Status == 0x0000
    assert after_meta(front_door.file(ds.SOPInstanceUID)) == sent


def test_every_storage_class_is_stored(front_door: FrontDoor) -> None:
    statuses, study = {}, generate_uid()

    for contexts in contexts_of(STORAGE_CLASSES):
        association = front_door.associate(*contexts)
        for sop_class_uid, _ in contexts:
            ds = identity(sop_class_uid, StudyInstanceUID=study, SeriesInstanceUID=study)
            statuses[sop_class_uid] = store_bytes(association, encoded(ds, is_implicit_vr=True), sop_class_uid, ds.SOPInstanceUID).Status
        association.release()

    assert len(STORAGE_CLASSES) > 190
    assert statuses == dict.fromkeys(STORAGE_CLASSES, 0x0000)
    assert len(front_door.files(study)) == len(STORAGE_CLASSES)


def test_a_private_storage_class_is_not_negotiated(front_door: FrontDoor) -> None:
    association = front_door.associate(("1.3.12.2.1107.5.9.1", ImplicitVRLittleEndian))

    rejected = [context.result for context in association.rejected_contexts]

    association.release()
    assert rejected == [0x03]  # abstract syntax not supported, PS3.8 Table 9-18


def test_a_sender_that_offers_both_is_asked_for_the_lossless_syntax(front_door: FrontDoor) -> None:
    association = front_door.associate((CTImageStorage, [JPEGBaseline8Bit, JPEG2000Lossless]))

    (accepted,) = [context.transfer_syntax for context in association.accepted_contexts if context.abstract_syntax == CTImageStorage]

    association.release()
    assert accepted == [JPEG2000Lossless]


@pytest.mark.parametrize(
    ("sop_class_uid", "is_image"),
    [(CTImageStorage, True), (MRImageStorage, True), (SegmentationStorage, False), (LABEL_MAP_SEGMENTATION, False)],
)
def test_images_are_told_from_what_is_made_from_them(sop_class_uid: str, is_image: bool) -> None:
    assert (sop_class_uid in IMAGE_CLASSES) is is_image


def test_the_same_instance_twice_is_one(front_door: FrontDoor) -> None:
    ds = ct_study(slices=1)[0]

    statuses = front_door.send(ds, ds)

    assert statuses == [0x0000, 0x0000]
    assert len(front_door.files(ds.StudyInstanceUID)) == 1
    assert front_door.study(ds.StudyInstanceUID).instances == 1


def test_the_same_instance_from_another_sender_is_one(front_door: FrontDoor) -> None:
    ds = ct_study(slices=1)[0]

    statuses = front_door.send(ds, calling_ae_title="SCANNER_7") + front_door.send(ds, calling_ae_title="PACS")

    assert statuses == [0x0000, 0x0000]
    study = front_door.study(ds.StudyInstanceUID)
    assert (study.instances, study.conflicts) == (1, 0)


def test_another_content_under_the_same_uid_is_kept_flagged_and_refused(front_door: FrontDoor) -> None:
    ds, other = ct_study(slices=1)[0], ct_study(slices=1)[0]
    other.SOPInstanceUID, other.StudyInstanceUID, other.SeriesInstanceUID = ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID
    other.PixelData = bytes(len(other.PixelData))
    front_door.send(ds)
    association = front_door.associate()

    status = store(association, other)

    association.release()
    assert (status.Status, status.ErrorComment) == (0xC020, "Another content is stored under this SOP Instance UID")
    assert after_meta(front_door.file(ds.SOPInstanceUID)) == encoded(ds)
    (kept,) = (front_door.folder / "spool" / "conflicts").glob(f"{ds.SOPInstanceUID}.*.dcm")
    assert after_meta(kept) == encoded(other)
    assert front_door.study(ds.StudyInstanceUID).conflicts == 1


def test_one_uid_in_two_studies_is_kept_and_flagged_as_a_conflict(front_door: FrontDoor) -> None:
    ds, other = ct_study(slices=1)[0], ct_study(slices=1)[0]
    other.SOPInstanceUID = ds.SOPInstanceUID

    statuses = front_door.send(ds) + front_door.send(other)

    assert statuses == [0x0000, 0x0000]  # that an instance of another study has the UID is seen when it is indexed
    (conflict,) = (study for study in front_door.studies.list(10_000) if study.study_instance_uid == other.StudyInstanceUID)
    assert (conflict.conflicts, conflict.instances) == (1, 0)
    assert len(front_door.files(other.StudyInstanceUID)) == 1


def _in_syntax(ds: Dataset, syntax: str) -> bytes:
    """The data set's bytes in a transfer syntax; a compressed one gets two fragments that nothing needs to decode."""
    if syntax == DeflatedExplicitVRLittleEndian:
        deflater = zlib.compressobj(level=1, wbits=-zlib.MAX_WBITS)
        deflated = deflater.compress(encoded(ds)) + deflater.flush()
        return deflated + b"\0" * (len(deflated) % 2)
    if syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian):
        return encoded(ds, syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
    return encoded(with_frames(ds, [b"\xff\xd8 not really a frame \xff\xd9"], fragments_per_frame=2))
