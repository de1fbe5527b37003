"""What the objects of a run came to need: several of a kind, editions of one, and whether it passed the checks."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

EMPTY = sa.text("''")
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("superseded_by", KEY, nullable=True))
    with op.batch_alter_table("results") as results:
        results.add_column(sa.Column("edition", sa.String(255), server_default=EMPTY, nullable=False))
        results.add_column(sa.Column("number", sa.Integer(), server_default="1", nullable=False))
        results.add_column(sa.Column("fault", sa.Text(), server_default=EMPTY, nullable=False))
        results.drop_constraint("uq_results_job_id", type_="unique")
        results.create_unique_constraint("uq_results_job_id", ["job_id", "builder", "edition", "number"])


def downgrade() -> None:
    op.drop_column("jobs", "superseded_by")
    op.execute("UPDATE deliveries SET state = 'failed' WHERE state IN ('replaced', 'held')")
    op.execute("DELETE FROM deliveries WHERE result_id IN (SELECT id FROM results WHERE number > 1 OR edition <> '')")
    op.execute("DELETE FROM results WHERE number > 1 OR edition <> ''")
    with op.batch_alter_table("results") as results:
        results.drop_constraint("uq_results_job_id", type_="unique")
        results.create_unique_constraint("uq_results_job_id", ["job_id", "builder"])
        results.drop_column("fault")
        results.drop_column("number")
        results.drop_column("edition")
