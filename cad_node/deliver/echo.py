"""C-ECHO as SCU: is the peer there, and does it know us?"""

from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import

from cad_node.deliver.association import Association, Peer
from cad_node.deliver.messages import Context
from cad_node.errors import PacsUnreachable
from cad_node.settings import Destination


def echo(to: Destination, calling_ae_title: str, timeout_s: float) -> None:
    """Verify the peer, PS3.4 A. Raises PacsUnreachable or AssociationRejected, saying how far it came."""
    peer = Peer.of(to, calling_ae_title, timeout_s)
    context = Context(str(Verification), ImplicitVRLittleEndian)
    association = Association(peer, [context])
    try:
        status = association.echo(context) if association.accepts(context) else None
    except BaseException:
        association.abort()
        raise
    association.release()
    if status is None:
        raise PacsUnreachable(f"{peer} takes the association, but not C-ECHO")
    if status != 0x0000:
        raise PacsUnreachable(f"{peer} answers C-ECHO with 0x{status:04X}")
