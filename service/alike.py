"""Records that may be the same: found by keys, judged by evidence, said in words.

Keys are functions of the row in SQL (`migrations/versions/0005_duplicates.sql`): normalised exact ones (address, domain,
telephone, name) and blocks of names that share most of their trigrams. An index over the function is as new as the row
itself, so a check sees what was committed a moment ago, whatever path wrote it. What the keys find is judged here, pair by
pair: each piece of evidence has a weight, and the score is the chance that not all of them mislead.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from math import prod
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from rapidfuzz import fuzz

from service.access import Actor, guard, hidden, may
from service.db import Database, Params, Tx

Row = dict[str, Any]
Evidence = tuple[str, str, float]
"""Which field, what was found in words, how much it weighs."""

WORTH_STORING = 0.6
WORTH_A_WARNING = 0.7
MOST_WARNED = 5
MOST_STRONG, MOST_WEAK = 100, 200
"""Candidates that are looked at: by address, domain, telephone or account and name; by name alone."""
MOST_WEAK_AT_CREATE = 50
"""A warning must not make a create slow where hundreds are called alike."""
ANY_NAME = "^[^edpa]:"
"""Keys made of names, as a pattern."""
MOST_NAMES = 20_000
"""Names that a process keeps in their plain form: to make it costs ten times what comparing does."""


class Candidate(msgspec.Struct, kw_only=True):
    """A record that may be the same; `score` from 0 to 1."""

    id: UUID
    title: str
    score: float
    reasons: list[Row]


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """How records of one table are compared. `columns` are the arguments of the SQL function of keys, with their types."""

    function: str
    columns: dict[str, str]
    beside: tuple[str, ...]
    """Columns that are judged and make no key."""
    judge: Callable[[Row, Row], Iterator[Evidence]]
    name: Callable[[Row], str]
    alone: str = ANY_NAME
    """Which of the keys made of names may warn at create: those that without any other evidence can weigh enough."""

    def keys(self, alias: str) -> str:
        """The keys of a row, as the index has them."""
        return f"{self.function}({', '.join(f'{alias}.{column}' for column in self.columns)})"

    def shown(self, alias: str) -> str:
        return ", ".join(f"{alias}.{column}" for column in ("id", *self.columns, *self.beside))


@lru_cache(MOST_NAMES)
def plain_words(text: str | None) -> str:
    """Lower case without accents; whatever is no letter and no digit is one space."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", text or "") if not unicodedata.combining(c))
    return re.sub(r"[^\w]+|_", " ", bare.lower()).strip()


_FORMS = re.compile(
    r"\b(the|inc|incorporated|corp|corporation|co|company|llc|llp|ltd|limited|plc|gmbh|mbh|ag|kg|ohg|se|sa|sas|sarl|srl"
    r"|spa|bv|nv|ab|as|aps|oy|oyj|pty|kk)\b"
)


@lru_cache(MOST_NAMES)
def company_name(text: str | None) -> str:
    """The words of a company's name without its legal form."""
    words = plain_words(text)
    return " ".join(_FORMS.sub(" ", words).split()) or words


def phones(row: Row) -> set[str]:
    digits = (re.sub(r"\D", "", row.get(name) or "") for name in ("phone", "mobile_phone"))
    return {number[-9:] for number in digits if len(number) >= 7}


def email(row: Row) -> str:
    return re.sub(r"\+[^@]*@", "@", (row.get("email") or "").strip().lower())


def domain(row: Row) -> str:
    text = (row.get("domain") or row.get("website") or "").lower()
    return re.split(r"[/:?#\s]", re.sub(r"^\s*([a-z]+://)?(www\.)?", "", text))[0]


def likeness(one: str, other: str) -> float:
    """How alike two names are, whatever the order of their words; an initial stands for any name that begins so."""
    if not one or not other:
        return 0.0
    left, right = one.split(), other.split()
    initials = len(left) == len(right) and all(
        a == b or (min(len(a), len(b)) == 1 and a[0] == b[0]) for a, b in zip(left, right, strict=True)
    )
    alike = fuzz.token_sort_ratio(one, other) / 100
    return max(alike, 0.88) if initials else alike


