"""A study that kills its worker is taken out after the second death, and the study beside it is done all the same."""

import os
import time
from pathlib import Path

import pytest

from cad_node.app.start import open_store
from cad_node.deliver.cstore import CStore
from cad_node.demo.archive import AE_TITLE, Archive
from cad_node.demo.node import DemoNode
from cad_node.lifecycle import JobState
from cad_node.phantom import NODULES, phantom_study
from tests.factory import altered, save_study
from tests.shipped_models import copy_quick_models

pytestmark = pytest.mark.slow

# Python runs a module of this name at every start: the node's own processes run as they are, but for this one study.
SITECUSTOMIZE = """
import os, signal, sys
if "worker" in sys.argv or any("worker" in argument for argument in getattr(sys, "orig_argv", [])):
    from cad_node import pipeline
    find = pipeline.find
    def deadly(volume, *rest):
        if volume.sources[0].StudyInstanceUID == os.environ["DEADLY_STUDY"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return find(volume, *rest)
    pipeline.find = deadly
"""


def test_a_study_that_kills_its_worker_twice_is_quarantined_and_its_neighbour_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    harmless = list(phantom_study(slices=50, spacing_mm=5.0, pixel_spacing_mm=1.0, size_px=360, nodules=NODULES[:1]).datasets)
    deadly = [
        altered(ds, StudyInstanceUID="1.2.3.4", SeriesInstanceUID="1.2.3.4.1", SOPInstanceUID=f"1.2.3.4.2.{n}")
        for n, ds in enumerate(harmless)
    ]
    for ds in deadly:
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    files = save_study(deadly, tmp_path / "deadly") + save_study(harmless, tmp_path / "harmless")
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("DEADLY_STUDY", "1.2.3.4")

    with (
        Archive(tmp_path / "archive") as archive,
        DemoNode(tmp_path, AE_TITLE, archive.port, copy_quick_models(tmp_path / "models")) as node,
    ):
        assert all(outcome.delivered for outcome in CStore(node.address, "MODALITY", 30).send(files))
        store = open_store(node.settings)
        deadline = time.monotonic() + 120
        while {job.state for job in store.jobs.list()} != {JobState.DONE, JobState.QUARANTINED} or len(store.jobs.list()) < 2:
            node.require_alive()
            assert time.monotonic() < deadline, node.last_words()
            time.sleep(0.2)
        states = {job.study_instance_uid: (job.state, job.crashes) for job in store.jobs.list()}
        store.database.dispose()

    assert states["1.2.3.4"] == (JobState.QUARANTINED, 2)
    assert states[harmless[0].StudyInstanceUID][0] == JobState.DONE
