"""Whether the rate stays when the index has grown: instances a second with empty tables, and with a million rows.

python -m benchmarks.intake.growth [--rows 1000000] [--runs 7] [--database URL] [--json FILE]
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track
from sqlalchemy import delete, insert

from benchmarks.intake.instances import ct_instances
from benchmarks.intake.receivers import Receiver, running
from benchmarks.intake.senders import send
from cad_node.lifecycle import StudyState
from cad_node.receive.header import Header, read_header
from cad_node.store.database import Database
from cad_node.store.migrate import upgrade
from cad_node.store.tables import InstanceRow, SeriesRow, StudyRow

INSTANCES = 300
PER_SERIES = 300
_META_START = 144  # bytes of a file before its File Meta Information, PS3.10 7.1


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.intake.growth", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="instances in the index of the node that has grown")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--database", default="", help="an empty PostgreSQL database for the grown index; default: SQLite")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="cad-node-growth-") as name:
        folder = Path(name)
        files = sorted(ct_instances(folder / "ct", INSTANCES).iterdir())
        url = arguments.database or f"sqlite:///{folder / 'grown.db'}"
        upgrade(url)
        database = Database(url)
        rates: dict[str, list[float]] = {"empty": [], f"{arguments.rows:,} rows": []}
        for rows, grown in ((0, "empty"), (arguments.rows, f"{arguments.rows:,} rows")):
            _fill(database, rows, files[0])
            _settle(database)
            for number in track(range(arguments.runs), grown, console=console):
                rates[grown].append(_rate(url, folder, f"run{number} {grown}"))
                _forget(database, files)
        database.dispose()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for rows_there, median in medians.items():
        console.print(f"{rows_there}: {median:.0f} instances/s, ratio {median / medians['empty']:.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"database": url.partition(":")[0], "instances_per_s": rates}, indent=2), encoding="utf-8")


def _rate(url: str, folder: Path, run: str) -> float:
    node = Receiver("cad_node", partial(_node, url), lambda _: INSTANCES)
    with running(node, folder / run, "1") as process:
        seconds = send(folder / "ct", process.port, 1, "1")
    return INSTANCES / seconds


def _node(url: str, port: int, folder: Path) -> Sequence[str]:
    settings = f'[node]\ndata_dir = "{folder}"\n[database]\nurl = "{url}"\n[scp]\nhost = "127.0.0.1"\nport = {port}\n'
    (folder / "cad_node.toml").write_text(settings, encoding="utf-8")
    return [sys.executable, "-m", "cad_node.cli.processes", "scp"]


def _forget(database: Database, files: Sequence[Path]) -> None:
    study = _header_of(files[0]).study_instance_uid
    with database.transaction() as session:
        for row in (InstanceRow, SeriesRow, StudyRow):
            session.execute(delete(row).where(row.study_instance_uid == study))


def _fill(database: Database, rows: int, example: Path) -> None:
    """As many rows as a node has after years, with headers as long as real ones."""
    header = dict(_header_of(example).index)
    for start in track(range(0, rows, PER_SERIES * 20), "filling the index", disable=not rows):
        with database.transaction() as session:
            for row, values in _rows(start, min(PER_SERIES * 20, rows - start), header):
                session.execute(insert(row), values)


def _settle(database: Database) -> None:
    """Write out what the filling left behind: rows that come over years find a server that has long done so."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if database.engine.dialect.name == "postgresql":
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("CHECKPOINT")


def _rows(start: int, count: int, header: dict[str, object]) -> Iterator[tuple[type, list[dict[str, object]]]]:
    now = datetime.now(UTC)
    series = [f"2.25.{start // PER_SERIES + number}" for number in range(-(-count // PER_SERIES))]
    times = {"last_instance_at": now}
    yield (
        StudyRow,
        [
            {"study_instance_uid": f"{uid}.1", "revision": 1, "state": StudyState.COMPLETE, "received_at": now, "settled_at": now, **times}
            for uid in series
        ],
    )
    yield SeriesRow, [{"study_instance_uid": f"{uid}.1", "series_instance_uid": uid, "modality": "CT", **times} for uid in series]
    yield (
        InstanceRow,
        [
            {
                "sop_instance_uid": f"2.25.{(start + number) * 7919 % 1_000_003_000_007}.{start + number}",
                "study_instance_uid": f"{series[number // PER_SERIES]}.1",
                "series_instance_uid": series[number // PER_SERIES],
                "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
                "transfer_syntax_uid": "1.2.840.10008.1.2.1",
                "revision": 1,
                "path": f"/var/lib/cad_node/spool/instances/{start + number}.dcm",
                "digest": f"blake3:{start + number:064x}",
                "header": header,
                "is_result": False,
                "received_at": now,
            }
            for number in range(count)
        ],
    )


def _header_of(file: Path) -> Header:
    content = file.read_bytes()
    offset = _META_START + int.from_bytes(content[_META_START - 4 : _META_START], "little")
    return read_header(content[offset:], "1.2.840.10008.1.2.1")


if __name__ == "__main__":
    main()
