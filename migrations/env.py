"""Alembic's entry: runs the migrations on the connection that cad_node.store.migrate hands in."""

from alembic import context

from cad_node.store.tables import Base

LOCK = 0x0CAD  # any number, the same in every process

connection = context.config.attributes["connection"]
if connection.dialect.name == "postgresql":  # SQLite's transaction is exclusive from its start
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
