"""Studies, series, instances, conflicts; jobs, their events, results and deliveries; the node's own UUID."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UID = sa.String(64)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "conflicts",
        sa.Column("id", KEY, nullable=False),
        sa.Column("study_instance_uid", UID, nullable=False),
        sa.Column("series_instance_uid", UID, nullable=False),
        sa.Column("sop_instance_uid", UID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_conflicts"),
        sa.UniqueConstraint("sop_instance_uid", "sha256", name="uq_conflicts_sop_instance_uid"),
    )
    op.create_index("ix_conflicts_study_instance_uid", "conflicts", ["study_instance_uid"])
    node = op.create_table(
        "node",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_node"),
    )
    op.bulk_insert(node, [{"id": 1, "uid": uuid.uuid4()}])  # who this node is, for ever
    op.create_table(
        "studies",
        sa.Column("study_instance_uid", UID, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("last_instance_at", TIME, nullable=False),
        sa.Column("association_ended_at", TIME, nullable=True),
        sa.Column("settled_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("study_instance_uid", name="pk_studies"),
    )
    op.create_index("ix_studies_received_at", "studies", ["received_at"])
    op.create_index("ix_studies_state", "studies", ["state"])
    op.create_table(
        "jobs",
        sa.Column("id", KEY, nullable=False),
        sa.Column("uid", sa.Uuid(), nullable=False),
        sa.Column("study_instance_uid", UID, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("series_instance_uid", UID, nullable=True),
        sa.Column("model_name", sa.String(64), nullable=False),
        sa.Column("model_version", sa.String(64), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason_code", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(255), nullable=True),
        sa.Column("lease_until", TIME, nullable=True),
        sa.Column("run_after", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("finished_at", TIME, nullable=True),
        sa.Column("timings_s", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["study_instance_uid"], ["studies.study_instance_uid"], name="fk_jobs_study_instance_uid"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("study_instance_uid", "revision", "model_name", "model_version", name="uq_jobs_study_instance_uid"),
        sa.UniqueConstraint("uid", name="uq_jobs_uid"),
    )
    op.create_index("ix_jobs_claim", "jobs", ["state", sa.desc("priority"), "id"])
    op.create_index("ix_jobs_state_id", "jobs", ["state", "id"])
    op.create_table(
        "series",
        sa.Column("study_instance_uid", UID, nullable=False),
        sa.Column("series_instance_uid", UID, nullable=False),
        sa.Column("modality", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["study_instance_uid"], ["studies.study_instance_uid"], name="fk_series_study_instance_uid"),
        sa.PrimaryKeyConstraint("study_instance_uid", "series_instance_uid", name="pk_series"),
    )
    op.create_table(
        "instances",
        sa.Column("sop_instance_uid", UID, nullable=False),
        sa.Column("study_instance_uid", UID, nullable=False),
        sa.Column("series_instance_uid", UID, nullable=False),
        sa.Column("sop_class_uid", UID, nullable=False),
        sa.Column("transfer_syntax_uid", UID, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("header", sa.JSON(), nullable=False),
        sa.Column("is_result", sa.Boolean(), nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["study_instance_uid", "series_instance_uid"],
            ["series.study_instance_uid", "series.series_instance_uid"],
            name="fk_instances_study_instance_uid",
        ),
        sa.PrimaryKeyConstraint("sop_instance_uid", name="pk_instances"),
    )
    op.create_index("ix_instances_study_instance_uid_series_instance_uid", "instances", ["study_instance_uid", "series_instance_uid"])
    op.create_table(
        "results",
        sa.Column("id", KEY, nullable=False),
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("builder", sa.String(64), nullable=False),
        sa.Column("sop_class_uid", UID, nullable=False),
        sa.Column("sop_instance_uid", UID, nullable=False),
        sa.Column("series_instance_uid", UID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_results_job_id"),
        sa.PrimaryKeyConstraint("id", name="pk_results"),
        sa.UniqueConstraint("job_id", "builder", name="uq_results_job_id"),
        sa.UniqueConstraint("sop_instance_uid", name="uq_results_sop_instance_uid"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", KEY, nullable=False),
        sa.Column("result_id", KEY, nullable=False),
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("destination", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("sender", sa.String(255), nullable=True),
        sa.Column("lease_until", TIME, nullable=True),
        sa.Column("run_after", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("delivered_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_deliveries_job_id"),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_deliveries_result_id"),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint("result_id", "destination", name="uq_deliveries_result_id"),
    )
    op.create_index("ix_deliveries_claim", "deliveries", ["state", "destination", "id"])
    op.create_index("ix_deliveries_state_id", "deliveries", ["state", "id"])
    op.create_index("ix_deliveries_job_id", "deliveries", ["job_id"])
    op.create_table(
        "job_events",
        sa.Column("id", KEY, nullable=False),
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("delivery_id", KEY, nullable=True),
        sa.Column("at", TIME, nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("from_state", sa.String(16), nullable=False),
        sa.Column("to_state", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name="fk_job_events_delivery_id"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_events_job_id"),
        sa.PrimaryKeyConstraint("id", name="pk_job_events"),
    )
    op.create_index("ix_job_events_job_id_id", "job_events", ["job_id", "id"])


def downgrade() -> None:
    op.drop_table("job_events")
    op.drop_table("deliveries")
    op.drop_table("results")
    op.drop_table("instances")
    op.drop_table("series")
    op.drop_table("jobs")
    op.drop_table("studies")
    op.drop_table("node")
    op.drop_table("conflicts")
