"""The digest of what was received names its kind: BLAKE3 from now on; that of what is there already is SHA-256."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = ("instances", "conflicts")


def upgrade() -> None:
    for table in TABLES:
        with op.batch_alter_table(table) as changed:
            changed.alter_column("sha256", new_column_name="digest", existing_type=sa.String(64), type_=sa.String(80), nullable=False)
        rows = _rows(table)
        op.execute(sa.update(rows).values(digest=sa.literal("sha256:") + rows.c.digest))


def downgrade() -> None:
    """What has come since can't be checked any more, nor after another upgrade: its digest is of another kind, and no longer says so."""
    for table in TABLES:
        rows = _rows(table)
        op.execute(sa.update(rows).values(digest=sa.func.substr(rows.c.digest, sa.func.length(rows.c.digest) - 63)))
        with op.batch_alter_table(table) as changed:
            changed.alter_column("digest", new_column_name="sha256", existing_type=sa.String(80), type_=sa.String(64), nullable=False)


def _rows(table: str) -> sa.TableClause:
    return sa.table(table, sa.column("digest", sa.String()))
