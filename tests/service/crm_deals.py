"""What follows from a deal's stage, its amount and its category, by the rules of a new home; for the CRM in memory."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

Values = dict[str, Any]

PIPELINE = "01900000-0000-7000-8000-000000000010"
STAGES: dict[str, tuple[str, float, str]] = {
    "prospecting": ("open", 0.10, "pipeline"),
    "qualification": ("open", 0.20, "pipeline"),
    "proposal": ("open", 0.45, "best_case"),
    "negotiation": ("open", 0.70, "commit"),
    "won": ("won", 1.0, "closed"),
    "lost": ("lost", 0.0, "omitted"),
}
"""The pipeline of a new home: key → status, probability, forecast category."""
RATES = {"USD": Decimal(1), "EUR": Decimal("1.25")}


def expected_revenue(deal: Values) -> Decimal | None:
    if deal["amount"] is None:
        return None
    return (deal["amount"] * Decimal(str(deal["probability"]))).quantize(Decimal("0.0001"))


def at_home(amount: Decimal | None, currency: str) -> Decimal | None:
    return None if amount is None else (amount * RATES[currency]).quantize(Decimal("0.0001"))


def worth(deal: Values, changes: Values) -> Values:
    """What follows from another amount or currency."""
    if not {"amount", "currency"} & {name for name, value in changes.items() if deal[name] != value}:
        return changes
    new = deal | changes
    currency = new["currency"] or "USD"
    return changes | {"currency": currency, "amount_home": at_home(new["amount"], currency)}


def entered(stage: str, moment: Any) -> Values:
    """What a deal gets from a stage that it comes into."""
    status, probability, category = STAGES[stage]
    return {
        "stage": stage, "status": status, "probability": probability, "forecast_category": category,
        "forecast_category_source": "stage", "stage_entered_at": moment, "pipeline_id": PIPELINE,
    }  # fmt: skip


CLOSING = ("closed_at", "closed_on", "loss_reason", "competitor_id", "closed_note")


def moved(deal: Values, to: str, reason: str | None, moment: Any) -> Values:
    """The changes of a move."""
    changes = entered(to, moment)
    if changes["status"] != "open":
        closed = {"closed_at": moment, "closed_on": datetime.now(UTC).date(), "loss_reason": reason}
        return changes | closed
    if deal["status"] != "open":
        return changes | dict.fromkeys(CLOSING)
    if deal["forecast_category_source"] == "user":
        changes |= {name: deal[name] for name in ("forecast_category", "forecast_category_source")}
    return changes


def categorized(deal: Values, category: str | None) -> Values:
    """A category that a person chose; null gives it back to the stage."""
    if category is not None and category == deal["forecast_category"]:
        return {}
    if category is None:
        return {"forecast_category": STAGES[deal["stage"]][2], "forecast_category_source": "stage"}
    return {"forecast_category": category, "forecast_category_source": "user"}
