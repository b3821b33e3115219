"""Which file of Salesforce is which resource of ours, column by column, in both directions."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from service.integrations.salesforce import codecs as c
from service.integrations.salesforce.codecs import Codec

Row = Mapping[str, Any]


class Column(msgspec.Struct, frozen=True):
    """A column and the field (`billing_address.city`: a part) that it is. `table`: it points at a record of that table."""

    name: str
    field: str
    codec: Codec = c.TEXT
    table: str = ""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """`derived`: columns that follow from the record, so that they are right again after a change; `header`: the columns
    of a file that no import has told. `others`: names under which the file comes too. `where`: which records are in it."""

    file: str
    table: str
    columns: tuple[Column, ...]
    derived: Mapping[str, Callable[[Row], str]] = {}
    others: tuple[str, ...] = ()
    where: str = ""

    @property
    def header(self) -> list[str]:
        found = [column.name for column in self.columns]
        return [*found, *(name for name in self.derived if name not in found)]


def _ref(name: str, field: str, table: str) -> Column:
    return Column(name, field, c.ID, table)


def _address(prefix: str, field: str) -> tuple[Column, ...]:
    parts = {"Street": "street", "City": "city", "State": "state", "PostalCode": "postal_code"}
    found = [Column(f"{prefix}{name}", f"{field}.{part}") for name, part in parts.items()]
    return (*found, Column(f"{prefix}Country", f"{field}.country", c.COUNTRY))


ID = Column("Id", "external_id", c.ID)
CREATED = Column("CreatedDate", "created_at", c.INSTANT)
OWNER = _ref("OwnerId", "owner_id", "users")
CURRENCY = Column("CurrencyIsoCode", "currency")


def _joined(row: Row) -> str:
    return " ".join(part for part in (row.get("first_name"), row.get("last_name")) if part)


USER = Shape(
    file="User",
    table="users",
    columns=(
        ID, Column("Name", "name"), Column("Email", "email"), Column("Title", "title"),
        Column("IsActive", "is_active", c.BOOL), _ref("ManagerId", "manager_id", "users"),
        Column("TimeZoneSidKey", "time_zone"), Column("LocaleSidKey", "locale"), CREATED,
    ),
    derived={
        "FirstName": lambda row: str(row.get("name") or "").rpartition(" ")[0],
        "LastName": lambda row: str(row.get("name") or "").rpartition(" ")[2],
    },
)  # fmt: skip
PRODUCT = Shape(
    file="Product2",
    table="products",
    columns=(
        ID, Column("Name", "name"), Column("ProductCode", "code"), Column("Description", "description"),
        Column("Family", "family"), Column("IsActive", "is_active", c.BOOL), CREATED,
    ),
    others=("Product",),
)  # fmt: skip
PRICE_BOOK = Shape(
    file="Pricebook2",
    table="price_books",
    columns=(
        ID, Column("Name", "name"), Column("Description", "description"), Column("IsActive", "is_active", c.BOOL),
        CURRENCY, CREATED,
    ),
    others=("Pricebook",),
)  # fmt: skip
ACCOUNT = Shape(
    file="Account",
    table="accounts",
    columns=(
        ID, Column("Name", "name"), _ref("ParentId", "parent_id", "accounts"), Column("Type", "type", c.ACCOUNT_TYPE),
        Column("Industry", "industry"), Column("Website", "website"), Column("Phone", "phone"),
        Column("Description", "description"), Column("NumberOfEmployees", "number_of_employees", c.WHOLE),
        Column("AnnualRevenue", "annual_revenue", c.NUMBER), CURRENCY, Column("AccountSource", "lead_source"), OWNER,
        *_address("Billing", "billing_address"), *_address("Shipping", "shipping_address"), CREATED,
    ),
)  # fmt: skip
CONTACT = Shape(
    file="Contact",
    table="contacts",
    columns=(
        ID, _ref("AccountId", "account_id", "accounts"), Column("LastName", "last_name"),
        Column("FirstName", "first_name"), Column("Email", "email"), Column("Phone", "phone"),
        Column("MobilePhone", "mobile_phone"), Column("Title", "title"), Column("Department", "department"),
        _ref("ReportsToId", "reports_to_id", "contacts"), Column("LeadSource", "lead_source"),
        Column("HasOptedOutOfEmail", "email_opt_out", c.BOOL), Column("DoNotCall", "do_not_call", c.BOOL), OWNER,
        *_address("Mailing", "mailing_address"), CREATED,
    ),
    derived={"Name": _joined},
)  # fmt: skip
OPPORTUNITY = Shape(
    file="Opportunity",
    table="opportunities",
    columns=(
        ID, _ref("AccountId", "account_id", "accounts"), Column("Name", "name"), Column("StageName", "stage"),
        Column("Amount", "amount", c.NUMBER), Column("Probability", "probability", c.PERCENT),
        Column("CloseDate", "close_date", c.DATE), Column("Type", "type", c.DEAL_TYPE),
        Column("LeadSource", "lead_source"), Column("NextStep", "next_step"), Column("Description", "description"),
        OWNER, _ref("ContactId", "primary_contact_id", "contacts"), _ref("Pricebook2Id", "price_book_id", "price_books"),
        CURRENCY, Column("Loss_Reason__c", "loss_reason", c.LOSS_REASON),
        Column("ForecastCategoryName", "forecast_category", c.CATEGORY), CREATED,
    ),
    derived={
        "IsClosed": lambda row: c.BOOL.write(row.get("status") != "open"),
        "IsWon": lambda row: c.BOOL.write(row.get("status") == "won"),
        "ForecastCategory": lambda row: _category(row),
        "ExpectedRevenue": lambda row: _expected(row),
    },
)  # fmt: skip
HISTORY = Shape(
    file="OpportunityHistory",
    table="opportunities",
    columns=(
        ID, _ref("OpportunityId", "id", "opportunities"), Column("StageName", "stage"),
        Column("Amount", "amount", c.NUMBER), Column("Probability", "probability", c.PERCENT),
        Column("CloseDate", "close_date", c.DATE), Column("CreatedDate", "known_from", c.INSTANT),
    ),
    derived={
        "ForecastCategory": lambda row: _category(row),
        "ExpectedRevenue": lambda row: _expected(row),
    },
)  # fmt: skip
LEAD = Shape(
    file="Lead",
    table="leads",
    columns=(
        ID, Column("LastName", "last_name"), Column("FirstName", "first_name"), Column("Company", "company"),
        Column("Title", "title"), Column("Email", "email"), Column("Phone", "phone"), Column("Website", "website"),
        Column("Industry", "industry"), Column("NumberOfEmployees", "number_of_employees", c.WHOLE),
        Column("AnnualRevenue", "annual_revenue", c.NUMBER), CURRENCY, Column("Status", "status", c.LEAD_STATUS),
        Column("Rating", "rating", c.RATING), Column("LeadSource", "lead_source", c.LEAD_SOURCE), OWNER,
        Column("HasOptedOutOfEmail", "email_opt_out", c.BOOL), Column("DoNotCall", "do_not_call", c.BOOL),
        _ref("ConvertedAccountId", "converted_account_id", "accounts"),
        _ref("ConvertedContactId", "converted_contact_id", "contacts"),
        _ref("ConvertedOpportunityId", "converted_opportunity_id", "opportunities"),
        *_address("", "address"), CREATED,
    ),
    derived={
        "Name": _joined,
        "IsConverted": lambda row: c.BOOL.write(row.get("status") == "converted"),
        "ConvertedDate": lambda row: row["converted_at"].date().isoformat() if row.get("converted_at") else "",
    },
)  # fmt: skip
CONTACT_ROLE = Shape(
    file="OpportunityContactRole",
    table="stakeholders",
    columns=(
        ID, _ref("OpportunityId", "opportunity_id", "opportunities"), _ref("ContactId", "contact_id", "contacts"),
        Column("Role", "role", c.ROLE), Column("IsPrimary", "is_primary", c.BOOL), CREATED,
    ),
)  # fmt: skip
LINE = Shape(
    file="OpportunityLineItem",
    table="lines",
    columns=(
        ID, _ref("OpportunityId", "opportunity_id", "opportunities"), _ref("Product2Id", "product_id", "products"),
        Column("Quantity", "quantity", c.QUANTITY), Column("UnitPrice", "unit_price", c.NUMBER),
        Column("Discount", "discount_percent", c.QUANTITY), Column("ServiceDate", "start_date", c.DATE),
        Column("Description", "description"), Column("SortOrder", "position", c.WHOLE), CREATED,
    ),
    derived={"TotalPrice": lambda row: _total(row)},
)  # fmt: skip
ABOUT = (_ref("WhoId", "contact_id|lead_id", ""), _ref("WhatId", "opportunity_id|account_id", ""))
"""References to records of more than one kind: the id's first three signs say which."""
PREFIXES = {"003": "contacts", "00Q": "leads", "001": "accounts", "006": "opportunities"}
TASK = Shape(
    file="Task",
    table="activities",
    columns=(
        ID, *ABOUT, Column("Subject", "subject"), Column("Status", "status", c.TASK_STATUS), OWNER,
        Column("Description", "body"), Column("TaskSubtype", "type", c.TASK_TYPE),
        Column("CallDurationInSeconds", "duration_seconds", c.WHOLE), Column("CallType", "direction", c.DIRECTION),
        CREATED,
    ),
    derived={
        "ActivityDate": lambda row: _day(row, "due_at"),
        "CompletedDateTime": lambda row: _at(row, "occurred_at") if row.get("status") == "completed" else "",
        "IsClosed": lambda row: c.BOOL.write(row.get("status") != "planned"),
    },
    where="t.type IN ('task', 'call', 'email', 'note')",
)  # fmt: skip
EVENT = Shape(
    file="Event",
    table="activities",
    columns=(
        ID, *ABOUT, Column("Subject", "subject"), Column("StartDateTime", "occurred_at", c.INSTANT),
        Column("DurationInMinutes", "duration_seconds", c.MINUTES), OWNER, Column("Description", "body"),
        Column("Type", "type", c.EVENT_TYPE), CREATED,
    ),
    derived={
        "EndDateTime": lambda row: _at(row, "occurred_at", row.get("duration_seconds")),
        "ActivityDateTime": lambda row: _at(row, "occurred_at"),
        "ActivityDate": lambda row: _day(row, "occurred_at"),
    },
    where="t.type IN ('meeting', 'demo')",
)  # fmt: skip

