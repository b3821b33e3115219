"""The simulated company: its files, what they must not tell, and whether its truth is true."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training.simulated.clock import make_clock
from training.synthetic import simulate, tables_of, truth_of, write

UNTIL = date(2026, 11, 23)
END = datetime(2026, 11, 24, tzinfo=UTC)
ACTIONS = {
    *("call", "email", "meeting", "demo", "executive_sponsor", "add_stakeholder", "send_battle_card"),
    *(
        "send_proposal",
        "mutual_action_plan",
        "re_engage",
        "correct_close_date",
        "offer",
        "hand_over",
        "disqualify",
    ),
}
Tables = dict[str, pl.DataFrame]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("company")
    write(place, deals=1500, seed=11, until=UNTIL, landmarks=700)
    return place


@pytest.fixture(scope="module")
def company(folder: Path) -> Tables:
    return {path.stem: read(path) for path in folder.glob("*.csv")}


@pytest.fixture(scope="module")
def truth(folder: Path) -> Tables:
    return {path.stem: read(path) for path in (folder / "truth").glob("*.csv")}


def read(path: Path) -> pl.DataFrame:
    table = pl.read_csv(path, infer_schema_length=None)
    times = [name for name in ("at", "occurred_at", "closed_at", "mql_at") if name in table.columns]
    days = [name for name in ("close_date",) if name in table.columns]
    return table.with_columns(
        *(pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC") for name in times),
        *(pl.col(name).str.to_date() for name in days),
    )


def cross_entropy(true: np.ndarray, said: np.ndarray) -> float:
    """The log loss that `said` is expected to have when `true` is right."""
    said = np.clip(said, 1e-4, 1 - 1e-4)
    return float(-(true * np.log(said) + (1 - true) * np.log(1 - said)).mean())


def test_every_promised_file_is_there_with_its_columns(company: Tables) -> None:
    promised = {
        "teams": "id name parent manager",
        "users": "id email name title role team manager time_zone start_date end_date",
        "signins": "email password role",
        "competitors": "id name aliases domain strengths weaknesses",
        "products": "id code name family description list_price currency billing_period",
        "accounts": "id at name domain industry type segment number_of_employees annual_revenue owner country city",
        "contacts": "id at account first_name last_name email phone title department",
        "leads": "id at first_name last_name company email phone title industry number_of_employees lead_source "
        "owner country",
        "lead_history": "lead at seq status rating owner unqualified_reason converted_account converted_contact "
        "converted_opportunity",
        "opportunities": "id at name account owner type lead_source currency primary_contact pipeline",
        "opportunity_history": "opportunity at seq stage amount close_date forecast_category next_step owner "
        "loss_reason competitor closed_note",
        "lines": "id at opportunity product quantity unit_price discount_percent",
        "stakeholders": "id at opportunity contact role influence sentiment",
        "activities": "id at type occurred_at subject direction status outcome duration_seconds owner account "
        "opportunity lead contact",
        "notes": "id at opportunity account author kind body",
        "battle_cards": "id at competitor title body tags status",
        "playbooks": "id name description stage criteria steps status",
        "quotas": "period user team amount currency",
        "stages": "pipeline key name position status probability forecast_category rotting_days",
    }
    assert set(company) == set(promised)
    for name, columns in promised.items():
        assert set(columns.split()) <= set(company[name].columns), name


def test_the_company_has_the_promised_size_and_shape(company: Tables) -> None:
    states = company["opportunity_history"].group_by("opportunity", maintain_order=True).last()
    closed = states.filter(pl.col("stage").is_in(["won", "lost"]))
    created = company["opportunities"].select("id", created="at")
    weeks = closed.join(created, left_on="opportunity", right_on="id").select(
        (pl.col("at") - pl.col("created")).dt.total_days() / 7
    )
    assert company["opportunities"].height == 1500
    assert company["leads"].height >= 1500
    assert 0.22 < float((closed["stage"] == "won").mean() or 0) < 0.38  # type: ignore[arg-type]
    assert 6 < float(weeks.to_series().median() or 0) < 11  # type: ignore[arg-type]
    assert 110 < states.height - closed.height < 240
    users = company["users"]
    assert (users["role"] == "rep").sum() >= 8
    assert company["teams"].height >= 4
    assert company["competitors"].height >= 6
    assert company["battle_cards"].height >= 12
    converted = company["lead_history"].filter(pl.col("status") == "converted")
    assert 0.12 < converted.height / 1500 < 0.25


def test_every_reference_finds_its_row(company: Tables) -> None:
    references = {
        "teams": {"parent": "teams", "manager": "users"},
        "users": {"team": "teams", "manager": "users"},
        "accounts": {"owner": "users"},
        "contacts": {"account": "accounts"},
        "leads": {"owner": "users"},
        "lead_history": {
            "lead": "leads",
            "converted_account": "accounts",
            "converted_contact": "contacts",
            "converted_opportunity": "opportunities",
        },
        "opportunities": {"account": "accounts", "owner": "users", "primary_contact": "contacts"},
        "opportunity_history": {
            "opportunity": "opportunities",
            "owner": "users",
            "competitor": "competitors",
        },
        "lines": {"opportunity": "opportunities", "product": "products"},
        "stakeholders": {"opportunity": "opportunities", "contact": "contacts"},
        "activities": {
            "owner": "users",
            "opportunity": "opportunities",
            "lead": "leads",
            "contact": "contacts",
        },
        "notes": {"opportunity": "opportunities", "account": "accounts", "author": "users"},
        "battle_cards": {"competitor": "competitors"},
        "quotas": {"user": "users", "team": "teams"},
    }
    for name, columns in references.items():
        for column, target in columns.items():
            known = set(company[target]["id"])
            assert set(company[name][column].drop_nulls()) <= known, (name, column)
    for name, table in company.items():
        if "id" in table.columns:
            assert table["id"].is_unique().all(), name


def test_nothing_is_known_before_what_it_refers_to(company: Tables) -> None:
    first = {
        name: company[name].select("id", since="at") for name in ("accounts", "contacts", "opportunities")
    }
    for name, column, target in (
        ("contacts", "account", "accounts"),
        ("opportunities", "account", "accounts"),
        ("opportunities", "primary_contact", "contacts"),
        ("stakeholders", "contact", "contacts"),
        ("stakeholders", "opportunity", "opportunities"),
        ("activities", "opportunity", "opportunities"),
        ("notes", "opportunity", "opportunities"),
        ("lines", "opportunity", "opportunities"),
    ):
        joined = company[name].join(first[target], left_on=column, right_on="id")
        assert (joined["at"] >= joined["since"]).all(), (name, column)
    for name, table in company.items():
        if "at" in table.columns:
            assert table["at"].max() < END, name  # type: ignore[operator]


def test_history_begins_at_creation_and_ends_at_the_close(company: Tables) -> None:
    history = company["opportunity_history"]
    first = history.filter(pl.col("seq") == 1).join(
        company["opportunities"].select("id", created="at", owner_then="owner"),
        left_on="opportunity",
        right_on="id",
    )
    assert first.height == company["opportunities"].height
    assert (first["at"] == first["created"]).all()
    assert (first["owner"] == first["owner_then"]).all()
    ordered = history.with_columns(before=pl.col("at").shift(1).over("opportunity"))
    assert (ordered.drop_nulls("before")["at"] >= ordered.drop_nulls("before")["before"]).all()
    closing = history.filter(pl.col("stage").is_in(["won", "lost"]))
    last = history.group_by("opportunity").agg(pl.col("seq").max())
    assert closing.join(last, on=["opportunity", "seq"]).height == closing.height
    assert (closing["close_date"] == closing["at"].dt.date()).all()


def test_the_outcome_is_told_at_the_close_only(company: Tables) -> None:
    history = company["opportunity_history"]
    still_open = history.filter(~pl.col("stage").is_in(["won", "lost"]))
    for column in ("loss_reason", "competitor", "closed_note"):
        assert still_open[column].null_count() == still_open.height
    lost, won = (history.filter(pl.col("stage") == stage) for stage in ("lost", "won"))
    assert lost["loss_reason"].null_count() == 0
    assert won["loss_reason"].null_count() == won.height
    outcome = pl.concat([lost, won]).select("opportunity", "stage")
    has_line = set(company["lines"]["opportunity"])
    assert set(outcome["opportunity"]) <= has_line
    assert set(company["accounts"]["type"]) == {"prospect"}


def test_held_talks_are_never_known_before_they_took_place(company: Tables) -> None:
    done = company["activities"].filter(pl.col("status") != "planned")
    assert (done["at"] >= done["occurred_at"]).all()
    late = (done["at"] - done["occurred_at"]).dt.total_days() >= 1
    assert 0.01 < float(late.mean() or 0) < 0.15  # type: ignore[arg-type]
    planned = company["activities"].filter(pl.col("status") == "planned")
    assert (planned["at"] < planned["occurred_at"]).all()
    assert planned.filter(pl.col("occurred_at") >= END).height > 5
    assert planned["outcome"].null_count() == planned.height


def test_the_first_amount_is_the_sum_of_the_lines(company: Tables) -> None:
    total = pl.col("quantity") * pl.col("unit_price") * (1 - pl.col("discount_percent") / 100)
    lines = company["lines"].group_by("opportunity").agg(total.round(2).sum().alias("total"))
    first = company["opportunity_history"].filter(pl.col("seq") == 1).join(lines, on="opportunity")
    assert first.height == company["opportunities"].height
    assert float((first["amount"] - first["total"]).abs().max() or 0) < 0.011  # type: ignore[arg-type]


def test_close_dates_are_pushed_and_wins_crowd_at_the_end_of_quarters(company: Tables) -> None:
    history = company["opportunity_history"]
    moved = (
        history.filter(~pl.col("stage").is_in(["won", "lost"]))
        .group_by("opportunity")
        .agg(pl.col("close_date").n_unique())
    )
    assert int((moved["close_date"] > 2).sum()) > 50
    won = history.filter(pl.col("stage") == "won")["close_date"]
    left = (won.dt.month_end() - won).dt.total_days() + ((2 - (won.dt.month() - 1) % 3) * 30)
    assert float((left < 21).mean() or 0) > 0.265  # type: ignore[arg-type]


def test_a_conversion_makes_account_contact_and_deal_at_one_instant(company: Tables) -> None:
    converted = company["lead_history"].filter(pl.col("status") == "converted")
    made = converted.join(
        company["opportunities"].select("id", "account", "primary_contact", made="at"),
        left_on="converted_opportunity",
        right_on="id",
    )
    assert made.height == converted.height
    assert (made["at"] == made["made"]).all()
    assert (made["converted_account"] == made["account"]).all()
    assert (made["converted_contact"] == made["primary_contact"]).all()


def test_instants_are_tied_here_and_there(company: Tables) -> None:
    history = company["opportunity_history"]
    assert history.group_by("opportunity", "at").len().filter(pl.col("len") > 1).height > 5
    assert history.group_by("at").len().filter(pl.col("len") > 1).height > 50


def test_the_demo_sign_ins_have_people_a_team_and_open_deals(company: Tables) -> None:
    users = {row["email"]: row for row in company["users"].to_dicts()}
    team = {row["id"]: row for row in company["teams"].to_dicts()}
    for row in company["signins"].to_dicts():
        assert users[row["email"]]["role"] == row["role"]
    rep, other, manager = (users[f"{name}@demo.example"] for name in ("rep", "rep2", "manager"))
    assert rep["team"] == other["team"] == manager["team"]
    assert team[rep["team"]]["manager"] == rep["manager"] == other["manager"] == manager["id"]
    states = company["opportunity_history"].group_by("opportunity", maintain_order=True).last()
    ready = states.filter((pl.col("stage") == "negotiation") & (pl.col("next_step") == "Final call to sign"))
    for user in (rep, other):
        mine = states.filter((pl.col("owner") == user["id"]) & ~pl.col("stage").is_in(["won", "lost"]))
        assert mine.height >= 3
        assert ready.filter(pl.col("owner") == user["id"]).height >= 1
    assert (ready["close_date"] >= UNTIL).all()


def test_quotas_cover_every_quarter_and_the_next(company: Tables) -> None:
    quotas = company["quotas"]
    assert quotas["period"].n_unique() == 13
    assert {"2026Q4", "2027Q1"} <= set(quotas["period"])
    assert ((quotas["user"].is_null()) != (quotas["team"].is_null())).all()
    per_period = quotas.filter(pl.col("team").is_not_null()).group_by("period").len()
    assert (per_period["len"] == company["teams"].height).all()


def test_playbooks_speak_the_catalogue_of_actions(company: Tables) -> None:
    for steps in company["playbooks"]["steps"].str.json_decode(
        pl.List(pl.Struct({"position": pl.Int64, "action": pl.String, "title": pl.String}))
    ):
        assert {step["action"] for step in steps} <= ACTIONS
        assert [step["position"] for step in steps] == list(range(1, len(steps) + 1))


def test_notes_carry_themes_and_name_competitors(company: Tables) -> None:
    bodies = company["notes"]["body"]
    names = "|".join(company["competitors"]["name"])
    for pattern in (names, "price|expensive", "ntegration", "ecurity", "champion"):
        assert int(bodies.str.contains(pattern).sum()) > 20, pattern
    assert not bodies.str.contains(r"[{}]").any()
    assert not company["activities"]["subject"].str.contains(r"[{}]").any()


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for place in ("one", "two", "three"):
        write(tmp_path / place, deals=120, seed=4 if place == "three" else 3, until=UNTIL, landmarks=20)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    same = [
        (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files
    ]
    other = [
        (tmp_path / "one" / name).read_bytes() == (tmp_path / "three" / name).read_bytes() for name in files
    ]
    assert all(same)
    assert not all(other)


def test_the_oracle_beats_the_stage_rate_and_the_visible_one_lies_between(truth: Tables) -> None:
    """The reference ratios are 1.25 and 1.40 for the stage rate, 1.03 to 1.04 for what can be seen."""
    marks = truth["landmarks"]
    stage = marks["stage"].to_numpy()
    for name, low, high in (("p13", 1.12, 1.35), ("p_last", 1.22, 1.55)):
        true = marks[name].to_numpy()
        rate = np.zeros(true.size)
        for key in np.unique(stage):
            rate[stage == key] = true[stage == key].mean()
        limit = cross_entropy(true, true)
        assert low < cross_entropy(true, rate) / limit < high
        assert 1.01 < cross_entropy(true, marks[f"{name}_visible"].to_numpy()) / limit < 1.08


def test_the_oracle_is_calibrated_against_what_happened(truth: Tables) -> None:
    """The truth must be true: observed within four standard errors of expected, over all and in three bands."""
    marks = truth["landmarks"]
    for chance, happened in (("p13", "won13"), ("p_last", "won_last")):
        for low, high in ((0.0, 1.01), (0.0, 0.2), (0.2, 0.6), (0.6, 1.01)):
            rows = marks.filter((pl.col(chance) >= low) & (pl.col(chance) < high))
            p = rows[chance].to_numpy()
            deals = rows["opportunity"].n_unique()
            spread = np.sqrt((p * (1 - p)).mean() / deals)
            assert abs(rows[happened].to_numpy().mean() - p.mean()) < 4 * spread + 0.01, (chance, low)


def test_win_odds_fall_after_the_regime_change(company: Tables, truth: Tables) -> None:
    since = datetime(2026, 3, 23, tzinfo=UTC)
    closing = company["opportunity_history"].filter(pl.col("stage").is_in(["won", "lost"]))
    rate = {
        after: float((rows["stage"] == "won").mean() or 0)  # type: ignore[arg-type]
        for after, rows in (
            (True, closing.filter(pl.col("at") >= since)),
            (False, closing.filter(pl.col("at") < since)),
        )
    }
    assert rate[True] < rate[False] - 0.02
    assert truth["outcomes"].height == company["opportunities"].height


def test_actions_help_unevenly(truth: Tables) -> None:
    lifts = (
        truth["action_lifts"]
        .group_by("action")
        .agg(pl.col("lift60").mean(), pl.col("lift60").std().alias("spread"))
    )
    lift = dict(zip(lifts["action"], lifts["lift60"], strict=True))
    assert lift["email"] == pytest.approx(0, abs=1e-9)
    assert lift["add_stakeholder"] > 0.01
    sponsors = truth["action_effects"].filter(pl.col("action") == "executive_sponsor")
    by_segment = dict(sponsors.group_by("segment").agg(pl.col("health_effect").mean()).iter_rows())
    assert by_segment["enterprise"] > by_segment["mid_market"] > 0 > by_segment["smb"]


def test_mechanisms_can_be_switched_off() -> None:
    silent = simulate(300, 5, UNTIL, signal=False, activity_effect=False)
    hidden = truth_of(silent, 120)
    assert hidden["action_effects"]["health_effect"].abs().max() == 0
    assert hidden["action_lifts"]["lift60"].abs().max() == 0
    marks = hidden["landmarks"].filter(pl.col("stage") == "prospecting")
    assert float(marks["p_last"].std() or 0) < 0.06  # type: ignore[arg-type]
    assert tables_of(silent)["opportunities"].height == 300


@pytest.mark.parametrize(
    "until", [date(2026, 11, 22), date(2026, 12, 31), date(2027, 1, 1), date(2024, 2, 29)]
)
def test_any_last_day_will_do(until: date) -> None:
    tables = tables_of(simulate(120, 2, until))
    newest = max(table["at"].max() for table in tables.values() if "at" in table.columns)  # type: ignore[type-var]
    assert str(newest)[:10] <= until.isoformat()
    assert tables["opportunities"].height == 120
    assert make_clock(until, 12).end > 0
