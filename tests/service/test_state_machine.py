"""The whole CRM against a model in memory: whatever is done in whatever order, each record is what the model says it is.

Records are created, edited, moved, reassigned, merged, imported, converted, deleted, restored and reverted, and any earlier
change set is undone. After each step something is read again: a record as it is now, or as it was known at an earlier
instant, or its history. At the end all of it is compared: lists, lists as of earlier instants, and every history.
"""

import json
import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from hashlib import md5
from itertools import count
from typing import Any, ClassVar

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from service import jobs
from service.db import Database
from service.importing import runs
from service.reactions import BATCHES
from service.settings import Settings
from service.worker_main import handlers
from tests.conftest import People, define
from tests.service import crm_deals
from tests.service import crm_in_memory as model
from tests.service.crm_deals import STAGES, Values
from tests.service.crm_in_memory import Change, Crm, Record
from tests.service.crm_rules import NAMES, PATH, REFERENCES, Files, blank, followed, refused

TABLES = ("accounts", "contacts", "opportunities", "leads")
DAYS = (date(2040, 1, 31), date(2040, 6, 30))

places = st.integers(0, 30)
letters = st.sampled_from(["a", "b", None])
numbers = st.sampled_from([1, 2, None])
customs = st.dictionaries(st.sampled_from(["a", "b"]), numbers, min_size=1)
amounts = st.sampled_from([Decimal(100), Decimal("250.5"), None])

EDITS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "accounts": {
        "phone": letters, "industry": letters, "annual_revenue": amounts, "parent_id": places, "cf": customs,
        "currency": st.sampled_from(["USD", "EUR", None]),
    },
    "contacts": {
        "title": letters, "phone": letters, "email_opt_out": st.booleans(), "account_id": places,
        "reports_to_id": places, "cf": customs,
    },
    "opportunities": {
        "next_step": letters, "amount": amounts, "currency": st.sampled_from(["USD", "EUR", None]),
        "close_date": st.sampled_from([*DAYS, None]), "account_id": places, "primary_contact_id": places,
        "forecast_category": st.sampled_from(["commit", "best_case", None]),
    },
    "leads": {"title": letters, "phone": letters, "industry": letters, "rating": st.sampled_from(["hot", None])},
}  # fmt: skip
NAMED = {
    table: st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=4, unique=True)
    for table, fields in EDITS.items()
}
MERGED = {
    "accounts": ["name", "phone", "industry", "annual_revenue", "currency", "parent_id", "owner_id", "type", "cf", "external_ids"],
    "contacts": ["last_name", "first_name", "title", "phone", "email_opt_out", "account_id", "reports_to_id", "owner_id", "cf", "external_ids"],
    "leads": ["last_name", "company", "title", "phone", "industry", "rating", "owner_id", "cf", "external_ids"],
}  # fmt: skip
"""What of a record one of several values stays of."""
rows = st.fixed_dictionaries(
    {"id": st.integers(1, 4), "name": st.sampled_from(["One", "Two"])},
    optional={"a": st.sampled_from([1, 2]), "text": st.sampled_from(["a", "b"]), "parent": st.integers(1, 4),
              "amount": st.sampled_from([Decimal(100), Decimal("250.5")]), "stage": st.sampled_from(["proposal", "won"]),
              "days": st.integers(0, 2)},
)  # fmt: skip