ENTRY = "PricebookEntry"
"""The file of prices: each row is one entry of a price book."""

SHAPES = (
    USER, PRODUCT, PRICE_BOOK, ACCOUNT, CONTACT, OPPORTUNITY, HISTORY, LEAD, CONTACT_ROLE, LINE, TASK, EVENT,
)  # fmt: skip


def _at(row: Row, name: str, seconds: int | None = 0) -> str:
    if row.get(name) is None or seconds is None:
        return ""
    return c.instant_cell(row[name] + timedelta(seconds=seconds))


def _day(row: Row, name: str) -> str:
    """The date of an instant in the company's zone."""
    return row[name].astimezone(ZoneInfo(row["zone"])).date().isoformat() if row.get(name) else ""


@cache
def read_plan(file: str) -> tuple[tuple[str, str, str, Codec, str], ...]:
    """Each column with its field, the part of it, what reads it, and the table that it points at."""
    shape = next(shape for shape in SHAPES if shape.file == file)
    return tuple(
        (column.name, *column.field.partition(".")[::2], column.codec, column.table)
        for column in shape.columns
    )


def writers(shape: Shape) -> dict[str, Callable[[Row], str]]:
    """Column → what writes its cell from a record; references in it are ids of Salesforce, the stage its label."""
    return {column.name: _writer(column) for column in shape.columns} | dict(shape.derived)


