"""Who this node is."""

import uuid

from sqlalchemy import select

from cad_node.store.database import Database
from cad_node.store.tables import NodeRow


def node_uid(database: Database) -> uuid.UUID:
    """The random UUID that the first `cad-node db upgrade` gave this node; it never changes."""
    with database.reading() as session:
        return session.scalars(select(NodeRow.uid)).one()