class Product:
    """The product as the machine's thread reaches it: requests, and the imports that a worker would do."""

    def __init__(
        self, client: httpx.AsyncClient, people: People, database: Database, settings: Settings
    ) -> None:
        self.client, self.database = client, database
        self.headers = people.ops.headers
        self.me = str(people.ops.id)
        self.owners = [str(person.id) for person in (people.ops, people.rep, people.stranger)]
        self.work = runs.handlers(settings)["import"]
        self.others = sorted(set(handlers(settings)) - {"import"})
        self.tags = count(1)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = {"headers": self.headers | headers}
        if body is not None:
            sent["json"] = json.loads(json.dumps(body, default=str))
        return anyio.from_thread.run(self._send, method, path, sent)

    def file(self, **form: Any) -> Values:
        """Imports a file and returns its job."""
        return anyio.from_thread.run(self._import, form)

    async def _send(self, method: str, path: str, sent: Values) -> httpx.Response:
        return await self.client.request(method, path, **sent)

    async def _import(self, form: Values) -> Values:
        text = form.pop("text")
        files = {"file": ("file.csv", text.encode())}
        answer = await self.client.post("/imports", headers=self.headers, files=files, data=form)
        assert answer.status_code == 202, answer.text
        (job,) = await jobs.claim(self.database, BATCHES, self.others)
        await jobs.finish(self.database, [job], await self.work(job))
        found = await self.client.get(f"/jobs/{job.id}", headers=self.headers)
        return found.json()  # type: ignore[no-any-return]


