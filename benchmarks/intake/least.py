"""The least that is durable, in C: what this disk and these senders allow whoever writes a file for each instance.

python -m benchmarks.intake.least PORT FOLDER KIND: a process for each association, as storescp --fork has it.
"""

import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import ImplementationClassUIDNotification, MaximumLengthNotification
from pynetdicom.presentation import PresentationContext

from cad_node.implementation import IMPLEMENTATION_CLASS_UID

COMPILER = shutil.which("gcc") or shutil.which("cc")
_MAXIMUM_PDU_BYTES = 131_072
_RELEASED = bytes([6, 0, 0, 0, 0, 4, 0, 0, 0, 0])


def _built(folder: Path) -> Path:
    """The shared object."""
    assert COMPILER is not None
    library = folder / "least.so"
    subprocess.run([COMPILER, "-O2", "-shared", "-fPIC", "-o", library, Path(__file__).with_name("least.c")], check=True)
    return library


def main() -> None:
    port, folder, kind = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    library = ctypes.CDLL(str(_built(folder.parent)))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.create_server(("127.0.0.1", port), backlog=64) as server:
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                if _accept(connection):
                    library.receive(connection.fileno(), str(folder).encode(), kind)
                    connection.sendall(_RELEASED)
                os._exit(0)
            connection.close()


def _accept(connection: socket.socket) -> bool:
    """Answer an association request; False: none came."""
    header = connection.recv(6, socket.MSG_WAITALL)
    if len(header) < 6:
        return False
    request = A_ASSOCIATE_RQ()
    request.decode(header + connection.recv(struct.unpack(">BxL", header)[1], socket.MSG_WAITALL))
    answer = request.to_primitive()
    answer.result, answer.result_source = 0, 1
    answer.presentation_context_definition_results_list = [
        _accepted(context, ExplicitVRLittleEndian if ExplicitVRLittleEndian in context.transfer_syntax else context.transfer_syntax[0])
        for context in answer.presentation_context_definition_list
    ]
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = _MAXIMUM_PDU_BYTES
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    answer.user_information = [length, implementation]
    acceptance = A_ASSOCIATE_AC()
    acceptance.from_primitive(answer)
    connection.sendall(acceptance.encode())
    return True


def _accepted(proposed: PresentationContext, transfer_syntax: str) -> PresentationContext:
    context = PresentationContext()
    context.context_id, context.abstract_syntax = proposed.context_id, proposed.abstract_syntax
    context.transfer_syntax, context.result = [transfer_syntax], 0
    return context


if __name__ == "__main__":
    main()
