"""The simulated company as dated files, as an export of another CRM would be, with the truth beside them.

    python -m training.synthetic --out DIR --deals 3000 --seed 7 --until 2026-11-23

Every row carries `at`, the instant at which it became known. `truth/` holds what only tests and the report may read.
It is demo data and a measuring device, never evidence about the real world.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from training.simulated import files, history, people, people_in_deals, truth
from training.simulated.accounts import Accounts, add_untouched, found_accounts
from training.simulated.activities import CONNECTED, DONE, HELD, KIND, NO_OUTCOME, deal_activities
from training.simulated.cards import BATTLE_CARDS, COMPETITORS
from training.simulated.clock import DAY, Array, Clock, make_clock
from training.simulated.deals import Deals, plan_deals
from training.simulated.dynamics import WON, Columns, World
from training.simulated.leads import Leads, attract, lead_touches
from training.simulated.pipeline import Life, live

QUARTERS = 12
REGIME_WEEKS = 36
"""The regime changes this many weeks before the end: about two and three quarters of a quarter-year each."""
STREAMS = (
    *("people", "accounts", "leads", "plan", "life", "tracked", "signatures", "activities", "notes"),
    *("stakeholders", "lead_touches", "truth", "untouched"),
)
"""Each part draws from a stream of its own, so that a change of one leaves the others as they were."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Company:
    """A simulated company with everything that is known about it, the hidden part included."""

    clock: Clock
    world: World
    sellers: people.Sellers
    accounts: Accounts
    leads: Leads
    deals: Deals
    life: Life
    champion_at_start: Array
    streams: dict[str, np.random.Generator]


