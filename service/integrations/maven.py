"""Maven Analytics' "CRM Sales Opportunities": 8,800 deals of a fictitious firm, each in its final state only.

The files' faults, and what becomes of them (each mended value is reported as a note):
product `GTXPro` is `GTX Pro`; sector `technolgy` is `technology`; `Philipines` is the Philippines; 1,425 deals name no
account; deals in Prospecting have no dates; lost deals have a close value of 0, which would betray them: their amount
stays the list price. Nothing tells when `account` was filled in: it is known from the close for closed deals, from the
import for open ones. A deal is created at its engage date, at list price; the close value is known from the close.
"""

import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from service.importing.deals import entered
from service.importing.records import Fault, Item, Record, Ref, Version
from service.integrations.files import Row, interleaved, midnight, require, rows, wrong

SOURCE = "maven"
PIPELINE = "maven"
STAGES = (
    # key, name, position, status, probability, forecast category
    ("prospecting", "Prospecting", 1, "open", 0.2, "pipeline"),
    ("engaging", "Engaging", 2, "open", 0.5, "best_case"),
    ("won", "Won", 3, "won", 1.0, "closed"),
    ("lost", "Lost", 4, "lost", 0.0, "omitted"),
)
PRODUCTS = {"GTXPro": "GTX Pro"}
SECTORS = {"technolgy": "technology"}
COUNTRIES = {
    "United States": "US",
    "Kenya": "KE",
    "Philipines": "PH",
    "Japan": "JP",
    "Italy": "IT",
    "Norway": "NO",
    "Korea": "KR",
    "Jordan": "JO",
    "Brazil": "BR",
    "Germany": "DE",
    "Panama": "PA",
    "Belgium": "BE",
    "Romania": "RO",
    "Poland": "PL",
    "China": "CN",
}


def read(folder: Path, now: datetime, zone: str) -> Iterator[Item]:
    """All records in an order in which references point backwards, and what was mended or is wrong."""
    require(folder, "sales_teams", "products", "accounts", "sales_pipeline")
    faults: list[Fault] = []
    yield from interleaved(faults, _records(folder, now, zone, faults))


def _records(folder: Path, now: datetime, zone: str, faults: list[Fault]) -> Iterator[Record]:
    prices: dict[str, Decimal] = {}
    yield _field()
    yield from _people(folder, faults)
    yield from _products(folder, prices, faults)
    yield from _accounts(folder, faults)
    yield from _pipeline()
    deals = list(_deals(folder, now, zone, prices, faults))
    lines = [record for record in (_line(deal, prices) for deal in deals) if record]
    for deal in deals:
        for version in deal.versions:
            version.values.pop("_product", None)
    yield from deals
    yield from lines


def _pipeline() -> Iterator[Record]:
    yield Record("pipelines", PIPELINE, [Version({"key": PIPELINE, "name": "Maven", "is_default": False})])
    for key, name, position, status, probability, category in STAGES:
        yield Record("stages", f"{PIPELINE}:{key}", [Version({
            "pipeline_id": Ref("pipelines", PIPELINE), "key": key, "name": name, "position": position,
            "status": status, "probability": probability, "forecast_category": category,
        })])  # fmt: skip


def slug(name: str) -> str:
    """A name as the local part of an address."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", ".", plain).strip(".")


def _people(folder: Path, faults: list[Fault]) -> Iterator[Record]:
    """Regional offices with their managers' teams below them, everybody who sells, and who leads which team."""
    teams = [Record("teams", "maven", [Version({"name": "Maven"})])]
    leads: list[Record] = []
    users: dict[str, Record] = {}
    seen: set[str] = set()
    for line, row in rows(folder, "sales_teams", ("sales_agent", "manager", "regional_office"), faults):
        region, manager, agent = row["regional_office"], row["manager"], row["sales_agent"]
        if region not in seen:
            seen.add(region)
            values: dict[str, Any] = {"name": region, "parent_id": Ref("teams", "maven")}
            teams.append(Record("teams", region, [Version(values)], "sales_teams.csv", line))
        if manager not in users:
            team, file = f"team {manager}", "sales_teams.csv"
            values = {"name": f"{manager}'s team", "parent_id": Ref("teams", region)}
            teams.append(Record("teams", team, [Version(values)], file, line))
            led = Version({"manager_id": Ref("users", manager)})
            leads.append(Record("teams", team, [led], file, line, continues=True))
            users[manager] = _user(manager, "manager", team, None, line)
        users[agent] = _user(agent, "rep", f"team {manager}", manager, line)
    yield from teams
    yield from users.values()
    yield from leads


