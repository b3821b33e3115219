"""Imports: files of others go in, as a job that can be watched, paused, resumed after a kill, and undone."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from service.db import metadata

# Tables ------------------------------------------------------------------------------------------------------------

faults = sa.Table(
    "import_faults",
    metadata,
    sa.Column("job_id", sa.Uuid, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("line", sa.BigInteger, nullable=False),
    sa.Column("column", sa.Text, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)

rows = sa.Table(
    "import_rows",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("file", sa.Text, primary_key=True),
    sa.Column("external_id", sa.Text, primary_key=True),
    sa.Column("resource", sa.Text, nullable=False),
    sa.Column("record_id", sa.Uuid, nullable=False),
    sa.Column("version", sa.Integer),
    sa.Column("line", sa.BigInteger, nullable=False),
    sa.Column("cells", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Index("ix_import_rows_record_id", "record_id"),
)

files = sa.Table(
    "import_files",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("file", sa.Text, primary_key=True),
    sa.Column("columns", ARRAY(sa.Text), nullable=False),
)
