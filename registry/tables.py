"""The registry's own tables, in schema `registry`: versions of models, and the champion of each."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

INSTANT = sa.DateTime(timezone=True)

metadata = sa.MetaData(
    schema="registry",
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    },
)

versions = sa.Table(
    "versions",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("tier", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="candidate"),
    sa.Column("feature_set", sa.Text, nullable=False),
    sa.Column("metrics", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Column("verdict", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Column("card", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Column("artifact_path", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("training_as_of", INSTANT, nullable=False),
    sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Column("created_by", sa.Text, nullable=False, server_default="system"),
    sa.CheckConstraint("status IN ('candidate', 'published', 'refused', 'retired')", name="status"),
    sa.CheckConstraint("tier IN ('baseline', 'logistic', 'gbm')", name="tier"),
)
"""One row a trained version. `verdict` holds each gate with its words; `card` what the model card says."""

champions = sa.Table(
    "champions",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("previous_version", sa.Integer),
    sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("promoted_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Column("promoted_by", sa.Text, nullable=False, server_default="system"),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
)
"""Which version serves. `previous_version` is what `rollback` returns to."""

aliases = sa.Table(
    "aliases",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("alias", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("set_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Column("set_by", sa.Text, nullable=False, server_default="system"),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.CheckConstraint("alias IN ('challenger', 'shadow')", name="alias"),
)
"""Versions by another name than champion: the `challenger` scores silently and may take the champion's place, the
`shadow` scores silently and may not."""

shadows = sa.Table(
    "shadows",
    metadata,
    sa.Column("score_id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("entity_id", sa.Uuid, nullable=False),
    sa.Column("as_of", INSTANT, nullable=False),
    sa.Column("chances", JSONB, nullable=False),
    sa.Index("ix_shadows_model_version_as_of", "model", "version", "as_of"),
)
"""What a silent version said where the champion's score was stored: chances by horizon."""

reports = sa.Table(
    "reports",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("report", JSONB, nullable=False),
    sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
)
"""A day's look at what a version was served: drift of each feature, skew, calibration of what has matured."""
