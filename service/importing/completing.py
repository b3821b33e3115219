"""What the product's rules derive from a plain row, for many rows at once: a deal's stage, its worth at home, an owner.

The ordinary routes ask the database for each record (`Resource.prepare`); here the catalogues are read once a chunk, and
each record is completed from memory. Files with a history of their own (`service/integrations/`) say all of it themselves.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from service import calendar, money, moves, validation
from service.access import Actor
from service.db import Database, Tx
from service.errors import Forbidden, Invalid
from service.importing.deals import entered
from service.importing.judging import Good, empty
from service.importing.known import Known
from service.importing.records import Record, Values
from service.importing.storing import Store
from service.resource import Resource
from service.rules import MOST_MONEY, refuse

_OPERATOR = (
    "SELECT id FROM users WHERE role = 'admin' AND is_active AND deleted_at IS NULL ORDER BY id LIMIT 1"
)
_WORTH = frozenset({"amount", "currency", "status", "closed_on"})


class Completion:
    """Completes the records of one import; `load` first, then `one` for each record, without the database."""

    def __init__(
        self, database: Database, actor: Actor, now: datetime, resources: dict[str, Resource]
    ) -> None:
        self.database, self.actor, self.now, self.resources = database, actor, now, resources
        self.company = calendar.Company()
        self._stages: dict[UUID | None, list[Values]] = {}
        self._rates: dict[str, list[tuple[date, Decimal]]] = {}
        self._products: dict[UUID, Values] = {}
        self._deals: dict[UUID, Values] = {}
        self._rules: Sequence[validation.Rule] = ()
        self._operator: UUID | None = None
        """Who owns the deals that name nobody, where nobody in particular imports: the command line."""

    async def load(self, table: str, records: Sequence[Record], known: Known) -> None:
        """Reads what the records of a chunk need to be completed."""
        self._rules = await validation.rules_of(self.database, table)
        if table not in ("opportunities", "lines"):
            return
        self.company = await calendar.company(self.database)
        await self._load_rates()
        if table == "opportunities":
            await self._load_stages()
            if self.actor.id is None and self._operator is None:
                self._operator = await self.database.fetchval(_OPERATOR)
            return
        firsts = [{n: known.resolve(v) for n, v in record.versions[0].values.items()} for record in records]
        self._products = await self._rows(
            "SELECT id, list_price, currency FROM products WHERE id = ANY($1::uuid[])",
            [_uuid(values.get("product_id")) for values in firsts],
        )
        self._deals = await self._rows(
            "SELECT id, currency, close_date, created_at FROM opportunities WHERE id = ANY($1::uuid[])"
            " /* access:opportunities */",
            [_uuid(values.get("opportunity_id")) for values in firsts],
        )

    async def _rows(self, sql: str, ids: list[UUID | None]) -> dict[UUID, Values]:
        rows = await self.database.fetch(sql, [one for one in ids if one])
        return {row["id"]: dict(row) for row in rows}

    async def _load_stages(self) -> None:
        rows = await self.database.fetch(
            "SELECT s.*, p.is_default FROM stages s JOIN pipelines p ON p.id = s.pipeline_id"
            " WHERE s.deleted_at IS NULL AND p.deleted_at IS NULL AND p.is_active"
            " ORDER BY p.is_default DESC, p.id, s.position, s.id"
        )
        self._stages = defaultdict(list)
        for row in rows:
            self._stages[row["pipeline_id"]].append(dict(row))
        if rows:
            self._stages[None] = self._stages[rows[0]["pipeline_id"]]

    async def _load_rates(self) -> None:
        rows = await self.database.fetch(
            "SELECT currency, date, rate FROM exchange_rates WHERE deleted_at IS NULL ORDER BY date"
        )
        self._rates = defaultdict(list)
        for row in rows:
            self._rates[row["currency"]].append((row["date"], row["rate"]))

    # --- one record -----------------------------------------------------------------------------------------------

    def one(self, table: str, values: Values, good: Good) -> Values:
        """A new record's values with what follows from them; a known record's as they are (`changed` completes those)."""
        if good.is_here:
            return values
        resource = self.resources[table]
        given = {name: value for name, value in values.items() if value is not None}
        if resource.defaults:
            found = resource.defaults(given, self.actor, self.now)
            given |= {name: value for name, value in found.items() if given.get(name) is None}
        if table == "opportunities":
            if given.get("owner_id") is None:
                given["owner_id"] = self._operator
            given |= self._deal(given, given)
        elif table == "lines":
            given |= self._price(given)
        elif table == "users":
            self._refuse_administrators(given.get("role"))
        self.refuse(empty(resource.table) | {"id": good.id} | given)
        return given

    def refuse(self, row: Values) -> None:
        """Raises `Invalid` where the company's own rules are against a row."""
        refuse(validation.faults(self._rules, row))

    def changed(self, table: str, row: Values, changes: Values) -> Values:
        """What changes beside `changes` in a row that is stored."""
        if table == "users" and not {"role", "email", "is_active"}.isdisjoint(changes):
            self._refuse_administrators(row["role"], changes.get("role"))
        if table != "opportunities":
            return {}
        new = row | changes
        found: Values = {}
        if "stage" in changes or "pipeline_id" in changes:
            found = self._restaged(row, changes)
        elif "forecast_category" in changes:
            found = {"forecast_category_source": "user"}
        if not _WORTH.isdisjoint({*changes, *found}):
            found |= self._worth(new | found)
        return found

    def _restaged(self, row: Values, changes: Values) -> Values:
        """What follows from another stage: a close of its own, and nothing of the one before."""
        former = {name: None for name in moves.CLOSE if row["status"] != "open"}
        found = self._deal(row | former | changes, changes)
        gone = former if found["status"] == "open" else ["loss_reason"] if found["status"] != "lost" else []
        return {name: None for name in gone if name not in changes} | found

    def _refuse_administrators(self, *roles: str | None) -> None:
        if "admin" in roles and self.actor.role != "admin":
            raise Forbidden("Only an administrator may do this to an administrator.")

    def _deal(self, deal: Values, told: Values) -> Values:
        """Stage, status, chance, category, currency and worth of a deal; `told`: what the file says of it."""
        stages = self._stages.get(deal.get("pipeline_id")) or []
        key = deal.get("stage")
        stage = dict(moves.find(stages, key, "stage") if key else moves.first(stages))
        if stage["status"] != "lost" and told.get("loss_reason"):
            raise Invalid.at("/loss_reason", "only a lost deal has one")
        found = entered(stage, self._closing(deal, stage), self.now, self.company.time_zone)
        found |= {"pipeline_id": stage["pipeline_id"], "forecast_category": stage["forecast_category"]}
        found["forecast_category_source"] = "stage"
        chosen = told.get("forecast_category")
        if chosen and stage["status"] == "open":
            found |= {"forecast_category": chosen, "forecast_category_source": "user"}
        return found | self._worth(deal | found)

    def _closing(self, deal: Values, stage: Values) -> datetime | None:
        """When a closed deal was closed: as the file says, else its close date unless that lies ahead, else now."""
        if stage["status"] == "open":
            return None
        told: datetime | None = deal.get("closed_at")
        if told:
            return min(told, self.now)
        day = deal.get("closed_on") or deal.get("close_date")
        return min(self.company.midnight(day), self.now) if day else None

    def _worth(self, deal: Values) -> Values:
        currency = deal.get("currency") or self.company.home_currency
        day = deal.get("closed_on") or self.company.today(self.now)
        return {"currency": currency, "amount_home": self._at_home(deal.get("amount"), currency, day)}

    def _price(self, line: Values) -> Values:
        """The product's list price in the deal's currency, where the file names none."""
        product, deal = self._products.get(line["product_id"]), self._deals.get(line["opportunity_id"])
        if line.get("unit_price") is not None or product is None or deal is None:
            return {}
        home = self.company.home_currency
        source, into = product["currency"] or home, deal["currency"] or home
        if source == into or product["list_price"] is None:
            return {"unit_price": product["list_price"]}
        day = deal["close_date"] or deal["created_at"].date()
        worth, factor = self._at_home(product["list_price"], source, day), self.rate(into, day)
        return {"unit_price": None if worth is None or not factor else money.kept(worth / factor)}

    def _at_home(self, amount: Decimal | None, currency: str, day: date) -> Decimal | None:
        if amount is not None and not (amount.is_finite() and abs(amount) < MOST_MONEY):
            return None  # the rules refuse it, and say so
        factor = self.rate(currency, day)
        return None if amount is None or factor is None else money.kept(amount * factor)

    def rate(self, currency: str, day: date) -> Decimal | None:
        """The newest rate up to `day`, else the first one after it."""
        if currency == self.company.home_currency:
            return Decimal(1)
        rates = self._rates.get(currency)
        if not rates:
            return None
        return rates[max(0, bisect_right(rates, day, key=lambda rate: rate[0]) - 1)][1]

    # --- behind a chunk ---------------------------------------------------------------------------------------------

    async def after(self, tx: Tx, store: Store, table: str, goods: Sequence[Good]) -> None:
        """What other records take from these: a deal's amount from its lines, a lead's first response from a call."""
        if table == "lines":
            await self._total(tx, store, [_uuid(good.state().get("opportunity_id")) for good in goods])
        elif table == "activities":
            await self._respond(tx, goods)

    async def _total(self, tx: Tx, store: Store, deals: list[UUID | None]) -> None:
        rows = await tx.fetch(
            "SELECT t.id, t.amount, t.currency, t.closed_on, sum(l.total_price) AS total FROM opportunities t"
            " JOIN lines l ON l.opportunity_id = t.id AND l.deleted_at IS NULL WHERE t.id = ANY($1::uuid[])"
            " GROUP BY t.id HAVING sum(l.total_price) IS DISTINCT FROM t.amount"
            " /* access:opportunities */ /* access:lines */",
            list({deal for deal in deals if deal}),
        )
        changes = [
            (row["id"], {"amount": row["total"]} | self._worth(dict(row) | {"amount": row["total"]}))
            for row in rows
            if row["total"] is not None
        ]
        if changes:
            await store.change(tx, "opportunities", changes)

    async def _respond(self, tx: Tx, goods: Sequence[Good]) -> None:
        spoke = [
            (values["lead_id"], values["occurred_at"])
            for good in goods
            if (values := good.state()).get("lead_id")
            and values.get("status") == "completed"
            and values.get("direction") == "outbound"
        ]
        if not spoke:
            return
        await tx.execute(
            "UPDATE leads t SET first_response_at = s.at, version = version + 1, updated_at = clock_timestamp()"
            " FROM (SELECT x.lead, min(x.at) AS at FROM unnest($1::uuid[], $2::timestamptz[]) AS x(lead, at)"
            " GROUP BY x.lead) s WHERE t.id = s.lead AND t.first_response_at IS NULL AND t.created_at <= s.at"
            " /* access:leads */",
            [lead for lead, _ in spoke],
            [at.astimezone(UTC) for _, at in spoke],
        )


def _uuid(value: Any) -> UUID | None:
    if value is None or isinstance(value, UUID):
        return value
    try:
        return UUID(str(value))
    except ValueError:
        return None
