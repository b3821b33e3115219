"""Puts the simulated company's parts into tables: one function per CSV file."""

import json

import numpy as np
import polars as pl

from training.simulated.accounts import CONTACTS, Accounts
from training.simulated.activities import KIND, KINDS, OUTCOME, STATUS, TYPES
from training.simulated.cards import BATTLE_CARDS, COMPETITORS
from training.simulated.clock import Array, iso_days, rfc3339
from training.simulated.deals import Deals
from training.simulated.dynamics import Columns
from training.simulated.history import STATUSES, one_of
from training.simulated.leads import UNQUALIFIED, Leads
from training.simulated.names import FIRST_NAMES, INDUSTRIES, LAST_NAMES, LEAD_SOURCES, PRODUCTS, TITLES
from training.simulated.people import Sellers
from training.simulated.pipeline import CATEGORIES, LOSS_REASONS
from training.simulated.playbooks import PLAYBOOKS
from training.simulated.texts import FINAL_STEP, NEXT_STEPS, SUBJECTS

STAGES = (
    ("prospecting", "Prospecting", "open", "0.10", "pipeline", 21),
    ("qualification", "Qualification", "open", "0.20", "pipeline", 21),
    ("proposal", "Proposal", "open", "0.45", "best_case", 28),
    ("negotiation", "Negotiation", "open", "0.70", "commit", 28),
    ("won", "Won", "won", "1.00", "closed", None),
    ("lost", "Lost", "lost", "0.00", "omitted", None),
)
SEGMENTS = ("smb", "mid_market", "enterprise")
TYPE_NAMES = ("new_business", "expansion", "renewal")
SOURCES = (*LEAD_SOURCES, "other")
PRODUCT_IDS = tuple(f"PRD-{n + 1}" for n in range(len(PRODUCTS)))


def ids(prefix: str, count: int) -> pl.Series:
    """Ids such as `OPP-1`, in order."""
    return pl.Series([f"{prefix}-{n + 1}" for n in range(count)], dtype=pl.String)


def pick(labels: pl.Series | tuple[str, ...] | list[str], index: Array) -> pl.Series:
    """Labels by number; −1 gives null."""
    series = labels if isinstance(labels, pl.Series) else pl.Series(list(labels), dtype=pl.String)
    places = pl.Series(index.astype(np.int64)).cast(pl.UInt32, strict=False)
    return series.gather(places)


def money(amounts: Array) -> list[str]:
    """Amounts with two decimals."""
    return [f"{amount:.2f}" for amount in amounts.tolist()]


def instants(at: Array) -> pl.Series:
    """Instants as text, in RFC 3339."""
    return pl.Series(rfc3339(at))


def person(first: Array, last: Array) -> tuple[pl.Series, pl.Series]:
    """First and last names by number."""
    return pick(FIRST_NAMES, first), pick(LAST_NAMES, last)


def catalogue() -> dict[str, pl.DataFrame]:
    """Competitors, products, playbooks and stages."""
    competitors = [
        {
            "id": f"CMP-{n + 1}",
            "name": name,
            "aliases": aliases,
            "domain": domain,
            "strengths": strong,
            "weaknesses": weak,
        }
        for n, (name, aliases, domain, strong, weak) in enumerate(COMPETITORS)
    ]
    products = [
        {
            "id": key,
            "code": code,
            "name": name,
            "family": family,
            "description": text,
            "list_price": f"{price:.2f}",
            "currency": "USD",
            "billing_period": billing,
        }
        for key, (code, name, family, price, billing, text) in zip(PRODUCT_IDS, PRODUCTS, strict=True)
    ]
    stages = [
        {
            "pipeline": "sales",
            "key": key,
            "name": name,
            "position": n + 1,
            "status": status,
            "probability": chance,
            "forecast_category": category,
            "rotting_days": days,
        }
        for n, (key, name, status, chance, category, days) in enumerate(STAGES)
    ]
    return {
        "competitors": pl.DataFrame(competitors),
        "products": pl.DataFrame(products),
        "playbooks": pl.DataFrame([_playbook(n) for n in range(len(PLAYBOOKS))]),
        "stages": pl.DataFrame(stages),
    }


