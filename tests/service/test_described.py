"""Files of any system by a description in TOML; HubSpot's exports by the one that comes with the product."""

from pathlib import Path

import pytest

from service import writes
from service.access import SYSTEM
from service.db import Database
from service.domains.users import resource as users
from service.errors import Invalid
from service.importing import runs
from service.integrations import described

pytestmark = pytest.mark.anyio

COMPANIES = """Record ID,Company name,Company Domain Name,Type,Parent Company ID,Company owner,City,Create Date,Shoe size
101,Acme,acme.example,PROSPECT,,Olga Owner,Berlin,2024-03-01 10:22,44
102,,sub.example,Vendor,101,,,2024-03-02 08:00,
"""
CONTACTS = """Record ID,First Name,Last Name,Email,Associated Company IDs,Create Date
201,Ann,Lee,ann@acme.example,101;102,2024-03-03 10:00
202,,,bob@acme.example,102,2024-03-03 11:00
"""
DEALS = """Record ID,Deal Name,Amount,Close Date,Deal Stage,Deal owner,Associated Company IDs,Associated Contact IDs,Create Date
301,Big one,"1,500.00",2024-05-31,Contract Sent,Olga Owner,101,201,2024-03-04 09:00
302,Gone,200,2024-04-01,Closed Won,,102,,2024-03-04 09:30
303,Odd,200,,Some stage,,,,2024-03-04 09:30
"""


@pytest.fixture(scope="module", autouse=True)
async def owner(database: Database) -> None:
    async with database.begin() as tx:
        for name, role in (("Olga Owner", "rep"), ("Ada Admin", "admin")):
            draft = {"name": name, "email": f"{name.split()[0]}@x.example", "role": role}
            await writes.insert(tx, users, SYSTEM, draft)


async def test_hubspots_exports_go_in(database: Database, tmp_path: Path) -> None:
    for name, text in (
        ("all-companies", COMPANIES),
        ("hubspot-crm-exports-contacts", CONTACTS),
        ("Deals 2024", DEALS),
    ):
        (tmp_path / f"{name}.csv").write_text(text)
    result = await runs.run(database, tmp_path, "hubspot")
    (error,) = result["errors"]
    assert (error["file"], error["line"], error["column"], error["value"]) == (
        "Deals 2024.csv",
        4,
        "stage",
        "Some stage",
    )
    assert "negotiation" in error["detail"]
    assert ("Shoe size", "is not in the description; left out") in [
        (n["column"], n["detail"]) for n in result["notes"]
    ]
    accounts = await database.fetch(
        "SELECT a.name, a.type, a.created_at, p.name AS parent, u.name AS owner FROM accounts a"
        " LEFT JOIN accounts p ON p.id = a.parent_id LEFT JOIN users u ON u.id = a.owner_id"
        " WHERE a.external_ids ? 'hubspot' ORDER BY a.created_at /* access:accounts */"
    )
    first, second = accounts
    assert (first["name"], first["type"], first["owner"]) == ("Acme", "prospect", "Olga Owner")
    assert (second["name"], second["parent"], second["type"]) == ("sub.example", "Acme", None)
    assert first["created_at"].isoformat() == "2024-03-01T10:22:00+00:00"
    names = await database.fetch("SELECT last_name FROM contacts ORDER BY created_at /* access:contacts */")
    assert [row["last_name"] for row in names] == ["Lee", "bob@acme.example"]
    deals = await database.fetch(
        "SELECT o.stage, o.status, o.amount_home, u.name AS owner, c.last_name, o.closed_on FROM opportunities o"
        " JOIN users u ON u.id = o.owner_id LEFT JOIN contacts c ON c.id = o.primary_contact_id"
        " ORDER BY o.created_at /* access:opportunities */ /* access:contacts */"
    )
    assert [tuple(row)[:2] for row in deals] == [("negotiation", "open"), ("won", "won")]
    assert (deals[0]["amount_home"], deals[0]["owner"], deals[0]["last_name"]) == (1500, "Olga Owner", "Lee")
    assert (deals[1]["owner"], deals[1]["closed_on"].isoformat()) == ("Ada Admin", "2024-04-01")
    again = await runs.run(database, tmp_path, "hubspot")
    assert {counts["created"] + counts["updated"] for counts in again["counts"].values()} == {0}


async def test_a_description_of_ones_own(database: Database, tmp_path: Path) -> None:
    (tmp_path / "customers-2026.csv").write_text(
        "No;Name;Kind;Since;Chief\nK1;Alpha;A;02.03.2025;\nK2;;B;03.03.2025;K1\n"
    )
    description = tmp_path / "my.toml"
    description.write_text("""
source = "oldcrm"
[[file]]
names = ["customers*"]
resource = "accounts"
[file.columns]
No = "external_id"
Name = "name"
Kind = "type"
Chief = "parent.external_id"
Since = { field = "created_at", format = "dmy" }
[file.values.Kind]
A = "customer"
B = "former_customer"
[file.otherwise]
Name = ["No"]
""")
    result = await runs.run(database, tmp_path, str(description))
    assert result["errors"] == []
    rows = await database.fetch(
        "SELECT name, type, parent_id IS NOT NULL AS below, created_at::date::text AS since FROM accounts"
        " WHERE external_ids ? 'oldcrm' ORDER BY name /* access:accounts */"
    )
    assert [tuple(row) for row in rows] == [
        ("Alpha", "customer", False, "2025-03-02"), ("K2", "former_customer", True, "2025-03-03"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("source = ", "no description"),
        ("source = 'x'", "missing required field `file`"),
        ("source = 'x'\n[[file]]\nnames = ['a']\nresource = 'shoes'\ncolumns = {}", "'shoes' is none of"),
        (
            "source = 'x'\n[[file]]\nnames = ['a']\nresource = 'accounts'\ncolumns = {A = 'shoe'}",
            "'shoe', which accounts have not",
        ),
        ("source = 'x'\ncolour = 'red'\nfile = []", "unknown field"),
    ],
)
def test_a_description_that_is_wrong_says_what(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "my.toml"
    path.write_text(text)
    with pytest.raises(Invalid, match=words):
        described.load(path)


async def test_a_folder_without_its_files_is_refused(database: Database, tmp_path: Path) -> None:
    for kind in ("hubspot", "salesforce"):
        with pytest.raises(Invalid, match="file"):
            await runs.run(database, tmp_path, kind)
    with pytest.raises(Invalid, match="hubspot"):
        await runs.run(database, tmp_path, "nonsense")
