"""What the intake came to need: evidence that what a model needs has come, which files were removed, and which still have to be."""

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
    _upgrade_commitment()
    _upgrade_retention()
    _upgrade_completeness()


def downgrade() -> None:
    _downgrade_completeness()
    _downgrade_commitment()
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


def _upgrade_commitment() -> None:
    op.add_column("deliveries", sa.Column("asks", sa.Integer(), server_default="0", nullable=False))
    op.add_column("deliveries", sa.Column("resends", sa.Integer(), server_default="0", nullable=False))
    op.add_column("deliveries", sa.Column("committed_at", TIME, nullable=True))
    op.create_table(
        "confirmation_requests",
        sa.Column("transaction_uid", UID, nullable=False),
        sa.Column("delivery_id", KEY, nullable=False),
        sa.Column("asked_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name="fk_confirmation_requests_delivery_id"),
        sa.PrimaryKeyConstraint("transaction_uid", "delivery_id", name="pk_confirmation_requests"),
    )
    op.create_table(
        "commitment_requests",
        sa.Column("id", KEY, nullable=False),
        sa.Column("calling_ae_title", sa.String(16), nullable=False),
        sa.Column("transaction_uid", UID, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("run_after", TIME, nullable=False),
        sa.Column("requested_at", TIME, nullable=False),
        sa.Column("reported_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_commitment_requests"),
        sa.UniqueConstraint("calling_ae_title", "transaction_uid", name="uq_commitment_requests_calling_ae_title"),
    )
    op.create_index("ix_job_events_delivery_id", "job_events", ["delivery_id"])  # SQLite looks there when deliveries are inserted
    op.create_index("ix_commitment_requests_state_run_after", "commitment_requests", ["state", "run_after"])
    op.create_table(
        "commitment_instances",
        sa.Column("request_id", KEY, nullable=False),
        sa.Column("sop_instance_uid", UID, nullable=False),
        sa.Column("sop_class_uid", UID, nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["commitment_requests.id"], name="fk_commitment_instances_request_id"),
        sa.PrimaryKeyConstraint("request_id", "sop_instance_uid", "sop_class_uid", name="pk_commitment_instances"),
    )


def _downgrade_commitment() -> None:
    op.drop_index("ix_job_events_delivery_id", "job_events")
    op.drop_table("commitment_instances")
    op.drop_table("commitment_requests")
    op.drop_table("confirmation_requests")
    op.drop_column("deliveries", "committed_at")
    op.drop_column("deliveries", "resends")
    op.drop_column("deliveries", "asks")


def _upgrade_completeness() -> None:
    op.add_column("series", sa.Column("last_instance_at", TIME, nullable=True))
    op.add_column("series", sa.Column("association_ended_at", TIME, nullable=True))
    op.add_column("series", sa.Column("calling_ae_title", sa.String(16), nullable=True))
    op.execute(_LAST_INSTANCES)
    op.execute(_ENDED_ASSOCIATIONS)
    op.drop_column("studies", "association_ended_at")
    op.add_column("jobs", sa.Column("evidence", sa.String(32), nullable=True))
    op.create_table(
        "performed_steps",
        sa.Column("sop_instance_uid", UID, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("images", sa.JSON(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("sop_instance_uid", name="pk_performed_steps"),
    )
    op.create_table(
        "performed_step_studies",
        sa.Column("study_instance_uid", UID, nullable=False),
        sa.Column("sop_instance_uid", UID, nullable=False),
        sa.ForeignKeyConstraint(
            ["sop_instance_uid"], ["performed_steps.sop_instance_uid"], name="fk_performed_step_studies_sop_instance_uid"
        ),
        sa.PrimaryKeyConstraint("study_instance_uid", "sop_instance_uid", name="pk_performed_step_studies"),
    )


def _downgrade_completeness() -> None:
    op.drop_table("performed_step_studies")
    op.drop_table("performed_steps")
    op.drop_column("jobs", "evidence")
    op.execute("UPDATE studies SET state = 'receiving' WHERE state = 'started'")
    op.add_column("studies", sa.Column("association_ended_at", TIME, nullable=True))
    op.drop_column("series", "calling_ae_title")
    op.drop_column("series", "association_ended_at")
    op.drop_column("series", "last_instance_at")


_LAST_INSTANCES = """
UPDATE series SET last_instance_at = (
    SELECT max(received_at) FROM instances
    WHERE instances.study_instance_uid = series.study_instance_uid
    AND instances.series_instance_uid = series.series_instance_uid
    AND NOT instances.is_result
)"""
_ENDED_ASSOCIATIONS = """
UPDATE series SET association_ended_at = (
    SELECT association_ended_at FROM studies WHERE studies.study_instance_uid = series.study_instance_uid
)"""
