"""What the intake came to need: which files were removed, and which still have to be."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UID = sa.String(64)
TIME = sa.DateTime(timezone=True)
STILL_THERE = sa.text("removed_at IS NULL")


def upgrade() -> None:
    _upgrade_retention()


def downgrade() -> None:
    _downgrade_retention()


def _upgrade_retention() -> None:
    op.add_column("studies", sa.Column("removed_at", TIME, nullable=True))
    op.add_column("studies", sa.Column("removed_revision", sa.Integer(), server_default="0", nullable=False))
    op.create_index("ix_studies_removable", "studies", ["last_instance_at"], sqlite_where=STILL_THERE, postgresql_where=STILL_THERE)
    op.add_column("results", sa.Column("removed_at", TIME, nullable=True))
    op.create_index("ix_results_removable", "results", ["created_at"], sqlite_where=STILL_THERE, postgresql_where=STILL_THERE)
    op.create_table(
        "files_to_remove",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("asked_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("path", name="pk_files_to_remove"),
    )


def _downgrade_retention() -> None:
    op.drop_table("files_to_remove")
    op.drop_index("ix_results_removable", "results")
    op.drop_column("results", "removed_at")
    op.drop_index("ix_studies_removable", "studies")
    op.drop_column("studies", "removed_revision")
    op.drop_column("studies", "removed_at")
