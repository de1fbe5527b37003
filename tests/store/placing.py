"""A file's whole way into the spool, as an instance goes it."""

from cad_node.store.files import Placed, Spool, forget


def place(spool: Spool, study_uid: str, series_uid: str, sop_uid: str, *pieces: bytes) -> Placed:
    """Write, complete and place a file of these pieces."""
    final = spool.path_of(study_uid, series_uid, sop_uid)
    file = spool.arriving()
    try:
        for piece in pieces:
            file.write(piece)
        file.complete()
    except BaseException:
        file.discard()
        raise
    placed = spool.place(file.path, final)
    spool.sync([placed.path])
    forget(file.path)
    return placed
