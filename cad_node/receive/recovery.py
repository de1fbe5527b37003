"""What a process that died had stored, but not indexed: it was acknowledged, so it is indexed now."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pydicom.filereader import read_file_meta_info

from cad_node.log import get_logger
from cad_node.receive.header import Header, read_header
from cad_node.receive.index_queue import Arrived, IndexQueue
from cad_node.receive.instance import may_be_result
from cad_node.store.spool import Spool

log = get_logger()

_HEAD_BYTES = 144  # preamble, prefix and the element that says how long the File Meta Information is, PS3.10 7.1
_BEGINNING_BYTES = 1 << 20
_INDEXED_WITHIN_S = 60.0


def index_what_was_left(spool: Spool, index: IndexQueue, clock: Callable[[], datetime]) -> int:
    """Index every complete instance that dead processes left in arriving/. Returns how many."""
    tickets = []
    for path, digest in spool.left_behind():
        try:
            header, transfer_syntax_uid, calling_ae_title = _read(path)
            final = spool.path_of(header.study_instance_uid, header.series_instance_uid, header.sop_instance_uid)
            arrived = Arrived(header, transfer_syntax_uid, path, digest, final, clock(), may_be_result(header), calling_ae_title)
            tickets.append(index.put(arrived))
        except Exception:  # one that can't be read stays, and keeps no other from the index
            log.exception("instance.not_recovered", file=path.name)
    if tickets:
        log.warning("instances.recovered", instances=len(tickets))
        index.wait_for(tickets[-1], _INDEXED_WITHIN_S)
    return len(tickets)


def _read(path: Path) -> tuple[Header, str, str]:
    meta = read_file_meta_info(path)
    offset = _HEAD_BYTES + meta.FileMetaInformationGroupLength
    with path.open("rb") as file:

        def read_at(place: int, size: int) -> bytes:
            file.seek(offset + place)
            return file.read(size)

        size = path.stat().st_size - offset
        header = read_header(read_at(0, _BEGINNING_BYTES), str(meta.TransferSyntaxUID), size, read_at)
    return header, str(meta.TransferSyntaxUID), str(meta.get("SourceApplicationEntityTitle") or "")
