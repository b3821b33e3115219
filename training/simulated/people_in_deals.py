"""Stakeholders of deals, and the notes that reps write about what they heard."""

import numpy as np
import polars as pl

from training.simulated.accounts import Accounts
from training.simulated.activities import KIND, TYPES
from training.simulated.cards import COMPETITORS
from training.simulated.clock import WEEK, Array, Clock
from training.simulated.deals import Deals
from training.simulated.dynamics import WON, Columns
from training.simulated.files import contact_id, instants, pick
from training.simulated.names import FIRST_NAMES, LAST_NAMES, PRODUCTS, TITLES
from training.simulated.people import Sellers
from training.simulated.pipeline import LOSS_REASONS, Record
from training.simulated.texts import call_note, themes_for, win_loss_note

CHAMPION, SPONSOR, DECIDER = "champion", "executive_sponsor", "decision_maker"


def stakeholders(
    clock: Clock, deals: Deals, weeks: Columns, champion: Array, rng: np.random.Generator
) -> Columns:
    """Who takes part in each deal and since when: place of the contact, role, influence, sentiment (numbers)."""
    record = Record()
    every = np.arange(deals.count)
    _add(record, every, deals.at, 0, 0, rng)
    _add(record, every[champion], deals.at[champion], 1, 1, rng)
    decided = every[rng.random(deals.count) < 0.35]
    _add(record, decided, deals.at[decided], 4, 3, rng)
    for name, place, role in (("add_stakeholder", 2, 1), ("executive_sponsor", 3, 2)):
        rows = np.flatnonzero(weeks[name])
        rows = rows[np.unique(weeks["deal"][rows], return_index=True)[1]]
        _add(record, weeks["deal"][rows], weeks["at"][rows], place, role, rng)
    columns = record.joined()
    close = deals.closed_at[columns["deal"]]
    kept = (columns["at"] < clock.end) & ((close == 0) | (columns["at"] <= close))
    return {name: column[kept] for name, column in columns.items()}


def _add(record: Record, deal: Array, at: Array, place: int, role: int, rng: np.random.Generator) -> None:
    influence = rng.choice(3, deal.size, p=[0.25, 0.45, 0.30])
    sentiment = np.full(deal.size, 0) if role == 1 else rng.choice(4, deal.size, p=[0.3, 0.4, 0.08, 0.22])
    record.add(
        deal=deal,
        at=at,
        place=np.asarray(place),
        role=np.asarray(role),
        influence=np.asarray(influence),
        sentiment=np.asarray(sentiment),
    )


def introduce(accounts: Accounts, deals: Deals, columns: Columns) -> None:
    """Contacts become known when a deal first needs them."""
    account, place = deals.account[columns["deal"]], columns["place"]
    known = accounts.contact_at
    known[known == 0] = 2**62
    np.minimum.at(known, (account, place), columns["at"])
    known[known == 2**62] = 0


def stakeholders_table(
    columns: Columns, deals: Deals, accounts: Accounts, names: dict[str, pl.Series]
) -> pl.DataFrame:
    """Rows of stakeholders.csv; the primary contact's role follows the title."""
    order = np.lexsort((columns["place"], columns["deal"], columns["at"]))
    c = {name: column[order] for name, column in columns.items()}
    account = deals.account[c["deal"]]
    by_title = pick([title[2] for title in TITLES], accounts.title[account, c["place"]])
    given = pick(["", CHAMPION, SPONSOR, DECIDER], c["role"])
    return pl.DataFrame(
        {
            "id": pl.Series([f"STK-{n + 1}" for n in range(account.size)]),
            "at": instants(c["at"]),
            "opportunity": names["deal"].gather(c["deal"]),
            "contact": contact_id(names["account"], account, c["place"]),
            "role": by_title.zip_with(pl.Series(c["role"] == 0), given),
            "influence": pick(("low", "medium", "high"), c["influence"]),
            "sentiment": pick(("supporter", "neutral", "opponent", "unknown"), c["sentiment"]),
        }
    )


