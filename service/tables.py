"""Every module that defines tables of the service: importing this makes `db.metadata` complete, for migrations."""

from service import db, idempotency, jobs, ledger
from service.domains import sessions

metadata = db.metadata

MODULES = (idempotency, jobs, ledger, sessions)
