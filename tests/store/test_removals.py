"""What is removed, when it may be, and what stays known of it; on real files."""

import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from cad_node.errors import Removed
from cad_node.lifecycle import JobState
from cad_node.objects import Profile
from cad_node.remover import Remover
from cad_node.retention import Kind, Stored
from cad_node.settings import Retention
from cad_node.store.database import Database
from cad_node.store.deliveries import Deliveries
from cad_node.store.jobs import ClaimedJob, Jobs
from cad_node.store.listed_files import ListedFiles
from cad_node.store.removals import Removals
from cad_node.store.studies import Studies
from tests.store.arrivals import LEASE_S, NOW, after, claim, index, new_job, received, results, settle

DAY_S = 86_400.0
BY_AGE = Retention(inputs_days=30, results_days=90, free_below_mb=0, free_until_mb=0)
ALL_THERE_IS = 10**9  # MB: space is short for ever


class Node:
    """Rows and the files they name."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.folder, self.database = folder, database
        self.studies, self.jobs, self.deliveries = Studies(database), Jobs(database), Deliveries(database)

    def remover(self, at_s: float, rule: Retention = BY_AGE) -> Remover:
        (self.folder / "spool").mkdir(exist_ok=True)
        files = ListedFiles(self.database, self.folder / "spool", self.folder / "results")
        return Remover(Removals(self.database), files, rule, lambda: after(at_s))

    def receive(self, number: int = 1, study: str = "1.2.3", at_s: float = 0) -> Path:
        instance = received(number, study)
        path = self.written(f"spool/instances/{study}/{instance.series_instance_uid}/{instance.sop_instance_uid}.dcm")
        assert index(self.studies, replace(instance, path=path), after(at_s))
        return path

    def settled(self, study: str = "1.2.3", at_s: float = 0) -> Path:
        path = self.receive(study=study, at_s=at_s)
        assert settle(self.studies, study, new_job(series=f"{study}.1"), now=after(at_s))
        return path

    def finish(self, at_s: float = 0, destinations: tuple[str, ...] = ("pacs",)) -> tuple[ClaimedJob, list[Path]]:
        job = claim(self.jobs, after(at_s))
        made = [replace(one, path=self.written(f"results/{job.uid}/{job.fence}/{one.builder}.dcm")) for one in results(job)]
        self.jobs.finish(job, made, {name: Profile(("seg", "sr")) for name in destinations}, after(at_s))
        return job, [one.path for one in made]

    def deliver(self, at_s: float = 0) -> None:
        for claimed in self.deliveries.claim("pacs", "sender", after(at_s), LEASE_S, 10):
            self.deliveries.deliver(claimed, "", after(at_s))

    def written(self, name: str) -> Path:
        path = (self.folder / name).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")
        return path

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*.dcm") if path.is_file())


@pytest.fixture
def node(database: Database, tmp_path: Path) -> Node:
    return Node(database, tmp_path)


def goes(remover: Remover) -> list[Kind]:
    return [removal.stored.kind for removal in remover.remove_due()]


def test_inputs_and_results_go_at_their_age_with_their_folders(node: Node):
    instance = node.settled()
    job, made = node.finish()
    node.deliver()

    young = goes(node.remover(30 * DAY_S - 1))
    inputs = goes(node.remover(30 * DAY_S + 1))
    results_there = [path.exists() for path in made]
    both = goes(node.remover(90 * DAY_S + 1))

    assert (young, inputs, both) == ([], [Kind.INPUTS], [Kind.RESULTS])
    assert results_there == [True, True]
    assert not instance.parent.parent.exists()
    assert not (node.folder / "results" / str(job.uid)).exists()
    assert (node.folder / "spool" / "instances").is_dir()
    assert (node.folder / "results").is_dir()


def test_what_was_removed_stays_known(node: Node):
    node.settled()
    job, _ = node.finish()
    node.deliver()

    node.remover(91 * DAY_S).remove_due()

    (study,) = node.studies.list()
    assert (study.instances, study.removed_at) == (0, after(91 * DAY_S))
    assert node.jobs.show(job.id).summary.state == JobState.DONE
    assert node.studies.is_own_result(results(job)[0].sop_instance_uid)  # it isn't taken for input when it comes back


@pytest.mark.parametrize("where", ["receiving", "queued", "running", "undelivered", "failed delivery"])
def test_what_is_still_needed_is_never_removed(node: Node, where: str):
    node.receive() if where == "receiving" else node.settled()
    if where == "running":
        claim(node.jobs)
    if where in {"undelivered", "failed delivery"}:
        node.finish()
    if where == "failed delivery":
        for claimed in node.deliveries.claim("pacs", "sender", NOW, LEASE_S, 10):
            node.deliveries.fail(claimed, "no such SOP class", NOW)
    before = node.files()
    remover = node.remover(1000 * DAY_S, Retention(inputs_days=1, results_days=1, free_below_mb=ALL_THERE_IS, free_until_mb=ALL_THERE_IS))

    removed, held = remover.remove_due(), remover.held(10)

    assert removed == []
    assert node.files() == before
    assert {one.kind for one in held} == ({Kind.INPUTS, Kind.RESULTS} if "deliver" in where else {Kind.INPUTS})
    assert all(one.held_by for one in held)


def test_results_that_no_destination_was_to_get_are_kept_for_ever(node: Node):
    node.settled()
    _, made = node.finish(destinations=())
    remover = node.remover(1000 * DAY_S, Retention(inputs_days=1, results_days=1, free_below_mb=ALL_THERE_IS, free_until_mb=ALL_THERE_IS))

    removed, held = goes(remover), remover.held(10)

    assert removed == [Kind.INPUTS]
    assert [path.exists() for path in made] == [True, True]
    assert [one.held_by for one in held] == ["no destination was to get it, and nobody else has it"]


def test_a_delivery_that_an_admin_gave_up_holds_nothing(node: Node):
    node.settled()
    job, _ = node.finish()
    for claimed in node.deliveries.claim("pacs", "sender", NOW, LEASE_S, 10):
        node.deliveries.fail(claimed, "no such SOP class", NOW)

    node.deliveries.cancel(job.id, NOW)

    assert goes(node.remover(91 * DAY_S)) == [Kind.INPUTS, Kind.RESULTS]


def test_for_space_the_oldest_go_first_and_only_as_much_as_is_needed(node: Node):
    paths = [node.settled(f"1.2.{number}", at_s=number) for number in (1, 2, 3)]
    for number in (1, 2, 3):
        node.finish(at_s=10 + number, destinations=())
    free_mb = shutil.disk_usage(node.folder).free / 1e6
    rule = Retention(inputs_days=0, results_days=0, free_below_mb=int(free_mb + 1000), free_until_mb=int(free_mb + 1000))
    os.truncate(paths[0], 2 * 10**9)  # a hole: it takes no space, and its size is what is reckoned with

    removed = node.remover(100, rule).remove_due()

    assert [(one.stored.kind, one.stored.study_instance_uid) for one in removed] == [(Kind.INPUTS, "1.2.1")]
    assert [path.exists() for path in paths] == [False, True, True]


def test_a_job_whose_images_were_removed_is_not_tried_again(node: Node):
    node.settled()
    job = claim(node.jobs)
    node.jobs.fail(job, "it did not work", NOW)
    node.remover(31 * DAY_S).remove_due()

    with pytest.raises(Removed, match="send it again"):
        node.jobs.retry(job.id, after(32 * DAY_S))
    retried = node.jobs.retry_all(JobState.FAILED, after(32 * DAY_S))

    assert retried == 0
    assert node.jobs.show(job.id).summary.state == JobState.FAILED


def test_deliveries_of_removed_results_are_not_tried_again(node: Node):
    node.settled()
    job, _ = node.finish()
    node.deliveries.cancel(job.id, NOW)
    node.remover(91 * DAY_S).remove_due()

    with pytest.raises(Removed, match="results were removed"):
        node.deliveries.retry(job.id, after(92 * DAY_S))

    assert node.deliveries.claim("pacs", "sender", after(92 * DAY_S), LEASE_S, 10) == []


def test_an_instance_that_comes_again_is_new_and_its_study_gets_a_job(node: Node):
    node.settled()
    first, _ = node.finish(destinations=())
    node.remover(31 * DAY_S).remove_due()

    again = node.settled(at_s=32 * DAY_S)

    (study,) = node.studies.list()
    second = claim(node.jobs, after(32 * DAY_S))
    assert again.exists()
    assert (study.instances, study.removed_at, study.revision) == (1, None, 2)
    assert second.id != first.id
    assert [i.path for series in node.studies.load("1.2.3", second.revision).series for i in series.instances] == [again]


def test_a_late_image_is_removed_in_its_own_time_and_only_its_job_can_be_tried_again(node: Node):
    node.settled()
    first = claim(node.jobs)
    node.jobs.fail(first, "it did not work", NOW)
    node.remover(31 * DAY_S).remove_due()
    late = node.receive(2, at_s=32 * DAY_S)
    settle(node.studies, "1.2.3", new_job(), now=after(32 * DAY_S))
    second = claim(node.jobs, after(32 * DAY_S))
    node.jobs.fail(second, "nor did this", after(32 * DAY_S))

    node.remover(33 * DAY_S).remove_due()
    node.jobs.retry(second.id, after(33 * DAY_S))

    assert late.exists()
    with pytest.raises(Removed):
        node.jobs.retry(first.id, after(33 * DAY_S))


def test_an_instance_that_came_while_its_file_was_on_the_list_keeps_it(node: Node):
    """The window between the rows' going and the file's: the file is found under its name, and is what was received."""
    path = node.settled()
    node.finish(destinations=())
    remover = node.remover(31 * DAY_S)
    (removal,) = remover.due(10)
    assert remover.removals.remove(removal.stored, after(31 * DAY_S))
    assert index(node.studies, replace(received(), path=path), after(31 * DAY_S))

    remover.remove_due()

    assert path.exists()
    assert remover.files.waiting() == 0


def test_what_a_process_left_on_the_list_when_it_died_is_unlinked_by_the_next(node: Node):
    path = node.settled()
    node.finish(destinations=())
    dead = node.remover(31 * DAY_S)
    (removal,) = dead.due(10)
    dead.removals.remove(removal.stored, after(31 * DAY_S))
    assert path.exists()

    node.remover(31 * DAY_S).remove_due()

    assert not path.exists()


def test_a_file_that_cannot_be_unlinked_stays_on_the_list_and_costs_no_other_study_its_own(node: Node):
    path = node.settled("1.2.1")
    other = node.settled("1.2.2", at_s=1)
    for _ in range(2):
        node.finish(at_s=1, destinations=())
    path.unlink()
    path.mkdir()  # no file: unlink fails, as root's too
    rule = Retention(inputs_days=0, results_days=0, free_below_mb=ALL_THERE_IS, free_until_mb=ALL_THERE_IS)
    remover = node.remover(2, rule)
    (first, *_) = remover.due(10)
    remover.removals.remove(first.stored, after(2))

    removed = remover.remove_due()

    assert removed == []
    assert other.exists()
    assert remover.files.waiting() == 1


def test_conflicts_go_at_the_age_of_inputs(node: Node):
    node.settled()
    kept = node.written("spool/conflicts/1.2.3.9.1.0123456789abcdef.dcm")
    other = replace(received(content="other"), path=kept)
    assert node.studies.index_all([other], NOW).conflicts == [other]

    young = goes(node.remover(29 * DAY_S))
    old = goes(node.remover(31 * DAY_S))

    assert (young, old) == ([], [Kind.CONFLICT])
    assert not kept.exists()
    assert kept.parent.is_dir()
    assert node.studies.list()[0].conflicts == 0


def test_nothing_outside_the_node_s_folders_is_unlinked(node: Node, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere.dcm"
    elsewhere.write_bytes(b"somebody else's")
    index(node.studies, replace(received(), path=elsewhere), NOW)
    settle(node.studies, "1.2.3")

    removed = goes(node.remover(31 * DAY_S))

    assert removed == [Kind.INPUTS]
    assert elsewhere.exists()


RACES: dict[str, Callable[[Node, ClaimedJob], object]] = {
    "an instance that arrives": lambda node, job: index(node.studies, received(2), NOW),
    "a job that is tried again": lambda node, job: node.jobs.retry(job.id, NOW),
}


@pytest.mark.parametrize("rival", RACES)
def test_a_removal_and(node: Node, rival: str):
    """Whoever comes second sees what the first has done: PostgreSQL would let both through that only look."""
    node.settled()
    job = claim(node.jobs)
    node.jobs.fail(job, "it did not work", NOW)
    stored = Stored(Kind.INPUTS, "1.2.3", None, NOW, 1, 7)
    looked = threading.Event()

    def pause(_connection, _cursor, statement, *_):
        if statement.startswith("DELETE FROM instances") and not looked.is_set():
            looked.set()
            threading.Event().wait(0.3)  # the rival waits, or both are through

    event.listen(node.database.engine, "before_cursor_execute", pause)
    removal = threading.Thread(target=Removals(node.database).remove, args=[stored, NOW])
    removal.start()
    assert looked.wait(10)
    refused = None
    try:
        RACES[rival](node, job)
    except Removed as error:
        refused = error
    removal.join()

    (study,) = node.studies.list()
    if rival == "an instance that arrives":
        assert (study.instances, study.removed_at) == (1, None)
    else:
        assert refused
        assert node.jobs.show(job.id).summary.state == JobState.FAILED
