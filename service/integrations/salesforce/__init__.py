"""Salesforce's data export: its CSV files in, with history as known then, and out again cell by cell."""

from collections.abc import Iterator
from pathlib import Path

from service.importing.records import Context, Fault, Item, Record
from service.integrations.files import interleaved
from service.integrations.salesforce import reading, shapes
from service.integrations.salesforce.deals import deals, pipeline, stages_of
from service.integrations.salesforce.reading import SOURCE, Files

__all__ = ["SOURCE", "headers", "read"]


def read(folder: Path, context: Context) -> Iterator[Item]:
    """All records of the files that are there, and what was mended, kept or is wrong."""
    faults: list[Fault] = []
    yield from interleaved(faults, _records(Files(folder, context, faults)))


def _records(files: Files) -> Iterator[Record]:
    files.ids["managers"] = reading.managers(files)
    stages = stages_of(files)
    yield from reading.simple(files, shapes.USER, reading.user)
    yield from reading.simple(files, shapes.PRODUCT, reading.product)
    yield from reading.price_books(files)
    yield from reading.simple(files, shapes.ACCOUNT, reading.account)
    yield from reading.simple(files, shapes.CONTACT)
    yield from pipeline(stages)
    yield from deals(files, stages)
    yield from reading.simple(files, shapes.LEAD, reading.lead)
    yield from reading.simple(files, shapes.CONTACT_ROLE, reading.contact_role)
    yield from reading.simple(files, shapes.LINE, reading.line_item)
    yield from reading.simple(files, shapes.TASK, reading.task)
    yield from reading.simple(files, shapes.EVENT, reading.event)


def headers(folder: Path, context: Context) -> list[tuple[str, list[str]]]:
    """Each file with its columns, for the export that gives them back."""
    return Files(folder, context, []).files()
