"""What pydicom finds in a data set of what read_header finds: the measure for both valid and mutated data sets."""

import warnings
import zlib
from io import BytesIO
from typing import Any

import pydicom.config
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from cad_node.receive.header import Header
from cad_node.study import HEADER_KEYWORDS


def pydicom_header(dataset: bytes, transfer_syntax_uid: str) -> Header:
    """Of a valid data set whose header values are usable. Raises whatever pydicom raises on others."""
    syntax = UID(transfer_syntax_uid)
    whole = zlib.decompress(dataset, -zlib.MAX_WBITS) if syntax.is_deflated else dataset
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        ds = read_dataset(BytesIO(whole), syntax.is_implicit_VR, syntax.is_little_endian)
        return Header(
            *(str(ds.get(keyword) or "") for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")),
            modality=str(ds.get("Modality") or ""),
            names_processing=_names_processing(ds),
            index={keyword: value for keyword in HEADER_KEYWORDS if (value := _value(ds, keyword)) is not None},
        )


def _value(ds: Dataset, keyword: str) -> Any:
    value = ds.get(keyword)
    if value is None or value == "" or (isinstance(value, list) and not value):
        return None
    read = {"DS": float, "IS": int, "US": int}.get(dictionary_VR(keyword), str)
    if dictionary_VM(keyword) == "1":
        return read(value)
    return [read(part) for part in (value if isinstance(value, list | pydicom.multival.MultiValue) else [value])]


def _names_processing(ds: Dataset) -> bool:
    return any(
        (purpose.get("CodeValue"), purpose.get("CodingSchemeDesignator")) == ("109102", "DCM")
        for equipment in ds.get("ContributingEquipmentSequence") or ()
        for purpose in equipment.get("PurposeOfReferenceCodeSequence") or ()
    )
