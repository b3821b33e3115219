"""What names a definition: what it reads and computes, and nothing else; former names are still understood."""

import hashlib
from dataclasses import replace

import pytest

from features import catalogue, leads, notes, opportunities, rooms
from features.catalogue import ENTITIES, SAME, SETS, Gone, is_meant, learned_on
from features.spec import Entity, Source, definition, formerly

WRITTEN = "853e17821488894d5089ca9a0cbe278ed8051ce75b76f587ada2ea38938054d1"
"""The sha256 over the names of all definitions as models wrote them down when an entity's whole SQL was part of them."""


def names_then() -> dict[str, str]:
    """Feature → the name of its definition then."""
    since = {f.name for f in (*rooms.FEATURES, *notes.FEATURES)}
    learned = {f.name: f for known in SETS.values() for f in known.features if f.name not in since}
    return {name: formerly(f, SAME[f.entity][0]) for name, f in learned.items()}


def test_what_an_entity_learns_to_tell_leaves_other_definitions_as_they_are() -> None:
    deal = ENTITIES["opportunity"]
    more = Source("accounts", {"created_at": "instant"}, is_list=True)
    wider = {**ENTITIES, "opportunity": Entity(deal.name, (*deal.sources, more), deal.parents)}
    one = opportunities.amount_log
    assert wider["opportunity"].fingerprint != deal.fingerprint
    assert definition(one, wider) == definition(one, ENTITIES)
    first = replace(deal.sources[0], columns={**deal.sources[0].columns, "another": "number"})
    changed = {**ENTITIES, "opportunity": Entity(deal.name, (first, *deal.sources[1:]), deal.parents)}
    assert definition(one, changed) != definition(one, ENTITIES)


def test_names_that_models_wrote_down_before_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    then = names_then()
    text = "\n".join(f"{name} {meant}" for name, meant in sorted(then.items()))
    assert hashlib.sha256(text.encode()).hexdigest() == WRITTEN
    for name, whole in SETS.items():
        assert learned_on(name, {one: then[one] for one in whole.names if one in then}) is whole
    # once the entity means something else they are understood no more
    monkeypatch.setitem(catalogue.SAME, "lead", (SAME["lead"][0], "another"))
    assert not is_meant(leads.lead_status, then["lead_status"])
    with pytest.raises(Gone, match="lead_status"):
        learned_on("lead_convert", {"lead_status": then["lead_status"]})
