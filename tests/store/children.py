"""What the tests of the store run in processes of their own, to race them or to kill them."""

import time
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

from sqlalchemy import event

from cad_node.objects import Profile
from cad_node.store.database import Database
from cad_node.store.deliveries import Deliveries
from cad_node.store.delivery_rows import Substitute
from cad_node.store.files import write_durably
from cad_node.store.jobs import Jobs
from cad_node.store.migrate import upgrade
from cad_node.store.spool import Spool
from cad_node.store.studies import Studies
from tests.store.arrivals import LEASE_S, MODEL, NOW, claim, index, received, results
from tests.store.placing import fill, place


def upgrade_beside_the_others(url: str, _name: str, start: Barrier, out: Connection) -> None:
    """Upgrade the database."""
    start.wait()
    upgrade(url)
    out.send("upgraded")


def claim_everything(url: str, worker: str, start: Barrier, out: Connection) -> None:
    """Claim jobs until there are none; reports their ids."""
    database = Database(url)
    jobs = Jobs(database)
    start.wait()
    claimed = []
    while job := jobs.claim(worker, [MODEL], NOW, LEASE_S):
        claimed.append(job.id)
    out.send(claimed)
    database.dispose()


def claim_deliveries(url: str, sender: str, start: Barrier, out: Connection) -> None:
    """Claim deliveries by threes until there are none; reports their ids."""
    database = Database(url)
    deliveries = Deliveries(database)
    start.wait()
    claimed = []
    while batch := deliveries.claim("pacs", sender, NOW, LEASE_S, 3):
        assert len(batch) <= 3
        claimed += [held.id for held in batch]
    out.send(claimed)
    database.dispose()


def replace_a_delivery(url: str, sender: str, start: Barrier, out: Connection) -> None:
    """Claim one delivery, and have a presentation state go instead; reports what goes."""
    database = Database(url)
    deliveries = Deliveries(database)
    (held,) = deliveries.claim("pacs", sender, NOW, LEASE_S, 1)
    start.wait()
    out.send(deliveries.replace(held, [Substitute("gsps", "")], "pacs doesn't take it", NOW))
    database.dispose()


def index_instances(url: str, _name: str, start: Barrier, out: Connection) -> None:
    """Index the same 30 instances as everyone else; reports how many were new."""
    database = Database(url)
    studies = Studies(database)
    start.wait()
    out.send([number for number in range(30) if index(studies, received(number), NOW)])
    database.dispose()


def finish_and_hang(url: str, statement: str, out: Connection) -> None:
    """Claim a job and hang inside finish(), right after the first statement that begins so."""
    database = Database(url)
    jobs = Jobs(database)
    job = claim(jobs, worker="victim")

    def hang(_connection, _cursor, executed, *_):
        if executed.startswith(statement):
            out.send(job.id)
            time.sleep(600)

    event.listen(database.engine, "after_cursor_execute", hang)
    jobs.finish(job, results(job), {"pacs": Profile(("seg", "sr"))}, NOW)


def place_and_hang(root: Path, sop_uid: str, out: Connection) -> None:
    """Hang in the middle of a file's content."""
    file = Spool(root, 0).arriving()
    file.write(b"half of it" * 10_000)
    out.send(f"half of {sop_uid} is written")
    time.sleep(600)


def complete_and_hang(root: Path, content: bytes, out: Connection) -> None:
    """Hang after a file is complete, before it is placed."""
    file = Spool(root, 0).arriving()
    fill(file, content)
    out.send("complete")
    time.sleep(600)


def write_and_hang(path: Path, out: Connection) -> None:
    """Hang before a result gets its name."""

    def hang(_folder: Path, _path: Path) -> None:
        out.send("written")
        time.sleep(600)

    Path.replace = hang  # type: ignore[method-assign]
    write_durably(path, b"half of it" * 10_000)


def place_and_hang_before_the_index(url: str, root: Path, content: bytes, out: Connection) -> None:
    """Place a file and hang at the first statement that would index it."""
    database = Database(url)
    placed = place(Spool(root, 0), "1.2.3", "1.2.3.1", "1.2.3.9.1", content)

    def hang(*_: object) -> None:
        out.send(placed.path)
        time.sleep(600)

    event.listen(database.engine, "before_cursor_execute", hang)
    index(Studies(database), replace(received(1), path=placed.path, digest=placed.digest), NOW)


def place_many(root: Path, content: str, start: Barrier, out: Connection) -> None:
    """Place the same 50 UIDs as everyone else, with a content of one's own; reports the outcomes."""
    spool = Spool(root, 0)
    start.wait()
    out.send([place(spool, "1.2.3", "1.2.3.1", f"1.2.3.1.{n}", content.encode() * 1000).outcome for n in range(50)])