class Words:
    """The words put into a deal's notes."""

    def __init__(self, deals: Deals, accounts: Accounts) -> None:
        self.deals, self.accounts = deals, accounts

    def of(self, deal: int) -> dict[str, str]:
        """Contact, title, firm, product and rival of a deal."""
        account = int(self.deals.account[deal])
        first = FIRST_NAMES[self.accounts.first_name[account, 0]]
        rival = int(self.deals.rivals[deal])
        return {
            "contact": f"{first} {LAST_NAMES[self.accounts.last_name[account, 0]]}",
            "title": TITLES[self.accounts.title[account, 0]][0].lower(),
            "firm": str(self.accounts.name[account]),
            "product": PRODUCTS[self.deals.products[deal, 0]][1],
            "rival": COMPETITORS[rival][0] if rival >= 0 else "another vendor",
        }


def notes(
    clock: Clock,
    deals: Deals,
    accounts: Accounts,
    names: dict[str, pl.Series],
    sellers: Sellers,
    activities: Columns,
    closing: Columns,
    rng: np.random.Generator,
    share: float = 0.09,
) -> tuple[pl.DataFrame, pl.Series]:
    """Call notes on a share of talks, win/loss notes on half of the closed deals; and the closing remark of each."""
    words = Words(deals, accounts)
    talks = np.isin(TYPES[activities["kind"]], ("call", "meeting", "demo")) & (activities["duration"] > 0)
    told = (talks & (rng.random(talks.size) < share)) | (activities["kind"] == KIND["farewell"])
    told &= activities["at"] + 1200 < clock.end
    rows = np.flatnonzero(told)
    rows = rows[np.lexsort((activities["deal"][rows], activities["at"][rows]))]
    written = [_call_note(words, activities, int(row), rng) for row in rows]
    bodies, remarks = _win_loss(words, deals, closing, rng)
    wrote = np.flatnonzero(rng.random(closing["deal"].size) < 0.5)
    after = closing["at"][wrote] + rng.integers(0, WEEK, wrote.size)
    wrote, after = wrote[after < clock.end], after[after < clock.end]
    deal = np.concatenate([activities["deal"][rows], closing["deal"][wrote]]).astype(int)
    at = np.concatenate([activities["at"][rows] + rng.integers(60, 1200, rows.size), after])
    author = np.concatenate([activities["rep"][rows], closing["owner"][wrote]]).astype(int)
    table = pl.DataFrame(
        {
            "at": instants(at),
            "opportunity": names["deal"].gather(deal),
            "account": names["account"].gather(deals.account[deal]),
            "author": pick(sellers.rep_ids, author),
            "kind": pl.Series(["note"] * rows.size + ["win_loss"] * wrote.size),
            "body": pl.Series(written + [bodies[n] for n in wrote], dtype=pl.String),
        }
    ).sort("at", maintain_order=True)
    table = table.select(pl.Series("id", [f"NOTE-{n + 1}" for n in range(table.height)]), pl.all())
    remark = pl.Series([remarks.get(n) for n in range(deals.count)], dtype=pl.String)
    return table, remark


def _call_note(words: Words, activities: Columns, row: int, rng: np.random.Generator) -> str:
    deal, draws = int(activities["deal"][row]), rng.random(5).tolist()
    left = activities["kind"][row] == KIND["farewell"]
    theme = themes_for(words.deals.rival[deal] > 0, left, int(words.deals.state["segment"][deal]), draws)
    theme = "champion_left" if left else theme
    warmth = -1.0 if left else float(activities["health"][row] + rng.normal(0, 0.8))
    return call_note(words.of(deal), theme, warmth, draws)


def _win_loss(
    words: Words, deals: Deals, closing: Columns, rng: np.random.Generator
) -> tuple[list[str], dict[int, str]]:
    """A text on each closed deal, and a shorter remark on three in four."""
    bodies, remarks = [], {}
    for deal, stage, loss in zip(closing["deal"], closing["stage"], closing["loss"], strict=True):
        draws = rng.random(6).tolist()
        segment = int(deals.state["segment"][deal])
        theme = themes_for(deals.rival[deal] > 0, False, segment, draws)
        reason = None if stage == WON else LOSS_REASONS[int(loss)]
        body = win_loss_note(words.of(int(deal)), reason, theme, draws)
        bodies.append(body)
        if draws[5] < 0.75:
            remarks[int(deal)] = body.split(". ")[0].rstrip(".") + "."
    return bodies, remarks


__all__ = ["introduce", "notes", "stakeholders", "stakeholders_table"]