def simulate(
    deals: int,
    seed: int,
    until: date,
    *,
    leads: int | None = None,
    activity_effect: bool = True,
    signal: bool = True,
    regime_change: bool = True,
    tracked: int = 2500,
) -> Company:
    """Live the company's weeks. Mechanisms can be switched off; `tracked` bounds the deals whose states are kept.

    `activity_effect=False`: no action changes anything; `signal=False`: chances depend on stage,
    age and calendar alone.
    """
    children = np.random.SeedSequence(seed).spawn(len(STREAMS))
    streams = {name: np.random.default_rng(child) for name, child in zip(STREAMS, children, strict=True)}
    clock = make_clock(until, QUARTERS)
    lead_count = deals if leads is None else leads
    sellers = people.hire(clock, max(10, deals // 300), streams["people"])
    accounts = found_accounts(lead_count + deals, streams["accounts"])
    regime = clock.weeks - REGIME_WEEKS if regime_change else 10**6
    attracted = attract(
        clock, lead_count, accounts, sellers, streams["leads"], signal=signal, regime_week=regime
    )
    world = World(
        clock.quarter_end, clock.quarter_start, clock.holiday, regime, sellers.skill, activity_effect, signal
    )
    planned = plan_deals(clock, deals, attracted, len(COMPETITORS), streams["plan"])
    recent = np.flatnonzero(planned.at >= clock.start_of(max(0, clock.weeks - REGIME_WEEKS - 60)))
    kept = np.zeros(deals, bool)
    kept[streams["tracked"].permutation(recent)[:tracked]] = True
    life = live(clock, world, planned, accounts, sellers, attracted, tracked=kept, rng=streams["life"])
    champion = life.champion_at_start(deals)
    return Company(clock, world, sellers, accounts, attracted, planned, life, champion, streams)


def write(
    folder: Path | str,
    deals: int = 3000,
    seed: int = 7,
    until: date | None = None,
    *,
    leads: int | None = None,
    activity_effect: bool = True,
    signal: bool = True,
    regime_change: bool = True,
    landmarks: int = 600,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Write the company's files into `folder`; returns a summary (rows by file, rates, instants).

    `until` is the last written day, by default yesterday (UTC). `landmarks` bounds the deals and Mondays whose true
    chances are computed; 0 leaves the chances and lifts out. The same arguments give the same bytes.
    """
    say = progress or (lambda _: None)
    until = until or datetime.now(UTC).date() - timedelta(days=1)
    say("living the weeks")
    company = simulate(
        deals,
        seed,
        until,
        leads=leads,
        activity_effect=activity_effect,
        signal=signal,
        regime_change=regime_change,
    )
    say("writing the files")
    tables = tables_of(company)
    say("computing the truth")
    hidden = truth_of(company, landmarks)
    root = Path(folder)
    (root / "truth").mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.write_csv(root / f"{name}.csv")
    for name, table in hidden.items():
        table.write_csv(root / "truth" / f"{name}.csv", float_precision=5)
    summary = summarise(company, tables, hidden, seed)
    (root / "truth" / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def tables_of(company: Company) -> dict[str, pl.DataFrame]:
    """All files as tables."""
    clock, deals, accounts, sellers = company.clock, company.deals, company.accounts, company.sellers
    streams, leads = company.streams, company.leads
    names = {
        "deal": files.ids("OPP", deals.count),
        "lead": files.ids("LEAD", leads.at.size),
        "account": files.ids("ACC", accounts.count),
    }
    signatures = history.prepare_signatures(clock, deals, company.life, streams["signatures"])
    states = history.deal_history(clock, company.life)
    weeks = company.life.weeks.joined()
    done = deal_activities(clock, deals, sellers, weeks, streams["activities"])
    done = with_leads(done, last_days(clock, signatures), leads, clock, streams["lead_touches"])
    taking_part = people_in_deals.stakeholders(
        clock, deals, weeks, company.champion_at_start, streams["stakeholders"]
    )
    people_in_deals.introduce(accounts, deals, taking_part)
    first = int(clock.start_of(0))
    add_untouched(accounts, first, clock.end, sellers.count, 0.06, streams["untouched"])
    closing = history.last_states(states)
    closing = {name: column[closing["stage"] >= WON] for name, column in closing.items()}
    on_deals = {name: column[done["deal"] >= 0] for name, column in done.items()}
    notes, remarks = people_in_deals.notes(
        clock, deals, accounts, names, sellers, on_deals, closing, streams["notes"]
    )
    statuses = history.lead_history(clock, leads)
    return {
        **office_tables(company),
        "accounts": files.accounts_table(accounts, clock.end, names["account"], sellers),
        "contacts": files.contacts_table(accounts, clock.end, names["account"]),
        "leads": files.leads_table(leads, accounts, names["lead"], sellers, clock.end),
        "lead_history": files.lead_history_table(statuses, leads, deals, names, sellers),
        "opportunities": files.deals_table(deals, accounts, names, sellers),
        "opportunity_history": files.deal_history_table(states, names, sellers, remarks),
        "lines": files.lines_table(deals, names),
        "stakeholders": people_in_deals.stakeholders_table(taking_part, deals, accounts, names),
        "activities": files.activities_table(done, deals, leads, accounts, names, sellers),
        "notes": notes,
    }


def office_tables(company: Company) -> dict[str, pl.DataFrame]:
    """What the company has apart from its customers: people, quotas, catalogue, battle cards."""
    clock, deals, sellers = company.clock, company.deals, company.sellers
    segment = deals.state["segment"]
    count = np.bincount(segment, minlength=3)
    mean = np.bincount(segment, deals.amount, minlength=3) / np.maximum(count, 1)
    quotas = people.quotas(clock, sellers, deals.count, count / deals.count, mean)
    cards = clock.start_of(np.linspace(1, clock.weeks - 4, len(BATTLE_CARDS)).astype(int)) + 9 * 3600
    return {
        "teams": pl.DataFrame(sellers.teams),
        "users": pl.DataFrame(sellers.users, infer_schema_length=None),
        "signins": pl.DataFrame(people.signins()),
        "quotas": pl.DataFrame(quotas, infer_schema_length=None),
        "battle_cards": files.battle_cards(cards),
        **files.catalogue(),
    }


def last_days(clock: Clock, signatures: Columns) -> Columns:
    """Strong signals of the deals that are one call from won: a meeting, a talk and mails in the last days."""
    deal, owner = np.repeat(signatures["deal"], 4), np.repeat(signatures["owner"], 4)
    size = deal.size
    step = np.arange(size) % 4
    kind = np.array([KIND["inbound"], KIND["call"], KIND["meeting"], KIND["inbound"]])[step]
    back = np.array([2, 3, 5, 6])[step] * DAY - 10 * 3600 - 420 * (np.arange(size) // 4)
    occurred = clock.end - back
    occurred = occurred - np.maximum((occurred // DAY + 3) % 7 - 4, 0) * DAY
    talk = np.isin(kind, (KIND["call"], KIND["meeting"]))
    outcome = np.where(kind == KIND["call"], CONNECTED, np.where(kind == KIND["meeting"], HELD, NO_OUTCOME))
    return {
        "kind": kind,
        "deal": deal,
        "rep": owner,
        "occurred": occurred,
        "status": np.full(size, DONE),
        "outcome": outcome,
        "health": np.ones(size),
        "at": occurred + 60,
        "duration": np.where(talk, 1800, 0),
    }


def with_leads(
    done: Columns, extra: Columns, leads: Leads, clock: Clock, rng: np.random.Generator
) -> Columns:
    """Activities of deals, of the last days and of leads under each other."""
    touches = lead_touches(leads, clock.end, rng)
    size = touches["lead"].size
    kind = np.array([KIND["first_response"], KIND["inbound"], KIND["outbound"]])[touches["step"]]
    on_leads: Columns = {
        "kind": kind,
        "deal": np.full(size, -1),
        "rep": leads.owner[touches["lead"]],
        "occurred": touches["occurred"],
        "status": np.full(size, DONE),
        "outcome": np.where(touches["step"] == 0, CONNECTED, NO_OUTCOME),
        "health": np.zeros(size),
        "at": touches["occurred"] + 30,
        "duration": np.where(touches["step"] == 0, 240, 0),
    }
    on_leads = {name: column[on_leads["at"] < clock.end] for name, column in on_leads.items()}
    lead = touches["lead"][touches["occurred"] + 30 < clock.end]
    parts = [done, extra, on_leads]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in on_leads}
    joined["lead"] = np.concatenate([np.full(done["deal"].size + extra["deal"].size, -1), lead])
    return joined


def truth_of(company: Company, landmarks: int) -> dict[str, pl.DataFrame]:
    """What only tests and the report may read."""
    clock, world, deals, leads = company.clock, company.world, company.deals, company.leads
    rng, panel = company.streams["truth"], company.life.panel.joined()
    tables = {
        "outcomes": truth.outcomes_table(clock, deals),
        "health": truth.health_table(clock, panel),
        "action_effects": truth.effects_table(world.activity_effect),
        "leads": truth.leads_truth(leads, clock.end),
    }
    if landmarks:
        marks = truth.sample_marks(clock, world, panel, landmarks, rng)
        tables["landmarks"] = truth.landmarks_table(
            clock, world, deals, leads, company.sellers, panel, marks, rng
        )
        few = marks[np.sort(rng.permutation(marks.size)[: max(20, landmarks // 4)])]
        tables["action_lifts"] = truth.lifts_table(clock, world, panel, few, rng)
    return tables


def summarise(
    company: Company, tables: dict[str, pl.DataFrame], hidden: dict[str, pl.DataFrame], seed: int
) -> dict[str, object]:
    """Counts and rates that a reader of the files wants to see first."""
    clock, deals = company.clock, company.deals
    closed = (deals.closed_at > 0) & (deals.closed_at < clock.end)
    won = deals.state["stage"] == WON
    weeks = (deals.closed_at - deals.at)[closed] / (7 * DAY)
    regime = company.world.regime_week
    written = {**tables, **{f"truth/{name}": table for name, table in hidden.items()}}
    return {
        "seed": seed,
        "first": clock.first.isoformat(),
        "until": clock.until.isoformat(),
        "regime_change": None if regime > 10**5 else (clock.first + timedelta(weeks=regime)).isoformat(),
        "rows": {name: table.height for name, table in written.items()},
        "open_deals": int((~closed).sum()),
        "win_rate": round(float(won[closed].mean()), 4),
        "cycle_weeks_median": round(float(np.median(weeks)), 2),
        "mechanisms": {"activity_effect": company.world.activity_effect, "signal": company.world.signal},
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.synthetic", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--deals", type=int, default=3000)
    parser.add_argument("--leads", type=int)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--until", type=date.fromisoformat)
    parser.add_argument("--landmarks", type=int, default=600)
    parser.add_argument("--no-activity-effect", action="store_true")
    parser.add_argument("--no-signal", action="store_true")
    parser.add_argument("--no-regime-change", action="store_true")
    chosen = parser.parse_args(arguments)
    summary = write(
        chosen.out,
        chosen.deals,
        chosen.seed,
        chosen.until,
        leads=chosen.leads,
        landmarks=chosen.landmarks,
        activity_effect=not chosen.no_activity_effect,
        signal=not chosen.no_signal,
        regime_change=not chosen.no_regime_change,
    )
    sys.stdout.write(json.dumps(summary) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