def _playbook(number: int) -> dict[str, str]:
    name, description, stage, criteria, steps = PLAYBOOKS[number]
    written = [
        {"position": place + 1, "action": action, "title": title, "body": body, "due_days": days}
        for place, (action, title, body, days) in enumerate(steps)
    ]
    return {
        "id": f"PLB-{number + 1}",
        "name": name,
        "description": description,
        "stage": stage,
        "criteria": json.dumps(criteria),
        "steps": json.dumps(written),
        "status": "published",
    }


def battle_cards(at: Array) -> pl.DataFrame:
    """Battle cards; the last one is a draft."""
    rows = [
        {
            "id": f"CARD-{n + 1}",
            "at": stamp,
            "competitor": f"CMP-{competitor + 1}",
            "title": title,
            "body": body,
            "tags": tags,
            "status": "draft" if "draft" in tags else "published",
        }
        for n, ((competitor, title, tags, body), stamp) in enumerate(
            zip(BATTLE_CARDS, rfc3339(at), strict=True)
        )
    ]
    return pl.DataFrame(rows)


def accounts_table(accounts: Accounts, end: int, names: pl.Series, sellers: Sellers) -> pl.DataFrame:
    """Firms known before the end. `type` is left to the reader: it would tell of wins before they happened."""
    rows = np.flatnonzero((accounts.at > 0) & (accounts.at < end))
    return pl.DataFrame(
        {
            "id": names.gather(rows),
            "at": instants(accounts.at[rows]),
            "name": accounts.name[rows],
            "domain": accounts.domain[rows],
            "industry": pick(INDUSTRIES, accounts.industry[rows]),
            "type": pl.Series(["prospect"] * rows.size),
            "segment": pick(SEGMENTS, accounts.segment[rows]),
            "number_of_employees": accounts.employees[rows],
            "annual_revenue": money(accounts.revenue[rows]),
            "currency": pl.Series(["USD"] * rows.size),
            "owner": pick(sellers.rep_ids, accounts.owner[rows]),
            "country": accounts.country[rows],
            "city": accounts.city[rows],
            "website": np.char.add("https://www.", accounts.domain[rows]),
        }
    ).sort("at", "id")


def contact_id(names: pl.Series, account: Array, place: Array) -> pl.Series:
    """The id of a contact: its account's number and its place there."""
    numbers = names.gather(account).str.replace("ACC", "CON", literal=True)
    return numbers + "-" + pl.Series(place).cast(pl.String)


def contacts_table(accounts: Accounts, end: int, names: pl.Series) -> pl.DataFrame:
    """People known before the end."""
    known = (accounts.contact_at > 0) & (accounts.contact_at < end)
    account, place = np.nonzero(known)
    first, last = person(accounts.first_name[account, place], accounts.last_name[account, place])
    title = accounts.title[account, place]
    mail = (
        first.str.to_lowercase() + "." + last.str.to_lowercase() + "@" + pl.Series(accounts.domain[account])
    )
    return pl.DataFrame(
        {
            "id": contact_id(names, account, place),
            "at": instants(accounts.contact_at[account, place]),
            "account": names.gather(account),
            "first_name": first,
            "last_name": last,
            "email": mail,
            "phone": _phones(account * CONTACTS + place),
            "title": pick([t[0] for t in TITLES], title),
            "department": pick([t[1] for t in TITLES], title),
            "email_opt_out": one_of(40, account, place) == 0,
            "do_not_call": one_of(33, place, account) == 0,
        }
    ).sort("at", "id")


def _phones(number: Array) -> pl.Series:
    return pl.Series(
        [f"+1 555 {n // 10_000 % 1000:03d} {n % 10_000:04d}" for n in (number * 37 + 1200).tolist()]
    )


