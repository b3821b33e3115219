"""From a lead to an account, a contact and a deal: which field goes where. Pure; only `domains/conversion.py` calls it."""

from collections.abc import Mapping
from typing import Any

from service.errors import Conflict
from service.rules import Row, fault, refuse

ACCOUNT = (
    "website",
    "phone",
    "industry",
    "number_of_employees",
    "annual_revenue",
    "currency",
    "lead_source",
)
CONTACT = (
    "first_name",
    "email",
    "phone",
    "title",
    "lead_source",
    "email_opt_out",
    "do_not_call",
    "consent_at",
)
"""Fields of a lead that keep their name."""

KEPT = frozenset({"name", "last_name", "owner_id", "type"})
"""What joining a lead to a record that is there already leaves as it is."""


def account_of(lead: Row) -> dict[str, Any]:
    """A new account from what the lead told."""
    name = lead["company"] or " ".join(filter(None, (lead["first_name"], lead["last_name"]))) or lead["email"]
    own = {"name": name, "type": "prospect", "owner_id": lead["owner_id"]}
    return own | {"billing_address": lead["address"]} | {key: lead[key] for key in ACCOUNT}


def contact_of(lead: Row) -> dict[str, Any]:
    """A new contact from what the lead told; without a name it is called by its address or company."""
    name = lead["last_name"] or (lead["email"] or "").split("@")[0] or lead["company"]
    own = {"last_name": name, "owner_id": lead["owner_id"], "mailing_address": lead["address"]}
    return own | {key: lead[key] for key in CONTACT}


def deal_of(lead: Row, account: Row, contact: Row) -> dict[str, Any]:
    """A new deal of the lead's owner."""
    known = {"name": account["name"], "account_id": account["id"], "primary_contact_id": contact["id"]}
    own = {"owner_id": lead["owner_id"]} if lead["owner_id"] else {}
    told = {key: lead[key] for key in ("lead_source", "campaign_id")}
    return known | own | told


def filled(record: Row, told: Mapping[str, Any]) -> dict[str, Any]:
    """What a record that is there already learns from the lead: only what it does not know.

    That somebody wants no mail or no calls is learnt in any case.
    """
    changes = {
        name: value
        for name, value in told.items()
        if name not in KEPT | {"cf"} and value not in (None, {}) and record[name] in (None, False)
    }
    if "annual_revenue" in changes and record["currency"] not in (None, told["currency"]):
        del changes["annual_revenue"]  # a sum without its currency says nothing
    if cf := {key: value for key, value in (told.get("cf") or {}).items() if record["cf"].get(key) is None}:
        changes["cf"] = record["cf"] | cf
    return changes


def convertible(lead: Row) -> None:
    """Raises `Conflict` for a lead that cannot be converted, with the reason."""
    if lead["status"] == "converted":
        raise Conflict(
            "The lead is converted already.",
            converted={
                name: str(lead[f"converted_{name}_id"]) if lead[f"converted_{name}_id"] else None
                for name in ("account", "contact", "opportunity")
            },
        )
    if lead["status"] == "unqualified":
        raise Conflict("An unqualified lead is not converted: change its status first.")


def fitting(account: Row | None, contact: Row | None, deal: Row | None) -> None:
    """The records that a lead is joined to belong together. Raises `Invalid` that points at the one that does not."""
    own = account["id"] if account else None
    home = own or (deal and deal["account_id"])
    refuse(
        [fault("opportunity_id", "is a deal with another account")]
        if deal and own and deal["account_id"] not in (None, own)
        else [],
        [fault("contact_id", "belongs to another account")]
        if contact and home and contact["account_id"] not in (None, home)
        else [],
        [fault("opportunity_id", "is closed")] if deal and deal["status"] != "open" else [],
    )