def _user(name: str, role: str, team: str, manager: str | None, line: int) -> Record:
    values: dict[str, Any] = {
        "name": name, "email": f"{slug(name)}@maven.example", "role": role, "team_id": Ref("teams", team),
    }  # fmt: skip
    if manager:
        values["manager_id"] = Ref("users", manager)
    return Record("users", name, [Version(values)], "sales_teams.csv", line)


def _products(folder: Path, prices: dict[str, Decimal], faults: list[Fault]) -> Any:
    for line, row in rows(folder, "products", ("product", "series", "sales_price"), faults):
        name = row["product"]
        price = _decimal(row["sales_price"])
        if price is None:
            faults.append(wrong("products", line, "sales_price", row["sales_price"], "is not a price"))
            continue
        prices[name] = price
        values = {"code": name, "name": name, "family": row["series"], "list_price": price, "currency": "USD"}
        yield Record("products", name, [Version(values)], "products.csv", line)


YEAR = "year_established"


def _field() -> Record:
    """What the files tell of accounts that the product has no field for."""
    values = {"entity": "account", "key": YEAR, "label": "Year established", "type": "integer"}
    return Record("fields", YEAR, [Version(values)], "accounts.csv", 1)


def _accounts(folder: Path, faults: list[Fault]) -> Any:
    found = list(
        rows(folder, "accounts", ("account", "sector", "revenue", "employees", "office_location"), faults)
    )
    names = {row["account"] for _, row in found}
    found.sort(key=lambda item: bool(item[1].get("subsidiary_of")))  # parents first
    for line, row in found:
        parent = row.get("subsidiary_of", "")
        revenue = _decimal(row["revenue"])
        values: dict[str, Any] = {
            "name": row["account"], "type": "customer", "currency": "USD",
            "industry": _mended("accounts", line, "sector", row["sector"], SECTORS, faults),
            "number_of_employees": row["employees"] or None,
            "annual_revenue": revenue * 1_000_000 if revenue is not None else None,
            "cf": {YEAR: int(year)} if (year := row.get(YEAR, "")).isdecimal() else {},
        }  # fmt: skip
        country = COUNTRIES.get(row["office_location"])
        if country:
            values["billing_address"] = {"country": country}
        elif row["office_location"]:
            faults.append(
                wrong(
                    "accounts",
                    line,
                    "office_location",
                    row["office_location"],
                    "is no country that we know; left out",
                    is_note=True,
                )
            )
        if row["office_location"] == "Philipines":
            faults.append(
                wrong(
                    "accounts",
                    line,
                    "office_location",
                    "Philipines",
                    "read as the Philippines (PH)",
                    is_note=True,
                )
            )
        if parent in names:
            values["parent_id"] = Ref("accounts", parent)
        elif parent:
            faults.append(
                wrong(
                    "accounts",
                    line,
                    "subsidiary_of",
                    parent,
                    "is no account of the file; left out",
                    is_note=True,
                )
            )
        yield Record("accounts", row["account"], [Version(values)], "accounts.csv", line)