def leads_table(
    leads: Leads, accounts: Accounts, names: pl.Series, sellers: Sellers, end: int
) -> pl.DataFrame:
    """Leads that arrived before the end, with the score of marketing where it had one on arrival."""
    rows = np.flatnonzero(leads.at < end)
    account = leads.account[rows]
    first, last = person(accounts.first_name[account, 0], accounts.last_name[account, 0])
    mail = (
        first.str.to_lowercase() + "." + last.str.to_lowercase() + "@" + pl.Series(accounts.domain[account])
    )
    mql = pl.Series(leads.mql[rows])
    at = instants(leads.at[rows])
    return pl.DataFrame(
        {
            "id": names.gather(rows),
            "at": at,
            "first_name": first,
            "last_name": last,
            "company": accounts.name[account],
            "email": mail,
            "phone": _phones(account * CONTACTS),
            "title": pick([t[0] for t in TITLES], accounts.title[account, 0]),
            "industry": pick(INDUSTRIES, accounts.industry[account]),
            "number_of_employees": accounts.employees[account],
            "lead_source": pick(LEAD_SOURCES, leads.channel[rows]),
            "owner": pick(sellers.rep_ids, leads.owner[rows]),
            "country": accounts.country[account],
            "mql_at": at.zip_with(mql, pl.Series([None] * rows.size, dtype=pl.String)),
            "mql_score": leads.score[rows],
        }
    )


def lead_history_table(
    history: Columns, leads: Leads, deals: Deals, names: dict[str, pl.Series], sellers: Sellers
) -> pl.DataFrame:
    """Statuses of leads; a conversion names what it made."""
    lead, status = history["lead"], history["status"]
    deal_of = np.full(leads.at.size, -1)
    from_lead = np.flatnonzero(deals.lead >= 0)
    deal_of[deals.lead[from_lead]] = from_lead
    converted = status == 5
    account = np.where(converted, leads.account[lead], -1)
    contact = contact_id(names["account"], leads.account[lead], np.zeros(lead.size, int))
    return pl.DataFrame(
        {
            "lead": names["lead"].gather(lead),
            "at": instants(history["at"]),
            "seq": history["seq"],
            "status": pl.Series(STATUSES[status]),
            "rating": pick(("hot", "warm", "cold"), leads.rating[lead]),
            "owner": pick(sellers.rep_ids, leads.owner[lead]),
            "unqualified_reason": pick(UNQUALIFIED, np.where(status == 4, leads.reason[lead], -1)),
            "converted_account": pick(names["account"], account),
            "converted_contact": contact.zip_with(
                pl.Series(converted), pl.Series([None] * lead.size, dtype=pl.String)
            ),
            "converted_opportunity": pick(names["deal"], np.where(converted, deal_of[lead], -1)),
        }
    )


def deals_table(
    deals: Deals, accounts: Accounts, names: dict[str, pl.Series], sellers: Sellers
) -> pl.DataFrame:
    """What is fixed about a deal at creation."""
    family = pick(("Platform", "Analytics", "Automation"), deals.state["family"])
    word = pick(("", " expansion", " renewal"), deals.kind)
    return pl.DataFrame(
        {
            "id": names["deal"],
            "at": instants(deals.at),
            "name": pl.Series(accounts.name[deals.account]) + " – " + family + word,
            "account": names["account"].gather(deals.account),
            "owner": pick(sellers.rep_ids, deals.owner),
            "type": pick(TYPE_NAMES, deals.kind),
            "lead_source": pick(SOURCES, deals.source),
            "currency": pl.Series(["USD"] * deals.count),
            "primary_contact": contact_id(names["account"], deals.account, np.zeros(deals.count, int)),
            "pipeline": pl.Series(["sales"] * deals.count),
        }
    )


def deal_history_table(
    history: Columns, names: dict[str, pl.Series], sellers: Sellers, closed_notes: pl.Series
) -> pl.DataFrame:
    """The full state of a deal after each change."""
    stage, deal = history["stage"], history["deal"]
    steps = [step for options in NEXT_STEPS for step in options] + [FINAL_STEP]
    step = np.where(stage < 4, np.minimum(stage, 3) * 4 + one_of(4, deal, stage), -1)
    step = np.where((stage < 4) & (history["final"] == 1), len(steps) - 1, step)
    closing = pl.Series(stage >= 4)
    return pl.DataFrame(
        {
            "opportunity": names["deal"].gather(deal),
            "at": instants(history["at"]),
            "seq": history["seq"],
            "stage": pick([key for key, *_ in STAGES], stage),
            "amount": money(history["amount"]),
            "close_date": iso_days(history["close_day"]),
            "forecast_category": pick(CATEGORIES, history["category"]),
            "next_step": pick(steps, step),
            "owner": pick(sellers.rep_ids, history["owner"]),
            "loss_reason": pick(LOSS_REASONS, history["loss"]),
            "competitor": pick([f"CMP-{n + 1}" for n in range(len(COMPETITORS))], history["rival"]),
            "closed_note": closed_notes.gather(deal).zip_with(
                closing, pl.Series([None] * deal.size, dtype=pl.String)
            ),
        }
    )


