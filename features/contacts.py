"""Features of a contact: in which deals they stood, on whose side, and how those ended."""

from features.facts import Array, Facts, weeks_between, zero
from features.spec import Entity, Source, feature, features_in

CONTACT = Entity(
    "contact",
    sources=(
        Source(
            "contact_deals",
            {
                "deals": "number",
                "open_deals": "number",
                "won": "number",
                "lost": "number",
                "as_champion": "number",
                "as_buyer": "number",
                "as_supporter": "number",
                "as_opponent": "number",
                "first_seen_at": "instant",
            },
        ),
        Source("contact_fields", {"custom": "json"}),
    ),
    parents={},
    is_kept=False,
)


@feature("contact", "deals")
def contact_deals(contacts: Facts) -> Array:
    """Deals in which the contact is named."""
    return zero(contacts["deals"])


@feature("contact", "deals")
def contact_open_deals(contacts: Facts) -> Array:
    """Open deals in which the contact is named."""
    return zero(contacts["open_deals"])


@feature("contact", "deals")
def contact_won_deals(contacts: Facts) -> Array:
    """Deals with the contact that were won."""
    return zero(contacts["won"])


@feature("contact", "deals")
def contact_lost_deals(contacts: Facts) -> Array:
    """Deals with the contact that were lost."""
    return zero(contacts["lost"])


@feature("contact", "deals")
def contact_champion_deals(contacts: Facts) -> Array:
    """Deals in which the contact is named as champion."""
    return zero(contacts["as_champion"])


@feature("contact", "deals")
def contact_buyer_deals(contacts: Facts) -> Array:
    """Deals in which the contact is economic buyer or decision maker."""
    return zero(contacts["as_buyer"])


@feature("contact", "deals", low=None)
def contact_support(contacts: Facts) -> Array:
    """Deals that the contact supports less those that the contact opposes."""
    return zero(contacts["as_supporter"]) - zero(contacts["as_opponent"])


@feature("contact", "weeks")
def contact_weeks_known(contacts: Facts) -> Array:
    """Weeks since the contact was first named in a deal in which they still are."""
    return weeks_between(contacts.as_of, contacts["first_seen_at"])


FEATURES = features_in(globals())