def _deals(folder: Path, now: datetime, zone: str, prices: dict[str, Decimal], faults: list[Fault]) -> Any:
    stages = {
        name: dict(
            zip(("key", "name", "position", "status", "probability", "forecast_category"), stage, strict=True)
        )
        for stage in STAGES
        for name in [stage[1]]
    }
    required = (
        "opportunity_id",
        "sales_agent",
        "product",
        "account",
        "deal_stage",
        "engage_date",
        "close_date",
        "close_value",
    )
    for line, row in rows(folder, "sales_pipeline", required, faults):
        product = _mended("sales_pipeline", line, "product", row["product"], PRODUCTS, faults)
        stage = stages.get(row["deal_stage"])
        try:
            engaged, closed = midnight(row["engage_date"], zone), midnight(row["close_date"], zone)
        except ValueError:
            faults.append(
                wrong(
                    "sales_pipeline",
                    line,
                    "engage_date",
                    f"{row['engage_date']} {row['close_date']}",
                    "is not a date",
                )
            )
            continue
        fault = _fault_of(row, product, stage, engaged, closed, prices)
        if fault:
            faults.append(wrong("sales_pipeline", line, *fault))
            continue
        assert stage is not None
        versions = _versions(row, product, stage, stages, engaged, closed, prices[product], now, zone)
        yield Record("opportunities", row["opportunity_id"], versions, "sales_pipeline.csv", line)


def _fault_of(
    row: Row,
    product: str,
    stage: dict[str, Any] | None,
    engaged: datetime | None,
    closed: datetime | None,
    prices: dict[str, Decimal],
) -> tuple[str, str, str] | None:
    """Column, value and detail of what makes a deal unusable."""
    if not row["opportunity_id"]:
        return "opportunity_id", "", "is missing"
    if stage is None:
        return "deal_stage", row["deal_stage"], "is none of Prospecting, Engaging, Won, Lost"
    if product not in prices:
        return "product", product, "is not in products.csv"
    if stage["status"] == "open":
        return ("close_date", row["close_date"], "an open deal has no close date") if closed else None
    if engaged is None or closed is None:
        return "close_date", row["close_date"], "a closed deal needs both dates"
    if closed < engaged:
        return "close_date", row["close_date"], "lies before the engage date"
    if stage["status"] == "won" and _decimal(row["close_value"]) is None:
        return "close_value", row["close_value"], "a won deal needs its value"
    return None


def _versions(
    row: Row,
    product: str,
    stage: dict[str, Any],
    stages: dict[str, Any],
    engaged: datetime | None,
    closed: datetime | None,
    price: Decimal,
    now: datetime,
    zone: str,
) -> list[Version]:
    account = {"account_id": Ref("accounts", row["account"])} if row["account"] else {}
    first = stages["Prospecting"] if engaged is None else stages["Engaging"]
    created = Version(
        {
            "name": f"{product} {row['opportunity_id']}",
            "owner_id": Ref("users", row["sales_agent"]), "pipeline_id": Ref("pipelines", PIPELINE),
            "amount": price, "currency": "USD", "amount_home": price, "type": "new_business",
            "forecast_category": first["forecast_category"], "forecast_category_source": "stage", "_product": product,
            **entered(first, engaged, now, zone),
        },
        engaged,
    )  # fmt: skip
    if stage["status"] == "open":
        return (
            [created, Version(account, now)]
            if account and engaged
            else [Version(created.values | account, engaged)]
        )
    value = _decimal(row["close_value"]) if stage["status"] == "won" else price
    end = entered(stage, closed, now, zone)
    changes = {
        "amount": value,
        "amount_home": value,
        "close_date": end["closed_on"],
        "forecast_category": stage["forecast_category"],
    }
    return [created, Version(account | changes | end, closed)]


def _line(deal: Record, prices: dict[str, Decimal]) -> Record | None:
    """The product of a deal: at list price while it is open, at the close value once it is won."""
    first, last = deal.versions[0], deal.versions[-1]
    product = first.values["_product"]
    values = {
        "opportunity_id": Ref("opportunities", str(deal.external_id)), "product_id": Ref("products", product),
        "quantity": 1.0, "unit_price": prices[product],
    }  # fmt: skip
    versions = [Version(values, first.at)]
    if last.values.get("status") == "won":
        versions.append(Version({"unit_price": last.values["amount"]}, last.at))
    return Record("lines", f"{deal.external_id}:1", versions, deal.file, deal.line)


def _mended(file: str, line: int, column: str, value: str, table: dict[str, str], faults: list[Fault]) -> str:
    if value in table:
        faults.append(wrong(file, line, column, value, f"read as {table[value]}", is_note=True))
    return table.get(value, value)


def _decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() and value >= 0 else None