class Machine(RuleBasedStateMachine):
    """One example: records under a tag of their own, everything done to them by somebody of sales operations."""

    product: ClassVar[Product]

    def __init__(self) -> None:
        super().__init__()
        self.crm = Crm()
        self.tag = f"m{next(self.product.tags)}"
        self.files = Files(self.crm, self.tag, self.product.me)

    def name(self, told: str) -> str:
        """A name that is like no other example's: duplicates are looked for elsewhere."""
        return md5(f"{self.tag} {told}".encode()).hexdigest()[:12]  # no secret

    # --- what rules need --------------------------------------------------------------------------------------------

    def pick(self, place: int, *tables: str, live: bool | None = True) -> Record:
        found = self.crm.of(*tables, live=live)
        return found[place % len(found)]

    def perhaps(self, place: int, *tables: str, live: bool | None = True) -> Record | None:
        """The record at a place; at the first one, or where there is none, nothing."""
        return self.pick(place, *tables, live=live) if place and self.crm.of(*tables, live=live) else None

    def ask(self, method: str, path: str, body: Any = None, *, expect: int, **headers: str) -> Any:
        answer = self.product(method, f"/{path}", body, **headers)
        assert answer.status_code == expect, f"{method} {path} {body}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def check(self, record: Record, found: Values, number: int | None = None) -> None:
        expected = self.crm.item(record, number or record.version, self.product.me)
        wrong = model.differences(expected, found)
        assert not wrong, f"{record} differs: {wrong}"

    def look(self, record: Record, as_of: datetime | None = None, number: int | None = None) -> None:
        """Reads one record, now or as of an instant, at which its version `number` was known (0: none)."""
        number = record.version if number is None else number
        values = record.versions[number - 1].values if number else None
        there = values is not None and values["deleted_at"] is None
        at = f"?as_of={as_of.isoformat().replace('+00:00', 'Z')}" if as_of else ""
        found = self.ask("GET", f"{record.table}/{record.id}{at}", expect=200 if there else 404)
        if there:
            self.check(record, found, number)

    def history(self, record: Record) -> None:
        """A record's timeline: version by version what changed, when it was known, and by which change set."""
        items = self.ask("GET", f"{record.table}/{record.id}/history?limit=200", expect=200)["items"]
        assert [item["version"] for item in items] == list(range(record.version, 0, -1)), record
        for item in items:
            number = item["version"]
            version = record.versions[number - 1]
            assert model.same(version.known_from, item["known_from"]), (record, number, item)
            version.change.id = version.change.id or item["change_id"]
            assert version.change.id == item["change_id"], (record, number, item)
            said = {change["field"]: change["new"] for change in item["changes"]}
            wrong = model.differences(self.changed(record, number), said)
            assert not wrong, f"{record}: the history of version {number} differs: {wrong}"

    def changed(self, record: Record, number: int) -> Values:
        """Field → its new value in a version, as a history tells it."""

        def told(at: int) -> Values:
            if not at:
                return {}
            values = record.versions[at - 1].values
            more = {f"cf.{key}": value for key, value in values["cf"].items()}
            if record.table == "opportunities":
                more["expected_revenue"] = crm_deals.expected_revenue(values)
            return {name: value for name, value in values.items() if name != "cf"} | more

        old, new = told(number - 1), told(number)
        if number == 1:
            return {name: value for name, value in new.items() if value not in (None, [], {})}
        return {name: new.get(name) for name in old | new if old.get(name) != new.get(name)}

    def step(self, work: Callable[[], None]) -> None:
        """Does something, then looks at something."""
        self.crm.begin()
        work()
        self.crm.end()
        chance = random.Random(f"{len(self.crm.instants)} {len(self.crm.changes)}")  # the same in each run
        if self.crm.records:
            self.glance(chance)

    def glance(self, chance: random.Random) -> None:
        last = self.crm.changes[-1].touched if self.crm.changes else {}
        touched = [self.crm.records[id] for id in last]
        record = chance.choice(touched or list(self.crm.records.values()))
        self.look(record)
        record = chance.choice(list(self.crm.records.values()))
        if chance.random() < 0.5:
            self.look(record, *self.instant(record, chance))
        elif chance.random() < 0.5:
            self.history(record)
            self.look_at_the_edge(record, chance)

    def instant(self, record: Record, chance: random.Random) -> tuple[datetime, int]:
        """An earlier instant, and the version that was known then."""
        at, step = self.when(chance)
        return at, self.crm.then(record, at, step)

    def when(self, chance: random.Random) -> tuple[datetime, int]:
        if self.files.asserted and chance.random() < 0.3:
            return chance.choice(self.files.asserted) + timedelta(seconds=chance.choice([-1, 0, 1])), -1
        step = chance.randrange(len(self.crm.instants))
        return self.crm.instants[step], step

    def look_at_the_edge(self, record: Record, chance: random.Random) -> None:
        """The very microsecond at which a version was known, and the one before."""
        number = chance.randint(1, record.version)
        known = record.versions[number - 1].known_from
        at = known.seen if isinstance(known, model.Moment) else known
        assert at is not None
        before = number - 1
        if number > 1:  # two versions of one instant: an import's, and a rule's behind it
            former = record.versions[before - 1].known_from
            assert (former.seen if isinstance(former, model.Moment) else former) < at
        self.look(record, at, number)
        self.look(record, at - timedelta(microseconds=1), before)

    # --- rules ------------------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        for table in ("accounts", "accounts", "contacts", "opportunities", "opportunities", "leads"):
            self.create(table=table, place=0)

    @rule(table=st.sampled_from(TABLES), place=places)
    def create(self, table: str, place: int) -> None:
        self.step(lambda: self._create(table, place))

    def _create(self, table: str, place: int) -> None:
        draft: Values = {NAMES[table]: self.name(f"{len(self.crm.records)}"), "cf": {"tag": self.tag}}
        account, contact = self.perhaps(place, "accounts"), self.perhaps(place, "contacts")
        if table in ("contacts", "opportunities"):
            draft["account_id"] = account and account.id
        if table == "opportunities":
            draft |= {"primary_contact_id": contact and contact.id, "amount": Decimal(100)}
        made = self.ask("POST", table, draft, expect=201)
        values = blank(table) | draft | {"owner_id": self.product.me, "external_ids": {}}
        if table == "opportunities":
            values |= crm_deals.entered("prospecting", self.crm.moment())
            values |= {"currency": "USD", "amount_home": Decimal(100)}
        elif table == "leads":
            values |= {"owner_id": None, "status": "new"}
        self.check(self.crm.create(self.crm.change("create"), table, made["id"], values), made)

    @precondition(lambda self: self.crm.of(*TABLES))
    @rule(data=st.data(), place=places, is_stale=st.integers(0, 9))
    def edit(self, data: Any, place: int, is_stale: int) -> None:
        record = self.pick(place, *TABLES)
        names = data.draw(NAMED[record.table])
        sent = {name: data.draw(EDITS[record.table][name]) for name in names}
        for name in names:
            if name in REFERENCES:
                other = self.perhaps(sent[name], REFERENCES[name], live=None)
                sent[name] = other and other.id
        self.step(lambda: self._edit(record, sent, stale=is_stale == 0))

    def _edit(self, record: Record, sent: Values, *, stale: bool) -> None:
        path, match = f"{record.table}/{record.id}", f'"{record.version - stale}"'
        if stale:
            self.ask("PATCH", path, sent, expect=412, **{"If-Match": match})
            return
        status = refused(self.crm, record, sent)
        found = self.ask("PATCH", path, sent, expect=status or 200, **{"If-Match": match})
        if not status:
            self.crm.write(self.crm.change("edit"), record, followed(record, sent))
            self.check(record, found)

    @precondition(lambda self: self.crm.of("opportunities"))
    @rule(place=places, to=st.sampled_from(sorted(STAGES)))
    def move(self, place: int, to: str) -> None:
        self.step(lambda: self._move(self.pick(place, "opportunities"), to))

    def _move(self, deal: Record, to: str) -> None:
        reason = {"reason": "price"} if to == "lost" else {}
        refused = deal.now["stage"] == to
        found = self.ask(
            "POST", f"opportunities/{deal.id}/stage", {"to": to} | reason, expect=409 if refused else 200,
            **{"If-Match": f'"{deal.version}"'},
        )  # fmt: skip
        if not refused:
            changes = crm_deals.moved(deal.now, to, reason.get("reason"), self.crm.moment())
            self.crm.write(self.crm.change("move"), deal, changes)
            self.check(deal, found)

    @precondition(lambda self: self.crm.of("leads"))
    @rule(place=places, to=st.sampled_from(["working", "qualified", "unqualified"]))
    def qualify(self, place: int, to: str) -> None:
        self.step(lambda: self._qualify(self.pick(place, "leads"), to))

    def _qualify(self, lead: Record, to: str) -> None:
        refused = to not in PATH[lead.now["status"]]
        body = {"to": to, "reason": "no need"} if to == "unqualified" else {"to": to}
        found = self.ask("POST", f"leads/{lead.id}/status", body, expect=409 if refused else 200)
        if not refused:
            changes = {"status": to, "unqualified_reason": body.get("reason")}
            if to == "working" and lead.now["first_response_at"] is None:
                changes["first_response_at"] = self.crm.moment()
            self.crm.write(self.crm.change("status"), lead, changes)
            self.check(lead, found)

    @precondition(lambda self: self.crm.of("accounts", "opportunities", "leads"))
    @rule(place=places, owner=st.integers(0, 2))
    def assign(self, place: int, owner: int) -> None:
        record = self.pick(place, "accounts", "opportunities", "leads")
        self.step(lambda: self._assign(record, self.product.owners[owner]))

    def _assign(self, record: Record, owner: str) -> None:
        found = self.ask("POST", f"{record.table}/{record.id}/assign", {"owner_id": owner}, expect=200)
        changes: Values = {"owner_id": owner}
        if record.table == "leads" and record.now["owner_id"] != owner:
            changes["assigned_at"] = self.crm.moment()
        self.crm.write(self.crm.change("assign"), record, changes)
        self.check(record, found)

    @precondition(lambda self: self.crm.of(*TABLES))
    @rule(place=places)
    def delete(self, place: int) -> None:
        self.step(lambda: self._delete(self.pick(place, *TABLES)))

    def _delete(self, record: Record) -> None:
        self.ask("DELETE", f"{record.table}/{record.id}", expect=204)
        self.crm.write(self.crm.change("delete"), record, {"deleted_at": self.crm.moment()})

    @precondition(lambda self: self.crm.of(*TABLES, live=False))
    @rule(place=places)
    def restore(self, place: int) -> None:
        self.step(lambda: self._restore(self.pick(place, *TABLES, live=False)))

    def _restore(self, record: Record) -> None:
        refused = bool(record.now.get("merged_into_id"))
        path = f"{record.table}/{record.id}/restore"
        found = self.ask("POST", path, expect=409 if refused else 200)
        if not refused:
            self.crm.write(self.crm.change("restore"), record, {"deleted_at": None})
            self.check(record, found)

    @precondition(lambda self: self.aged())
    @rule(place=places, version=places)
    def revert(self, place: int, version: int) -> None:
        found = self.aged()
        record = found[place % len(found)]
        self.step(lambda: self._revert(record, version % (record.version - 1) + 1))

    def aged(self) -> list[Record]:
        return [record for record in self.crm.of("accounts", "contacts") if record.version > 1]

    def _revert(self, record: Record, number: int) -> None:
        """Back to one of its versions, but for whether it is deleted."""
        former = record.versions[number - 1].values
        values = {
            name: value for name, value in former.items() if name not in ("deleted_at", "merged_into_id")
        }
        sent = values | {"cf": record.now["cf"] | former["cf"]}
        status = refused(self.crm, record, sent)
        path, headers = f"{record.table}/{record.id}/revert", {"If-Match": f'"{record.version}"'}
        found = self.ask("POST", path, {"version": number}, expect=status or 200, **headers)
        if not status:
            self.crm.write(self.crm.change("revert"), record, sent)
            self.check(record, found)

    @precondition(lambda self: self.crowded())
    @rule(table=places, place=places, losers=st.integers(1, 2), choice=places)
    def merge(self, table: int, place: int, losers: int, choice: int) -> None:
        tables = self.crowded()
        found = self.crm.of(tables[table % len(tables)])
        first = place % len(found)
        records = [*found[first:], *found[:first]][: losers + 1]
        self.step(lambda: self._merge(records[0], records[1:], choice))

    def crowded(self) -> list[str]:
        return [table for table in MERGED if len(self.crm.of(table)) > 1]

    def _merge(self, winner: Record, losers: list[Record], choice: int) -> None:
        for record in (winner, *losers):
            self.look(record)
        name, source = NAMES[winner.table], [winner, *losers][choice % (1 + len(losers))]
        kept = self.crm.survivors(winner, losers, MERGED[winner.table]) | {name: source.now[name]}
        if kept.get("annual_revenue") != winner.now.get("annual_revenue"):
            newest = sorted(losers, key=model._updated, reverse=True)
            kept["currency"] = next(r for r in newest if r.now["annual_revenue"] is not None).now["currency"]
        converted = any(record.now.get("converted_at") for record in (winner, *losers))
        refused = converted or self.crm.merge_closes_ring(winner, losers, kept)
        body = {
            "resource": winner.table, "winner_id": winner.id, "loser_ids": [loser.id for loser in losers],
            "fields": {name: source.id},
        }  # fmt: skip
        found = self.ask("POST", "merge", body, expect=409 if refused else 200)
        if not refused:
            change = self.crm.merge(winner, losers, kept)
            change.id = found["change_id"]
            self.check(winner, found["record"])

    @precondition(lambda self: self.standing("merge"))
    @rule(place=places)
    def unmerge(self, place: int) -> None:
        merges = self.standing("merge")
        self.step(lambda: self._undo(merges[place % len(merges)]))

    @precondition(lambda self: self.standing())
    @rule(place=st.integers(0, 2) | st.integers(0, 50))
    def undo(self, place: int) -> None:
        changes = self.standing()
        self.step(lambda: self._undo(changes[-1 - place % len(changes)]))

    def standing(self, *kinds: str) -> list[Change]:
        return [
            change for change in self.crm.changes
            if change.touched and (not kinds or (change.kind in kinds and not change.is_undone))
        ]  # fmt: skip

    def _undo(self, change: Change) -> None:
        if change.id is None:
            self.history(self.crm.records[next(iter(change.touched))])
        path = f"changes/{change.id}/undo"
        if change.is_undone:
            found = self.ask("POST", path, expect=409)
            assert change.undone
            assert found["undone_by"] == change.undone.id
            return
        conflicts = self.crm.conflicts(change)
        found = self.ask("POST", path, expect=409 if conflicts else 200)
        if conflicts:
            self.same_conflicts(conflicts, found["conflicts"])
        else:
            self.crm.undo(change).id = found["change_id"]

    def same_conflicts(self, expected: list[model.Conflict], found: list[Values]) -> None:
        """Record, field and both values of each; of very many the first."""
        by_place = {(one.table, one.id, one.field): one for one in expected}
        assert len(found) == min(len(expected), 20), (expected, found)
        for one in found:
            wanted = by_place.pop((one["resource"], one["id"], one["field"]))
            assert model.same(wanted.made, one["made"]), (wanted, one)
            assert model.same(wanted.now, one["now"]), (wanted, one)

    @precondition(lambda self: self.crm.of("leads"))
    @rule(place=places, into=st.integers(0, 3), with_deal=st.booleans())
    def convert(self, place: int, into: int, with_deal: bool) -> None:
        lead, account = self.pick(place, "leads"), self.perhaps(into, "accounts")
        self.step(lambda: self._convert(lead, account, with_deal))

    def _convert(self, lead: Record, account: Record | None, with_deal: bool) -> None:
        refused = lead.now["status"] in ("converted", "unqualified")
        body = {"account_id": account and account.id, "create_opportunity": with_deal}
        found = self.ask("POST", f"leads/{lead.id}/convert", body, expect=409 if refused else 200)
        if refused:
            return
        change, now = self.crm.change("convert"), lead.now
        told = {"phone": now["phone"], "owner_id": now["owner_id"], "cf": now["cf"]}
        if account:
            learnt = {name: now[name] for name in ("phone", "industry") if account.now[name] is None}
            learnt["cf"] = now["cf"] | account.now["cf"]
            self.crm.write(change, account, learnt)
        else:
            name = now["company"] or now["last_name"]
            values = (
                blank("accounts") | told | {"name": name, "type": "prospect", "industry": now["industry"]}
            )
            account = self.crm.create(change, "accounts", found["account"]["id"], values)
        person = told | {"last_name": now["last_name"], "title": now["title"], "account_id": account.id}
        contact = self.crm.create(change, "contacts", found["contact"]["id"], blank("contacts") | person)
        made = {"account": account, "contact": contact, "lead": lead}
        if with_deal:
            made["opportunity"] = self.deal_of(change, found["opportunity"]["id"], lead, account, contact)
        changes = {f"converted_{name}_id": record.id for name, record in made.items() if record is not lead}
        self.crm.write(change, lead, changes | {"status": "converted", "converted_at": self.crm.moment()})
        for name, record in made.items():
            self.check(record, found[name])

    def deal_of(self, change: Change, id: str, lead: Record, account: Record, contact: Record) -> Record:
        values = blank("opportunities") | crm_deals.entered("prospecting", self.crm.moment())
        values |= {
            "name": account.now["name"], "account_id": account.id, "primary_contact_id": contact.id,
            "owner_id": lead.now["owner_id"] or self.product.me, "currency": "USD", "cf": lead.now["cf"],
        }  # fmt: skip
        return self.crm.create(change, "opportunities", id, values)

    # --- imports ----------------------------------------------------------------------------------------------------

    @rule(
        table=st.sampled_from(["accounts", "contacts", "opportunities"]),
        rows=st.lists(rows, min_size=1, max_size=3),
    )
    def load(self, table: str, rows: list[Values]) -> None:
        by_id = {str(row["id"]): row for row in rows if len(self.files.holders(table, str(row["id"]))) < 2}
        if by_id:
            self.step(lambda: self._load(table, by_id))

    def _load(self, table: str, rows: dict[str, Values]) -> None:
        lines = [
            self.files.line(table, external, row | {"name": self.name(row["name"])})
            for external, row in rows.items()
        ]
        columns = list(dict.fromkeys(name for line in lines for name in line))
        text = ",".join(columns) + "\n"
        text += "".join(",".join(str(line.get(name, "")) for name in columns) + "\n" for line in lines)
        mapping = json.dumps({name: name for name in columns})
        job = self.product.file(text=text, resource=table, source=self.tag, mapping=mapping)
        assert job["status"] == "done", job
        change = self.crm.change("import")
        counts = dict.fromkeys(("created", "updated", "unchanged", "failed"), 0)
        rings = self.files.in_rings(lines) if table == "accounts" else set()
        for line in lines:
            counts[self.files.loaded(change, table, line, rings)] += 1
        found = {name: job["counts"].get(name, 0) for name in counts}
        assert found == counts, (text, job["counts"], job["errors"], counts)
        created = [record for id in change.touched if (record := self.crm.records[id]).version == 1]
        for record in created:
            self.crm.records.pop(record.id)
        change.touched = {id: span for id, span in change.touched.items() if id in self.crm.records}
        for record in created:
            self.known_by(change, record)
        if change.touched:
            change.id = job["change_id"]

    def known_by(self, change: Change, record: Record) -> None:
        """The id that the product gave to a record of the file."""
        external = record.now["external_ids"][self.tag]
        found = self.ask("GET", f"{record.table}?external_ids.{self.tag}={external}&fields=id", expect=200)
        (one,) = found["items"]
        record.id = one["id"]
        self.crm.records[record.id] = record
        change.touched[record.id] = (1, 1)

    # --- the end ----------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not self.crm.records:
            return
        chance = random.Random(f"{len(self.crm.instants)}")  # the same in each run
        for table in TABLES:
            self.look_at_all(table)
            self.look_at_all(table, live=False)
            at, step = self.when(chance)
            self.look_at_all(table, at, step)
        for record in self.crm.records.values():
            self.history(record)

    def look_at_all(
        self, table: str, at: datetime | None = None, step: int = 0, *, live: bool = True
    ) -> None:
        """A whole list, or that of deleted records, now or as of an instant."""
        expected = {}
        for record in self.crm.of(table, live=None):
            number = self.crm.then(record, at, step) if at else record.version
            if number and (record.versions[number - 1].values["deleted_at"] is None) is live:
                expected[record.id] = (record, number)
        as_of = f"&as_of={at.isoformat().replace('+00:00', 'Z')}" if at else ""
        query = f"cf.tag={self.tag}&limit=200&count=true{as_of}{'' if live else '&deleted=true'}"
        found = self.ask("GET", f"{table}?{query}", expect=200)
        assert {item["id"] for item in found["items"]} == expected.keys(), (table, at)
        assert found["count"] == len(expected)
        for item in found["items"]:
            self.check(*(expected[item["id"]][0], item, expected[item["id"]][1]))


@pytest.mark.anyio
@pytest.mark.proof
async def test_the_crm_is_what_the_model_says(
    client: httpx.AsyncClient,
    people: People,
    database: Database,
    settings: Settings,
    size: Callable[[int, int], int],
) -> None:
    for entity in ("account", "contact", "opportunity", "lead"):
        await define(database, entity, tag="text", a="integer", b="integer")
    rate = {"currency": "EUR", "date": "2000-01-01", "rate": "1.25"}
    answer = await client.post("/exchange-rates", headers=people.ops.headers, json=rate)
    assert answer.status_code == 201, answer.text
    Machine.product = Product(client, people, database, settings)
    await anyio.to_thread.run_sync(run, size(100, 2_000))


def run(examples: int) -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=50, deadline=None, database=None, derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