def _named(field: str, what: str, one: str, other: str, same: float, near: float) -> Iterator[Evidence]:
    """Evidence of names: the same, alike from .85, and against it below one half."""
    if not one or not other:
        return
    alike = likeness(one, other)
    if one == other:
        yield field, f"The {what} is the same.", same
    elif alike >= 0.85:
        weight = near + (same - near) * (alike - 0.85) / 0.15
        yield field, f"The {what} is {round(100 * alike)} % alike.", round(weight, 3)
    elif alike < 0.5:
        yield field, f"The {what} differs.", -0.3


def _shared(one: Row, other: Row) -> Iterator[Evidence]:
    if email(one) and email(one) == email(other):
        yield "email", "The e-mail address is the same.", 0.92
    if phones(one) & phones(other):
        yield "phone", "A telephone number is the same.", 0.6


def _accounts(one: Row, other: Row) -> Iterator[Evidence]:
    if domain(one) and domain(one) == domain(other):
        yield "domain", "The web domain is the same.", 0.88
    yield from _shared(one, other)
    yield from _named("name", "name", company_name(one["name"]), company_name(other["name"]), 0.72, 0.5)


def _person(row: Row) -> str:
    return plain_words(" ".join(filter(None, (row.get("first_name"), row.get("last_name")))))


def _contacts(one: Row, other: Row) -> Iterator[Evidence]:
    yield from _shared(one, other)
    yield from _named("name", "name", _person(one), _person(other), 0.5, 0.4)
    if one.get("account_id") and one["account_id"] == other.get("account_id"):
        yield "account_id", "They are at the same account.", 0.5


def _leads(one: Row, other: Row) -> Iterator[Evidence]:
    yield from _shared(one, other)
    if domain(one) and domain(one) == domain(other):
        yield "website", "The web domain is the same.", 0.4
    yield from _named("name", "name", _person(one), _person(other), 0.5, 0.4)
    firms = company_name(one.get("company")), company_name(other.get("company"))
    weights = (0.5, 0.35) if _person(one) and _person(other) else (0.7, 0.5)
    yield from _named("company", "company", *firms, *weights)


def _title(row: Row) -> str:
    name = " ".join(filter(None, (row.get("first_name"), row.get("last_name"))))
    return name or row.get("company") or row.get("email") or ""


KINDS: dict[str, Kind] = {
    "accounts": Kind(
        function="account_keys",
        columns=dict.fromkeys(("name", "domain", "website", "phone"), "text"),
        beside=(),
        judge=_accounts,
        name=lambda row: row["name"],
        alone="^n:",
    ),
    "contacts": Kind(
        function="contact_keys",
        columns=dict.fromkeys(("first_name", "last_name", "email", "phone", "mobile_phone"), "text")
        | {"account_id": "uuid"},
        beside=(),
        judge=_contacts,
        name=_title,
    ),
    "leads": Kind(
        function="lead_keys",
        columns=dict.fromkeys(("first_name", "last_name", "company", "email", "phone", "website"), "text"),
        beside=(),
        judge=_leads,
        name=_title,
    ),
}


def index(table: str) -> sa.Index:
    """The index over the keys of a table's live rows. A short list of what waits for it keeps checks quick."""
    kind = KINDS[table]
    return sa.Index(
        f"ix_{table}_keys",
        sa.text(f"{kind.function}({', '.join(kind.columns)})"),
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": 512},
        postgresql_where=sa.text("deleted_at IS NULL"),
    )


def told(actor: Actor, table: str, row: Row) -> Row:
    """A row without what this actor may not see: neither does it find anything for them, nor is it a reason."""
    unseen = hidden(actor, table)
    return {name: None if name in unseen else value for name, value in row.items()} if unseen else row


def score(table: str, one: Row, other: Row) -> tuple[float, list[Row]]:
    """The chance that two rows are one, and why, the heaviest reason first. Symmetric."""
    found = sorted(KINDS[table].judge(one, other), key=lambda evidence: -evidence[2])
    against = prod(1 + weight for _, _, weight in found if weight < 0)
    chance = (1 - prod(1 - weight for _, _, weight in found if weight > 0)) * against
    return round(chance, 3), [
        {"field": field, "text": text, "weight": weight} for field, text, weight in found
    ]