def lines_table(deals: Deals, names: dict[str, pl.Series]) -> pl.DataFrame:
    """Lines as agreed at creation."""
    deal, place = np.nonzero(deals.products >= 0)
    product = deals.products[deal, place]
    discount = np.where(place < 2, deals.discount[deal], 0.0)
    return pl.DataFrame(
        {
            "id": ids("LINE", deal.size),
            "at": instants(deals.at[deal]),
            "opportunity": names["deal"].gather(deal),
            "product": pick(PRODUCT_IDS, product),
            "quantity": deals.quantity[deal, place],
            "unit_price": money(np.array([p[3] for p in PRODUCTS])[product]),
            "discount_percent": money(discount),
        }
    )


def activities_table(
    columns: Columns,
    deals: Deals,
    leads: Leads,
    accounts: Accounts,
    names: dict[str, pl.Series],
    sellers: Sellers,
) -> pl.DataFrame:
    """Activities of deals and leads, in the order they became known."""
    order = np.lexsort(
        (columns["occurred"], columns["kind"], columns["lead"], columns["deal"], columns["at"])
    )
    c = {name: column[order] for name, column in columns.items()}
    kind, deal, lead = c["kind"], c["deal"], c["lead"]
    on_deal = deal >= 0
    account = np.where(on_deal, deals.account[np.maximum(deal, 0)], leads.account[np.maximum(lead, 0)])
    empty = pl.Series([None] * deal.size, dtype=pl.String)
    contact = contact_id(names["account"], account, np.zeros(deal.size, int)).zip_with(
        pl.Series(on_deal), empty
    )
    inbound = np.isin(kind, (KIND["inbound"], KIND["farewell"]))
    duration = pl.Series(c["duration"]).cast(pl.String).zip_with(pl.Series(c["duration"] > 0), empty)
    return pl.DataFrame(
        {
            "id": ids("ACT", deal.size),
            "at": instants(c["at"]),
            "type": pl.Series(TYPES[kind]),
            "occurred_at": instants(c["occurred"]),
            "subject": _subjects(c, deals, accounts, account),
            "direction": pick(("outbound", "inbound"), inbound.astype(int)),
            "status": pl.Series(STATUS[c["status"]]),
            "outcome": pick(list(OUTCOME), np.where(c["outcome"] > 0, c["outcome"], -1)),
            "duration_seconds": duration,
            "owner": pick(sellers.rep_ids, c["rep"]),
            "account": pick(names["account"], np.where(on_deal, account, -1)),
            "opportunity": pick(names["deal"], deal),
            "lead": pick(names["lead"], lead),
            "contact": contact,
        }
    )


def _subjects(columns: Columns, deals: Deals, accounts: Accounts, account: Array) -> pl.Series:
    """Subjects by kind, with the firm, the product and the rival put in."""
    templates = [option for kind in KINDS for option in SUBJECTS[kind]]
    counts = np.array([len(SUBJECTS[kind]) for kind in KINDS])
    start = np.concatenate([[0], np.cumsum(counts)[:-1]])
    kind, deal = columns["kind"], np.maximum(columns["deal"], 0)
    number = start[kind] + one_of(1009, columns["occurred"], columns["deal"]) % counts[kind]
    main = np.where(columns["deal"] >= 0, deals.products[deal, 0], 0)
    rival = pick([c[0] for c in COMPETITORS], deals.rivals[deal]).fill_null("other vendors")
    frame = pl.DataFrame(
        {
            "subject": pick(templates, number),
            "firm": accounts.name[account],
            "product": pick([p[1] for p in PRODUCTS], main),
            "rival": rival,
        }
    )
    text = pl.col("subject")
    for word in ("firm", "product", "rival"):
        text = text.str.replace("{" + word + "}", pl.col(word), literal=True)
    return frame.select(text)["subject"]
