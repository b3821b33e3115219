"""Writes a company as Salesforce's data export would: twelve files, with the history of each opportunity.

Labels that we have no word for, columns of the company's own, telephone numbers with a plus, texts with quotes and line
ends, empty cells, 15-sign ids: what a real export holds and a round trip must bring back.
"""

import csv
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

STAGES = (
    ("Prospecting", 10, "Pipeline"), ("Qualification", 20, "Pipeline"), ("Needs Analysis", 35, "Pipeline"),
    ("Proposal/Price Quote", 65, "Best Case"), ("Negotiation/Review", 90, "Commit"),
)  # fmt: skip
ENDS = (("Closed Won", 100, "Closed"), ("Closed Lost", 0, "Omitted"))
START = datetime(2024, 1, 3, 8, 0, tzinfo=UTC)
TEXTS = ("", "Plain", 'With "quotes", and commas', "Two\nlines", "Größe: 5 €", "=not a formula", "'quoted'")
Rows = list[dict[str, str]]


def identity(prefix: str, number: int) -> str:
    return f"{prefix}5g{number:010d}AAA"


def moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write(folder: Path, deals: int = 200, seed: int = 5) -> dict[str, Rows]:
    """The files, and their rows by file."""
    draw = random.Random(seed)
    made: dict[str, Rows] = {}
    made["User"] = users(draw, max(6, deals // 40))
    made["Product2"] = products(draw, 12)
    made["Pricebook"] = [
        {"Id": identity("01s", n), "Name": name, "IsActive": "true", "IsStandard": str(n == 0).lower(),
         "Description": TEXTS[n + 1], "CurrencyIsoCode": "USD", "CreatedDate": moment(START)}
        for n, name in enumerate(("Standard Price Book", "Partners"))
    ]  # fmt: skip
    made["Account"] = accounts(draw, max(5, deals // 4), made["User"])
    made["Contact"] = contacts(draw, max(8, deals // 2), made["Account"], made["User"])
    made["Opportunity"], made["OpportunityHistory"] = opportunities(draw, deals, made)
    made["Lead"] = leads(draw, max(6, deals // 5), made)
    made["OpportunityContactRole"] = roles(draw, made)
    made["OpportunityLineItem"] = lines(draw, made)
    made["Task"], made["Event"] = tasks(draw, deals * 2, made), events(draw, deals, made)
    for name, rows in made.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(rows)
    return made


def users(draw: random.Random, number: int) -> Rows:
    rows: Rows = []
    for n in range(number):
        first, last = f"First{n}", f"Last{n}"
        boss = (n * 3 + 1) % number
        rows.append({
            "Id": identity("005", n), "Username": f"user{n}@corp.example", "FirstName": first, "LastName": last,
            "Name": f"{first} {last}", "Email": f"user{n}@corp.example", "Title": draw.choice(("", "AE", "Account Executive")),
            "IsActive": str(n % 7 != 6).lower(), "ManagerId": identity("005", boss) if boss < n else "",
            "TimeZoneSidKey": "America/New_York", "LocaleSidKey": "en_US", "ProfileId": "00e5g000001AAAAAA1",
            "CreatedDate": moment(START - timedelta(days=400 - n % 300)),
        })  # fmt: skip
    return rows


def products(draw: random.Random, number: int) -> Rows:
    return [
        {"Id": identity("01t", n), "Name": f"Product {n}", "ProductCode": "" if n == 3 else f"P-{n:03}",
         "Description": TEXTS[n % len(TEXTS)], "Family": draw.choice(("Hardware", "Software", "")),
         "IsActive": str(n != 5).lower(), "QuantityUnitOfMeasure": draw.choice(("", "each")), "CreatedDate": moment(START)}
        for n in range(number)
    ]  # fmt: skip


def accounts(draw: random.Random, number: int, people: Rows) -> Rows:
    return [
        {"Id": identity("001", n), "Name": f"Account {n} & Söhne", "ParentId": identity("001", n + 3) if n % 9 == 1 and n + 3 < number else "",
         "Type": draw.choice(("", "Prospect", "Customer - Direct", "Investor", "Other")),
         "Industry": draw.choice(("", "Banking", "Retail")), "Website": draw.choice(("", f"https://a{n}.example/")),
         "Phone": draw.choice(("", f"+1 555 01{n % 100:02}", f"(212) 555-{n:04}")), "Description": draw.choice(TEXTS),
         "NumberOfEmployees": draw.choice(("", "12", "4500")), "AnnualRevenue": draw.choice(("", "1500000", "250000.50", "7.0")),
         "OwnerId": draw.choice(people)["Id"], "BillingStreet": draw.choice(("", "1 Main St\nSuite 2")),
         "BillingCity": draw.choice(("", "Berlin", "Boston")), "BillingState": "", "BillingPostalCode": draw.choice(("", "02110")),
         "BillingCountry": draw.choice(("", "United States", "Germany", "DE", "Utopia")), "Tier__c": draw.choice(("", "Gold", "Silver")),
         "CreatedDate": moment(START + timedelta(minutes=n)), "LastModifiedDate": moment(START + timedelta(days=9, minutes=n))}
        for n in range(number)
    ]  # fmt: skip


def contacts(draw: random.Random, number: int, firms: Rows, people: Rows) -> Rows:
    return [
        {"Id": identity("003", n), "AccountId": draw.choice(firms)["Id"] if n % 11 else "", "Salutation": draw.choice(("", "Ms.", "Dr.")),
         "FirstName": draw.choice(("", f"Ann{n}")), "LastName": f"Contact{n}", "Email": draw.choice(("", f"c{n}@firm.example")),
         "Phone": draw.choice(("", f"+49 30 {n:06}")), "MobilePhone": "", "Title": draw.choice(("", "CFO", "VP, Sales")),
         "Department": draw.choice(("", "Finance")), "ReportsToId": identity("003", n + 1) if n % 13 == 4 and n + 1 < number else "",
         "LeadSource": draw.choice(("", "Web", "Trade Show")), "HasOptedOutOfEmail": draw.choice(("true", "false")),
         "DoNotCall": "false", "OwnerId": draw.choice(people)["Id"], "MailingCity": draw.choice(("", "Paris")),
         "MailingCountry": draw.choice(("", "France", "FR")), "Birthdate": draw.choice(("", "1980-02-29")),
         "CreatedDate": moment(START + timedelta(hours=n % 700))}
        for n in range(number)
    ]  # fmt: skip


def opportunities(draw: random.Random, number: int, made: dict[str, Rows]) -> tuple[Rows, Rows]:
    deals: Rows = []
    past: Rows = []
    for n in range(number):
        created = START + timedelta(hours=n % 8_000, minutes=n % 60)
        account = draw.choice(made["Account"])["Id"] if n % 6 else ""
        story = _story(
            draw, identity("006", n), created, len(past), draw.choice(made["User"])["Id"], n % 17 == 0
        )
        last = story[-1]
        past += story
        closed, won = last["StageName"].startswith("Closed"), last["StageName"] == "Closed Won"
        changed = datetime.fromisoformat(last["CreatedDate"].replace("Z", "+00:00")) + timedelta(hours=5)
        deals.append({
            "Id": identity("006", n), "IsDeleted": "false", "AccountId": account, "Name": f"Deal {n}",
            "Description": draw.choice(TEXTS), "StageName": last["StageName"], "Amount": last["Amount"],
            "Probability": last["Probability"], "ExpectedRevenue": last["ExpectedRevenue"], "CloseDate": last["CloseDate"],
            "Type": draw.choice(("", "New Business", "Existing Customer - Upgrade", "Barter")),
            "NextStep": draw.choice(("", "Call", "-send the offer")), "LeadSource": draw.choice(("", "Partner", "Web")),
            "IsClosed": str(closed).lower(), "IsWon": str(won).lower(), "ForecastCategory": last["ForecastCategory"],
            "ForecastCategoryName": next(label for name, _, label in (*STAGES, *ENDS) if name == last["StageName"]),
            "CampaignId": "", "HasOpportunityLineItem": "false", "Pricebook2Id": draw.choice(("", identity("01s", 0))),
            "OwnerId": draw.choice(made["User"])["Id"], "Competitor_Notes__c": draw.choice(TEXTS),
            "CreatedDate": moment(created), "LastModifiedDate": moment(changed), "FiscalYear": last["CloseDate"][:4],
        })  # fmt: skip
    return deals, past


def _story(draw: random.Random, deal: str, at: datetime, first: int, author: str, is_bare: bool) -> Rows:
    """The stages that a deal went through; sums and dates change on the way."""
    amount, close = (
        draw.choice(("", "1000", "2500.5", "80000.00")),
        at.date() + timedelta(days=draw.randint(20, 200)),
    )
    path = list(STAGES[: draw.randint(1, len(STAGES))])
    if draw.random() < 0.6:
        path.append(draw.choice(ENDS))
    rows: Rows = []
    for number, (stage, chance, category) in enumerate(path):
        if number and draw.random() < 0.5:
            amount = draw.choice((amount, "12000", "9999.99"))
            close += timedelta(days=draw.choice((-5, 0, 30)))
        if stage.startswith("Closed"):
            close = at.date()
        rows.append({
            "Id": identity("008", first + number), "OpportunityId": deal[:15] if is_bare else deal, "CreatedById": author,
            "CreatedDate": moment(at), "StageName": stage, "Amount": amount, "Probability": str(chance),
            "ExpectedRevenue": str(float(amount) * chance / 100) if amount else "", "CloseDate": close.isoformat(),
            "ForecastCategory": {"Best Case": "BestCase", "Commit": "Forecast"}.get(category, category),
            "SystemModstamp": moment(at), "IsDeleted": "false",
        })  # fmt: skip
        at += timedelta(days=draw.randint(0, 12), seconds=draw.choice((0, 61)))
    return rows


def leads(draw: random.Random, number: int, made: dict[str, Rows]) -> Rows:
    rows: Rows = []
    for n in range(number):
        converted = n % 4 == 0
        deal = draw.choice(made["Opportunity"])
        rows.append({
            "Id": identity("00Q", n), "LastName": f"Lead{n}", "FirstName": draw.choice(("", "Kim")), "Company": f"Startup {n}",
            "Title": "", "Email": draw.choice(("", f"l{n}@startup.example")), "Phone": draw.choice(("", "+33 1 2345")),
            "Status": "Closed - Converted" if converted else draw.choice(("Open - Not Contacted", "Working - Contacted", "Recycled")),
            "Rating": draw.choice(("", "Hot")), "LeadSource": draw.choice(("", "Web", "Trade Show", "Moon")),
            "OwnerId": draw.choice(made["User"])["Id"] if n % 5 else "00G5g000000QUEUEA1", "IsConverted": str(converted).lower(),
            "ConvertedDate": "2025-02-03" if converted else "", "ConvertedAccountId": deal["AccountId"] if converted else "",
            "ConvertedContactId": draw.choice(made["Contact"])["Id"] if converted else "",
            "ConvertedOpportunityId": deal["Id"] if converted else "", "Country": draw.choice(("", "Japan")),
            "DoNotCall": "false", "CreatedDate": moment(START + timedelta(hours=n)),
        })  # fmt: skip
    return rows


def roles(draw: random.Random, made: dict[str, Rows]) -> Rows:
    return [
        {"Id": identity("00K", n), "OpportunityId": deal["Id"], "ContactId": draw.choice(made["Contact"])["Id"],
         "Role": draw.choice(("Decision Maker", "Economic Buyer", "", "Gatekeeper")), "IsPrimary": str(n % 2 == 0).lower(),
         "CreatedDate": deal["CreatedDate"]}
        for n, deal in enumerate(made["Opportunity"][::2])
    ]  # fmt: skip


def lines(draw: random.Random, made: dict[str, Rows]) -> Rows:
    rows: Rows = []
    for n, deal in enumerate(made["Opportunity"][::3]):
        quantity, price = draw.choice((1, 2, 10)), draw.choice(("99.00", "1200", "15.25"))
        rows.append({
            "Id": identity("00k", n), "OpportunityId": deal["Id"], "Product2Id": draw.choice(made["Product2"])["Id"],
            "Quantity": f"{quantity}.00", "UnitPrice": price, "Discount": draw.choice(("", "10.00")),
            "TotalPrice": str(quantity * float(price)), "ListPrice": "100", "Description": draw.choice(TEXTS),
            "ServiceDate": draw.choice(("", "2025-01-01")), "SortOrder": str(n % 4), "CreatedDate": deal["CreatedDate"],
        })  # fmt: skip
    return rows


def _about(draw: random.Random, made: dict[str, Rows], n: int) -> dict[str, str]:
    who = draw.choice((made["Contact"], made["Lead"]))
    what = draw.choice((made["Opportunity"], made["Account"]))
    return {
        "WhoId": draw.choice(who)["Id"] if n % 3 else "",
        "WhatId": draw.choice(what)["Id"] if n % 5 else draw.choice(("", "5005g00000CASE0AAA")),
    }


def tasks(draw: random.Random, number: int, made: dict[str, Rows]) -> Rows:
    rows: Rows = []
    for n in range(number):
        status = draw.choice(("Completed", "Not Started", "In Progress", "Deferred"))
        at = START + timedelta(hours=3 * n % 9_000)
        rows.append({
            "Id": identity("00T", n), **_about(draw, made, n), "Subject": draw.choice(("Call", "Email: offer", "")),
            "ActivityDate": draw.choice(("", (at.date() + timedelta(days=2)).isoformat())), "Status": status,
            "Priority": "Normal", "OwnerId": draw.choice(made["User"])["Id"], "Description": draw.choice(TEXTS),
            "IsClosed": str(status == "Completed").lower(), "TaskSubtype": draw.choice(("Task", "Call", "Email", "Cadence")),
            "CallDurationInSeconds": draw.choice(("", "125")), "CallType": draw.choice(("", "Outbound", "Internal")),
            "CompletedDateTime": moment(at + timedelta(days=1)) if status == "Completed" and n % 2 else "",
            "CreatedDate": moment(at),
        })  # fmt: skip
    return rows


def events(draw: random.Random, number: int, made: dict[str, Rows]) -> Rows:
    rows: Rows = []
    for n in range(number):
        at = START + timedelta(hours=7 * n % 9_000)
        start = at + timedelta(days=3)
        rows.append({
            "Id": identity("00U", n), **_about(draw, made, n), "Subject": f"Meeting {n}", "Location": draw.choice(("", "Room 3")),
            "IsAllDayEvent": "false", "StartDateTime": moment(start), "EndDateTime": moment(start + timedelta(minutes=45)),
            "DurationInMinutes": draw.choice(("45", "")), "ActivityDate": start.date().isoformat(),
            "OwnerId": draw.choice(made["User"])["Id"], "Description": draw.choice(TEXTS),
            "Type": draw.choice(("Meeting", "Demo", "", "Webinar")), "CreatedDate": moment(at),
        })  # fmt: skip
    return rows


def read(path: Path) -> dict[str, dict[str, str]]:
    """A file's rows by their id."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row["Id"]: row for row in csv.DictReader(file)}


def by_id(rows: Iterable[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {row["Id"]: row for row in rows}
