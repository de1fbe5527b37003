"""Tables in a narrow and in a wide terminal."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from cad_node.app.start import Store
from cad_node.cli.job_tables import print_jobs, print_one
from cad_node.cli.tables import print_left_out, short_uid
from tests.cli.rows import add_job, finish_job

UID = "1.2.826.0.1.3680043.8.498.83723205814757486834497557955521592492"


def printed(width: int, print_it) -> str:
    console = Console(width=width, file=io.StringIO())
    print_it(console)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 140])
def test_every_job_is_one_line_that_fits_the_terminal(store: Store, width: int):
    add_job(store, refusal=("no-matching-series", "wanted CT"))
    finish_job(store, "pacs")
    jobs = store.jobs.list()

    lines = printed(width, lambda console: print_jobs(console, jobs)).splitlines()

    for job in jobs:
        (line,) = [line for line in lines if line.strip().startswith(f"{job.id} ")]
        assert len(line) <= width
        assert job.state in line
        assert "lung_nodule_ct 1.0.0" in line
        assert job.created_at.astimezone().strftime("%m-%d %H:%M:%S") in line


def test_a_wide_terminal_gets_the_whole_uid_and_a_narrow_one_its_ends(store: Store):
    add_job(store)
    (job,) = store.jobs.list()

    narrow, wide = (printed(width, lambda console: print_jobs(console, [job])) for width in (80, 140))

    assert job.study_instance_uid in wide
    assert job.study_instance_uid not in narrow
    assert f"{job.study_instance_uid[:10]}…{job.study_instance_uid[-7:]}" in narrow


def test_one_job_shows_its_uids_whole_even_in_a_narrow_terminal(store: Store):
    detail = store.jobs.show(finish_job(store, "pacs"))

    lines = printed(80, lambda console: print_one(console, detail)).splitlines()

    assert max(map(len, lines)) <= 80
    assert any(detail.summary.study_instance_uid in line for line in lines)


def test_a_short_uid_is_left_as_it_is():
    assert short_uid("1.2.3", 80) == "1.2.3"
    assert short_uid(UID, 140) == UID
    assert short_uid(UID, 80) == "1.2.826.0.…1592492"


def test_files_that_were_left_out_are_told_by_reason():
    files = [(Path(f"/study/a/{number}.txt"), "not a DICOM file") for number in range(5)] + [(Path("/study/x[1].dcm"), "an empty file")]

    text = printed(80, lambda console: print_left_out(console, "skipped", files))

    assert text.splitlines() == [
        "skipped 5 files, not a DICOM file: a/0.txt, a/1.txt, a/2.txt and 2 more",
        "skipped 1 file, an empty file: study/x[1].dcm",
    ]
