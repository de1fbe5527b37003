"""What can be configured, one file a concern; `settings.py` reads it all."""

from cad_node.settings.audit import Audit, Collector
from cad_node.settings.destinations import Destination, Source
from cad_node.settings.listener import Completeness, Peer, Scp, ServiceName
from cad_node.settings.node import Commitment, Database, Log, Models, Node, Queue, Retention, Sender, Worker
from cad_node.settings.settings import Settings, read_settings
from cad_node.settings.tls import ListenerTls, PeerTls

__all__ = [
    "Audit",
    "Collector",
    "Commitment",
    "Completeness",
    "Database",
    "Destination",
    "ListenerTls",
    "Log",
    "Models",
    "Node",
    "Peer",
    "PeerTls",
    "Queue",
    "Retention",
    "Scp",
    "Sender",
    "ServiceName",
    "Settings",
    "Source",
    "Worker",
    "read_settings",
]