_FIND = """
WITH keys AS MATERIALIZED (SELECT unnest({given}) AS key),
kinds AS MATERIALIZED (SELECT array_agg(key) FILTER (WHERE key ~ '^[edpa]:') AS strong,
    array_agg(key) FILTER (WHERE key ~ {weak}) AS weak FROM keys)
(SELECT {shown} FROM {table} t WHERE {keys} && (SELECT strong FROM kinds) AND t.deleted_at IS NULL
    AND t.id <> {besides} AND {seen} LIMIT {most_strong})
UNION
(SELECT {shown} FROM {table} t WHERE {keys} && (SELECT weak FROM kinds) AND t.deleted_at IS NULL
    AND t.id <> {besides} AND {seen} LIMIT {most_weak})"""


async def candidates(
    run: Database | Tx,
    actor: Actor,
    table: str,
    row: Row,
    *,
    to_warn: bool = False,
) -> list[Candidate]:
    """Records that this one may be, of those that the actor sees, the likeliest first. `row` may be a draft.

    `to_warn` finds only what is worth a warning, and looks at less for it.
    """
    kind, params, row = KINDS[table], Params(), told(actor, table, row)
    least, most_weak = (WORTH_A_WARNING, MOST_WEAK_AT_CREATE) if to_warn else (WORTH_STORING, MOST_WEAK)
    given = ", ".join(f"{params.add(row.get(name))}::{sql}" for name, sql in kind.columns.items())
    statement = _FIND.format(
        given=f"{kind.function}({given})",
        shown=kind.shown("t"),
        table=table,
        keys=kind.keys("t"),
        weak=f"'{kind.alone if to_warn else ANY_NAME}'",
        besides=f"{params.add(row.get('id') or UUID(int=0))}::uuid",
        seen=guard(actor, table, "t", params),
        most_strong=MOST_STRONG,
        most_weak=most_weak,
    )
    alike = [
        Candidate(id=other["id"], title=kind.name(other), score=chance, reasons=reasons)
        for found in await run.fetch(statement, *params)
        for other in [told(actor, table, dict(found))]
        for chance, reasons in [score(table, row, other)]
        if chance >= least
    ]
    return sorted(alike, key=lambda candidate: (-candidate.score, candidate.id))


_FIND_EACH = """
SELECT i.n, c.* FROM (SELECT n, {given} AS keys FROM unnest({arrays}) WITH ORDINALITY AS v({names}, n)) i
CROSS JOIN LATERAL (SELECT {shown} FROM {table} t WHERE {keys} && i.keys AND t.deleted_at IS NULL LIMIT 50) c
WHERE NOT EXISTS (SELECT 1 FROM history.{table} h WHERE h.id = c.id AND h.version = 1 AND h.change_id = {but})
/* access:{table} */"""


async def resembling(
    run: Database | Tx, table: str, rows: Sequence[Row], but: UUID | None = None
) -> dict[int, Candidate]:
    """For each row that looks like a record: its index, and the likeliest one that the change set `but` did not create.

    For who imports, and sees all.
    """
    kind, params = KINDS[table], Params()
    arrays = [f"{params.add([row.get(name) for row in rows])}::{sql}[]" for name, sql in kind.columns.items()]
    statement = _FIND_EACH.format(
        given=kind.keys("v"),
        arrays=", ".join(arrays),
        names=", ".join(kind.columns),
        shown=kind.shown("t"),
        table=table,
        keys=kind.keys("t"),
        but=f"{params.add(but)}::uuid",
    )
    best: dict[int, Candidate] = {}
    for other in await run.fetch(statement, *params):
        index, record = other["n"] - 1, dict(other)
        chance, reasons = score(table, rows[index], record)
        if chance >= WORTH_A_WARNING and (index not in best or best[index].score < chance):
            best[index] = Candidate(id=record["id"], title=kind.name(record), score=chance, reasons=reasons)
    return best


def warning(table: str) -> Callable[[Database | Tx, Actor, Row], Any]:
    """For `Resource.warn`: the header that names records like the one that is created."""

    async def warn(run: Database | Tx, actor: Actor, row: Row) -> dict[str, str]:
        if not may(actor, "duplicates", "read"):
            return {}
        found = await candidates(run, actor, table, row, to_warn=True)
        return {"Duplicate-Candidates": listed(found[:MOST_WARNED])} if found else {}

    return warn


def listed(found: Iterable[Candidate]) -> str:
    """A list of RFC 9651: `"0190…";score=0.97, …`."""
    return ", ".join(f'"{candidate.id}";score={candidate.score}' for candidate in found)
