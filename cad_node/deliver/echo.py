"""C-ECHO as SCU: is the peer there, and does it know us?"""

from pynetdicom.ae import ApplicationEntity
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import

from cad_node.errors import PacsUnreachable


def echo(host: str, port: int, called_ae_title: str, calling_ae_title: str, timeout_s: float) -> None:
    """Verify the peer, PS3.4 A. Raises PacsUnreachable saying how far it came."""
    ae = ApplicationEntity(ae_title=calling_ae_title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = timeout_s
    ae.add_requested_context(Verification)
    assoc = ae.associate(host, port, ae_title=called_ae_title)
    peer = f"{called_ae_title} at {host}:{port}"
    if assoc.is_rejected:
        raise PacsUnreachable(f"{peer} rejects {calling_ae_title}; is this AE title configured there?")
    if not assoc.is_established:
        raise PacsUnreachable(f"{peer}: no association; is it running, and are host and port right?")
    status = assoc.send_c_echo()
    assoc.release()
    if status.get("Status") != 0x0000:
        raise PacsUnreachable(f"{peer} answers C-ECHO with {status.get('Status', 'nothing')}")
