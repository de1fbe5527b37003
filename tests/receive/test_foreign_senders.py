import shutil
import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage

from tests.factory import ct_study, save_study
from tests.receive.front_door import FrontDoor, after_meta, store_bytes

SENDERS = {
    "storescu": ["storescu", "-aec", "CAD_NODE", "+sd", "+r"],
    "storescu, JPEG lossless offered first": ["storescu", "-aec", "CAD_NODE", "-xs", "+sd", "+r"],
    "storescu, implicit VR": ["storescu", "-aec", "CAD_NODE", "-xi", "+sd", "+r"],
    "dcmsend": ["dcmsend", "-aec", "CAD_NODE", "+sd", "+r"],
}


@pytest.mark.parametrize("sender", SENDERS)
def test_dcmtk_sends_a_study(front_door: FrontDoor, tmp_path: Path, sender: str) -> None:
    command = SENDERS[sender]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} isn't installed; it comes with Debian's package dcmtk")
    study = ct_study(slices=3)
    save_study(study, tmp_path)

    sent = subprocess.run(
        [*command, "127.0.0.1", str(front_door.port), str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )

    assert sent.returncode == 0, sent.stderr
    for ds in study:
        read = dcmread(front_door.file(ds.SOPInstanceUID))
        assert read.PixelData == ds.PixelData
        assert read.PatientName == ds.PatientName


def test_dcmtk_verifies(front_door: FrontDoor) -> None:
    if shutil.which("echoscu") is None:
        pytest.skip("echoscu isn't installed; it comes with Debian's package dcmtk")

    verified = subprocess.run(["echoscu", "127.0.0.1", str(front_door.port)], capture_output=True, text=True, timeout=60, check=False)

    assert verified.returncode == 0, verified.stderr


def test_every_file_of_a_real_ct_arrives_bit_for_bit(front_door: FrontDoor, real_ct_slices: list[Path]) -> None:
    headers = [dcmread(path, stop_before_pixels=True) for path in real_ct_slices]
    association = front_door.associate((CTImageStorage, headers[0].file_meta.TransferSyntaxUID))

    statuses = [
        store_bytes(association, after_meta(path), ds.SOPClassUID, ds.SOPInstanceUID).Status
        for path, ds in zip(real_ct_slices, headers, strict=True)
    ]

    association.release()
    assert statuses == [0x0000] * len(real_ct_slices)
    for path, ds in zip(real_ct_slices, headers, strict=True):
        assert after_meta(front_door.file(ds.SOPInstanceUID)) == after_meta(path)