def _writer(column: Column) -> Callable[[Row], str]:
    first, _, rest = column.field.partition(".")
    write = column.codec.write
    if rest:
        return lambda row: "" if (value := (row.get(first) or {}).get(rest)) is None else write(value)
    if "|" in column.field:
        fields = column.field.split("|")
        return lambda row: next((write(value) for name in fields if (value := row.get(name)) is not None), "")
    return lambda row: "" if (value := row.get(first)) is None else write(value)


@cache
def _writers(file: str) -> dict[str, Callable[[Row], str]]:
    return writers(next(shape for shape in SHAPES if shape.file == file))


def written(shape: Shape, row: Row) -> dict[str, str]:
    """All cells of a record as we write them."""
    return {name: write(row) for name, write in _writers(shape.file).items()}


def _category(row: Row) -> str:
    """As the API names them: without spaces, and a commit is a forecast."""
    value = row.get("forecast_category")
    names = {"best_case": "BestCase", "commit": "Forecast"}
    return "" if value is None else names.get(value, str(value).capitalize())


def _expected(row: Row) -> str:
    if row.get("amount") is None or row.get("probability") is None:
        return ""
    return c.plain(round(row["amount"] * c.exactly(row["probability"]), 4))


def _total(row: Row) -> str:
    if row.get("unit_price") is None or row.get("quantity") is None:
        return ""
    share = 1 - Decimal(str(row.get("discount_percent") or 0)) / 100
    return c.plain(round(Decimal(str(row["quantity"])) * row["unit_price"] * share, 4))
