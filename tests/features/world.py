"""A small company with awkward histories: tied instants, instants on a window's edge, late records, planned meetings,
deals that are closed and opened again, deleted and restored, merged and taken apart, values of custom fields of any kind.

All instants are full hours of 200 days, so that ties and edges are common rather than lucky.
"""

import itertools
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 200
HOUR = timedelta(hours=1)
STAGES = ("prospecting", "qualification", "proposal", "negotiation")
CATALOGUES = ("stages", "products", "users", "teams")
EDGES = (7, 14, 28, 90)
TABLES = (
    "stages", "products", "users", "teams", "accounts", "contacts", "opportunities", "activities", "stakeholders",
    "lines", "leads", "guest_links", "comments", "plan_items", "notes",
)  # fmt: skip

Row = dict[str, Any]


def instant(hour: int) -> datetime:
    return START + hour * HOUR


@dataclass
class World:
    """Rows of `history.*` by table; `instants` holds for each entity when something happened to it."""

    seed: int
    rows: dict[str, list[Row]] = field(default_factory=dict)
    instants: dict[UUID, set[datetime]] = field(default_factory=dict)

    visits: list[Row] = field(default_factory=list)
    """Visits of guests, whole: what is not recorded yet is not read yet either."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.pipeline = self.new_id()
        self._catalogues()
        self.accounts = [self._account() for _ in range(5)]
        self.deals = [self._deal() for _ in range(30)]
        self.leads = [self._lead() for _ in range(15)]
        for contact in dict.fromkeys(self.contacts):
            self._plain("contacts", contact)
        for team in self.teams:
            self._plain("teams", team)
        self._merge("account_id", "accounts", self.accounts[0], self.accounts[1])
        self._merge("opportunity_id", "opportunities", self.deals[0], self.deals[1])
        self._merge("opportunity_id", "opportunities", self.deals[2], self.deals[3])

    def new_id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def versions(self, table: str, name: UUID, states: Iterable[tuple[datetime, Row]]) -> None:
        """Keeps a row for each state, known from its instant until the next one's."""
        listed = list(states)
        ends = [at for at, _ in listed[1:]] + [FOREVER]
        for number, ((at, state), end) in enumerate(zip(listed, ends, strict=True), start=1):
            self.rows.setdefault(table, []).append(
                {"id": name, "version": number, "known_from": at, "known_to": end, **state}
            )
            self._happens(at, name, state)

    def between(self, table: str, name: UUID, start: datetime, stop: datetime, change: Row) -> None:
        """Changes what is known of a record in a span; versions are cut where it begins and ends."""
        rows = self.rows[table]
        own = [row for row in rows if row["id"] == name]
        cut: list[Row] = []
        for row in own:
            begin, end = row["known_from"], row["known_to"]
            edges = [begin, *(at for at in (start, stop) if begin < at < end), end]
            for low, high in itertools.pairwise(edges):
                inside = start <= low < stop
                cut.append(row | {"known_from": low, "known_to": high} | (change if inside else {}))
                self._happens(low, name, cut[-1])
        self.rows[table] = [row for row in rows if row["id"] != name] + [
            row | {"version": number} for number, row in enumerate(cut, start=1)
        ]

    def _merge(self, link: str, table: str, loser: UUID, winner: UUID) -> None:
        """The loser is gone for some weeks and what belongs to it is the winner's; then the merge is taken back."""
        start = self._hour(1500, 2500)
        span = instant(start), instant(start + self.random.choice([24 * 7, 24 * 28, 24 * 40]))
        self.between(table, loser, *span, {"deleted_at": span[0]})
        for other in list(self.rows):
            belongs = {row["id"] for row in self.rows[other] if row.get(link) == loser}
            for name in sorted(belongs):
                self.between(other, name, *span, {link: winner})

    def _plain(self, table: str, name: UUID) -> None:
        """A record of which only its custom fields are looked at."""
        at = self._hour(0, 2000)
        states = [{"cf": self._cf(), "deleted_at": None} for _ in range(2)]
        self.versions(table, name, [(instant(at), states[0]), (instant(at + self._hour(0, 2000)), states[1])])

    def _cf(self) -> str:
        """Values of custom fields as the column holds them, some of them of another type than was declared."""
        values: Row = {
            "seats": self.random.choice([5, 0, -2.5, "five", None]),
            "worth": self.random.choice(["1200.50", "-3", "much"]),
            "agreed": self.random.choice([True, False, "yes"]),
            "renewal": self.random.choice(["2026-03-01", "2026-07-31", "soon"]),
            "called": self.random.choice(["2026-02-01T09:00:00.000000Z", ""]),
            "tier": self.random.choice(["gold", "silver", 3]),
            "regions": self.random.choice([["south", "north"], ["north"], []]),
            "remark": self.random.choice(["", "short", "x" * 5_000]),
        }
        kept = {key: value for key, value in values.items() if self.random.random() < 0.7}
        return json.dumps(kept if self.random.random() < 0.8 else {})

    def whole(self) -> dict[str, list[Row]]:
        """All that the tables hold in the end."""
        return self.rows | {VISITS: self.visits}

    def known_by(self, at: datetime) -> dict[str, list[Row]]:
        """What the tables held at an instant: nothing that became known later, but for the catalogues."""
        visits = [row for row in self.visits if row["recorded_at"] <= at]
        return {VISITS: visits} | {
            table: [
                row | {"known_to": row["known_to"] if row["known_to"] <= at else FOREVER}
                for row in rows
                if row["known_from"] <= at or (table in CATALOGUES and row["version"] == 1)
            ]
            for table, rows in self.rows.items()
        }

    def spine(self, entities: list[UUID], size: int) -> list[tuple[UUID, datetime]]:
        """Random pairs; two in three at instants where something happens to the entity, or leaves a window."""
        happenings = {name: sorted(self.instants.get(name, ())) for name in entities}
        pairs = []
        for _ in range(size):
            name = self.random.choice(entities)
            at = instant(self.random.randrange(DAYS * 24))
            if happenings[name] and self.random.random() < 0.67:
                at = self.random.choice(happenings[name]) + timedelta(days=self.random.choice((0, 0, *EDGES)))
            pairs.append((name, at))
        return pairs

    def _happens(self, at: datetime, name: UUID, state: Row) -> None:
        links = (state.get(f"{link}_id") for link in ("opportunity", "account", "lead", "owner", "contact"))
        for one in (name, *links):
            if one is not None:
                self.instants.setdefault(one, set()).add(at)

    # the parts

    def _hour(self, low: int = 0, high: int = DAYS * 24) -> int:
        return self.random.randrange(low, max(low + 1, high))

    def _catalogues(self) -> None:
        for position, key in enumerate((*STAGES, "won", "lost"), start=1):
            status = key if key in ("won", "lost") else "open"
            state = {
                "pipeline_id": self.pipeline,
                "key": key,
                "position": position,
                "status": status,
                "probability": Decimal(position) / 10,
            }
            self.versions("stages", self.new_id(), [(instant(DAYS * 24), state)])
        self.products = [self.new_id() for _ in range(3)]
        for number, name in enumerate(self.products):
            self.versions(
                "products", name, [(instant(5), {"code": f"P{number}", "family": "AB"[number % 2]})]
            )
        self.reps = [self.new_id() for _ in range(3)]
        self.teams = [UUID(int=number, version=4) for number in (1, 2)]
        self.contacts: list[UUID] = []
        for number, name in enumerate(self.reps):
            first = None if number == 0 else date(2025, 10, number)
            self.versions(
                "users",
                name,
                [
                    (instant(0), {"start_date": first, "team_id": self.teams[number % 2], "cf": "{}"}),
                    (
                        instant(2000),
                        {"start_date": first, "team_id": self.teams[number % 2], "cf": self._cf()},
                    ),
                ],
            )

    def _contact(self) -> UUID:
        """A new person, or one who is in another deal too."""
        self.contacts.append(self.new_id())
        return self.contacts[-1] if len(self.contacts) % 3 else self.contacts[len(self.contacts) // 2]

    def _account(self) -> UUID:
        name, at = self.new_id(), self._hour(0, 1000)
        state = {
            "created_at": instant(at),
            "industry": self.random.choice([None, "retail", "software"]),
            "type": "prospect",
            "segment": "smb",
            "number_of_employees": self.random.choice([None, 10, 900]),
            "annual_revenue": Decimal("125000.50"),
            "cf": self._cf(),
            "deleted_at": None,
        }
        later = at + self._hour(0, 900)
        self.versions(
            "accounts", name, [(instant(at), state), (instant(later), state | {"segment": "enterprise"})]
        )
        return name

    def _deal(self) -> UUID:
        name, at = self.new_id(), self._hour(0, 3000)
        state: Row = {
            "created_at": instant(at),
            "pipeline_id": self.pipeline,
            "stage": "prospecting",
            "status": "open",
            "owner_id": self.random.choice(self.reps),
            "account_id": self.random.choice([None, *self.accounts]),
            "amount": None,
            "amount_home": self.random.choice([None, Decimal(1000)]),
            "closed_at": None,
            "close_date": date(2026, 3, 1),
            "type": "new_business",
            "lead_source": "web",
            "next_step": None,
            "forecast_category": "pipeline",
            "competitor_ids": [],
            "cf": "{}",
            "deleted_at": None,
        }
        states = [(instant(at), state)]
        for _ in range(self.random.randrange(8)):
            at += self.random.choice([0, 0, 1, 24, self._hour(1, 400)])
            state = state | self._change(state, instant(at))
            states.append((instant(at), state))
            if state["status"] != "open":
                if self.random.random() < 0.5:
                    break
                at += self.random.choice([0, 24, self._hour(1, 400)])
                state = state | {"status": "open", "stage": "negotiation", "closed_at": None}
                states.append((instant(at), state))
        self.versions("opportunities", name, states)
        self._beside(name, state, at)
        return name

    def _change(self, state: Row, at: datetime) -> Row:
        end = self.random.choice(["won", "lost"])
        day = state["close_date"] + timedelta(days=self.random.choice([-5, 7, 30]))
        return self.random.choice(
            [
                {"stage": self.random.choice(STAGES), "forecast_category": "best_case"},
                {"stage": end, "status": end, "closed_at": at, "amount_home": Decimal(900)},
                {"close_date": day},
                {"amount_home": Decimal(self.random.randrange(1, 9) * 500), "next_step": "call"},
                {"owner_id": self.random.choice(self.reps), "competitor_ids": [self.new_id()]},
                {"account_id": self.random.choice(self.accounts)},
                {"cf": self._cf()},
                {"deleted_at": None if state["deleted_at"] else at}
                if self.random.random() < 0.4
                else {"next_step": ""},
            ]
        )

    def _beside(self, deal: UUID, state: Row, until: int) -> None:
        for _ in range(self.random.randrange(12)):
            links = {"opportunity_id": deal, "lead_id": None, "account_id": state["account_id"]}
            self._activity(links | {"owner_id": state["owner_id"]}, until)
        for _ in range(self.random.randrange(4)):
            at = self._hour(0, until)
            role = self.random.choice(["champion", "economic_buyer", "end_user"])
            person = {
                "opportunity_id": deal,
                "contact_id": self._contact(),
                "role": role,
                "influence": "high",
                "sentiment": self.random.choice([None, "supporter", "opponent"]),
                "deleted_at": None,
            }
            gone = person | {"deleted_at": instant(at + 500)}
            ends = [(instant(at + 500), gone)] if self.random.random() < 0.3 else []
            self.versions("stakeholders", self.new_id(), [(instant(at), person), *ends])
        self._room(deal, until)
        for _ in range(self.random.randrange(3)):
            at = self._hour(0, until)
            line = {
                "opportunity_id": deal,
                "product_id": self.random.choice(self.products),
                "quantity": Decimal(2),
                "unit_price": Decimal(self.random.choice([100, 250])),
                "discount_percent": Decimal(10),
                "deleted_at": None,
            }
            self.versions(
                "lines",
                self.new_id(),
                [(instant(at), line), (instant(at + 300), line | {"discount_percent": None})],
            )

    def _room(self, deal: UUID, until: int) -> None:
        """Links of guests with their visits; comments, some of them taken back; a plan with two sides."""
        for _ in range(self.random.randrange(3)):
            link, at = self.new_id(), self._hour(0, until)
            states = [(instant(at), {"opportunity_id": deal}), (instant(at + 400), {"opportunity_id": deal})]
            self.versions("guest_links", link, states)
            for _ in range(self.random.randrange(4)):
                seen = at + self._hour(0, 900)
                self.visits.append(
                    {"guest_link_id": link, "opened_at": instant(seen), "recorded_at": instant(seen)}
                )
                self._happens(instant(seen), deal, {})
        for _ in range(self.random.randrange(4)):
            at = self._hour(0, until)
            written = {
                "opportunity_id": deal,
                "created_at": instant(at),
                "body": "x" * self.random.choice([5, 80]),
                "kind": self.random.choice(["note", "note", "win_loss"]),
                "is_private": self.random.random() < 0.2,
                "deleted_at": None,
            }
            other = [(instant(at + 100), written | {"deleted_at": instant(at + 100)})]
            other = self.random.choice([[], other, [(instant(at + 60), written | {"body": "shorter"})]])
            self.versions("notes", self.new_id(), [(instant(at), written), *other])
        for _ in range(self.random.randrange(4)):
            at = self._hour(0, until)
            said = {
                "opportunity_id": deal,
                "created_at": instant(at),
                "side": self.random.choice(["ours", "theirs"]),
                "deleted_at": None,
            }
            gone = [(instant(at + 100), said | {"deleted_at": instant(at + 100)})]
            self.versions("comments", self.new_id(), [(instant(at), said), *gone[: self.random.randrange(2)]])
        for _ in range(self.random.randrange(4)):
            at = self._hour(0, until)
            side = self.random.choice(["user_id", "contact_id"])
            item: Row = {
                "opportunity_id": deal,
                "created_at": instant(at),
                "status": "open",
                "due_date": self.random.choice([None, (instant(at) + timedelta(days=7)).date()]),
                "user_id": None,
                "contact_id": None,
                "deleted_at": None,
            }
            item[side] = self.new_id()
            done = item | {"status": "done"}
            steps = [(instant(at), item), (instant(at + 300), done), (instant(at + 500), item)]
            self.versions("plan_items", self.new_id(), steps[: self.random.randrange(1, 4)])

    def _activity(self, links: Row, around: int) -> None:
        happened = self._hour(0, around + 900)
        recorded = self.random.choice(
            [happened, happened, happened + self._hour(0, 800), happened - self._hour(0, 800)]
        )
        recorded = max(recorded, 0)
        state = {
            **links,
            "occurred_at": instant(happened),
            "type": self.random.choice(["email", "call", "meeting", "demo"]),
            "direction": self.random.choice([None, "inbound", "outbound"]),
            "outcome": None,
            "deleted_at": None,
            "status": "planned" if recorded < happened and self.random.random() < 0.8 else "completed",
        }
        states = [(instant(recorded), state)]
        if recorded < happened:
            end = self.random.choice(["completed", "no_show", "canceled", "planned"])
            states.append((instant(happened + self.random.choice([0, 1, 50])), state | {"status": end}))
        elif self.random.random() < 0.2:
            states.append((instant(recorded + self._hour(0, 200)), state | {"deleted_at": instant(recorded)}))
        self.versions("activities", self.new_id(), states)
        self._happens(state["occurred_at"], self.pipeline, state)

    def _lead(self) -> UUID:
        name, at = self.new_id(), self._hour(0, 3000)
        state: Row = {
            "created_at": instant(at),
            "status": "new",
            "rating": None,
            "lead_source": "web",
            "industry": None,
            "number_of_employees": 20,
            "owner_id": self.random.choice([None, *self.reps]),
            "mql_at": None,
            "phone": "+1 555",
            "company": "Acme",
            "title": "Head of Sales",
            "email": "a@acme.example",
            "address": None,
            "converted_at": None,
            "cf": self._cf(),
            "deleted_at": None,
        }
        states = [(instant(at), state)]
        for status in ("working", self.random.choice(["converted", "unqualified"])):
            at += self.random.choice([0, 24, self._hour(1, 600)])
            state = state | {"status": status, "owner_id": self.random.choice(self.reps), "cf": self._cf()}
            states.append((instant(at), state))
        self.versions("leads", name, states)
        for _ in range(self.random.randrange(6)):
            links = {
                "opportunity_id": None,
                "lead_id": name,
                "account_id": None,
                "owner_id": state["owner_id"],
            }
            self._activity(links, at)
        return name


VISITS = "room_visits"
"""No twin of history: the only table of the product that is read as it is."""


async def fill(connection: Any, rows: dict[str, list[Row]]) -> None:
    """Replaces what history holds."""
    await connection.execute("TRUNCATE public.room_visits")
    visits = [
        (
            uuid5(row["guest_link_id"], str(number)),
            row["guest_link_id"],
            str(number).encode(),
            *list(row.values())[1:],
        )
        for number, row in enumerate(rows.get(VISITS, ()))
    ]
    names = ["id", "guest_link_id", "cookie_hash", "opened_at", "recorded_at"]
    await connection.copy_records_to_table(VISITS, schema_name="public", columns=names, records=visits)
    for table in TABLES:
        await connection.execute(f"TRUNCATE history.{table}")
        if found := rows.get(table):
            names = [*found[0], "event_id"]
            records = [(*row.values(), UUID(int=0)) for row in found]
            await connection.copy_records_to_table(
                table, schema_name="history", columns=names, records=records
            )
