"""What can be configured, one file a concern; `settings.py` reads it all."""

from cad_node.settings.audit import Audit, Collector
from cad_node.settings.destinations import (
    AnyDestination,
    AskedDestination,
    Destination,
    FolderDestination,
    S3Destination,
    StowDestination,
)
from cad_node.settings.listener import Completeness, Peer, Scp, ServiceName
from cad_node.settings.node import Commitment, Database, Log, Models, Node, Queue, Retention, Sender, Worker
from cad_node.settings.peer import Source
from cad_node.settings.settings import Settings, read_settings
from cad_node.settings.tls import ListenerTls, PeerTls
from cad_node.settings.web import OAuth2, WebAccess

__all__ = [
    "AnyDestination",
    "AskedDestination",
    "Audit",
    "Collector",
    "Commitment",
    "Completeness",
    "Database",
    "Destination",
    "FolderDestination",
    "ListenerTls",
    "Log",
    "Models",
    "Node",
    "OAuth2",
    "Peer",
    "PeerTls",
    "Queue",
    "Retention",
    "S3Destination",
    "Scp",
    "Sender",
    "ServiceName",
    "Settings",
    "Source",
    "StowDestination",
    "WebAccess",
    "Worker",
    "read_settings",
]
