"""The forecast page: one line of figures, the band against the quota, everybody's share, and how far to trust it."""

import math
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from litestar import MediaType, Response, get
from litestar.di import NamedDependency

from service import calendar, outlook
from service.access import require, visible
from service.calendar import Period
from service.db import Params
from service.errors import NotFound
from service.nodes import Node, Tree
from service.web import charts
from service.web.frame import Visit
from service.web.render import page
from service.web.words import Words, count
from service.wire import Web

Row = dict[str, Any]

PAST_PERIODS = 8
MEANT = 0.8
"""The share of outcomes that a band from P10 to P90 is meant to hold."""
DAY_SECONDS = 86_400


# What one may choose -----------------------------------------------------------------------------------------------


def period_name(key: str) -> str:
    """`2026Q4` → `2026 Q4`."""
    return f"{key[:4]} {key[4:]}".strip()


async def _periods(visit: Visit, chosen: Period) -> list[Row]:
    """The next quarter, this one, those before; the years around; and the chosen one wherever it lies."""
    current = await calendar.period(visit.database, None, visit.now)
    found = [calendar.following(visit.company, current), current]
    for _ in range(PAST_PERIODS):
        found.append(calendar.previous(visit.company, found[-1]))
    year = await calendar.period(visit.database, None, visit.now, "year")
    found += [year, calendar.previous(visit.company, year)]
    keys = [each.key for each in found]
    keys = keys if chosen.key in keys else [chosen.key, *keys]
    return [{"key": key, "name": period_name(key)} for key in keys]


def _choices(tree: Tree, top: Node, depth: int = 0) -> list[Row]:
    """The node and all below it, indented; only people who sell, or lead."""
    if top.type == "user" and top.id in tree.people and not tree.people[top.id].sells and depth:
        return []
    rows = [{"key": str(top), "name": tree.name(top), "depth": depth}]
    for child in tree.children(top):
        rows += _choices(tree, child, depth + 1)
    return rows


def _may_see(tree: Tree, visit: Visit, node: Node) -> bool:
    try:
        tree.check(visit.actor, node)
    except NotFound:
        return False
    return True


def _crumbs(tree: Tree, visit: Visit, node: Node, period: str) -> list[Row]:
    """The teams above a node that the actor may look at, the highest first."""
    found: list[Row] = []
    above = tree.team_of(node.id) if node.type == "user" and node.id else None
    if node.type == "team" and node.id in tree.teams:
        above = tree.teams[node.id].parent_id
    while above is not None and above in tree.teams and len(found) < 10:
        place = Node("team", above)
        if _may_see(tree, visit, place):
            found.insert(0, {"name": tree.name(place), "href": f"/forecast?period={period}&node={place}"})
        above = tree.teams[above].parent_id
    return found


# The band ----------------------------------------------------------------------------------------------------------


async def _closed(visit: Visit, tree: Tree, node: Node, period: Period) -> list[tuple[date, Decimal]]:
    """What the node had closed by the end of each day on which it closed something."""
    params = Params([period.start_date, period.end_date])
    whose = "t.territory_id" if node.type == "territory" else "t.owner_id"
    whom = tree.within(node) if node.type == "territory" else tree.owners(node)
    among = params.add(list(whom))
    seen = visible(visit.actor, "opportunities", "t", params)
    rows = await visit.database.fetch(
        "SELECT t.closed_on AS day, sum(coalesce(t.amount_home, t.amount, 0)) AS amount FROM opportunities t"
        f" WHERE t.status = 'won' AND t.closed_on BETWEEN $1 AND $2 AND {whose} = ANY({among}::uuid[])"
        f" AND t.deleted_at IS NULL AND {seen} GROUP BY 1 ORDER BY 1",
        *params,
    )
    found, total = [], Decimal(0)
    for row in rows:
        total += row["amount"]
        found.append((row["day"], total))
    return found


def _course(visit: Visit, forecast: Row, period: Period, closed: list[tuple[date, Decimal]]) -> charts.Course:
    """The chart's figures. Without stored points of the band a straight way leads to its end."""
    begin = visit.company.midnight(period.start_date)

    def since(moment: datetime) -> float:
        return (moment - begin).total_seconds() / DAY_SECONDS

    ai, today = forecast["ai"], since(visit.now)
    band = [
        (since(ai["as_of"]) + point["days"], float(point["p10"]), float(point["p50"]), float(point["p90"]))
        for point in forecast["fan"]
    ]
    if ai["p10"] is not None and not band and today < period.days:
        reached = float(closed[-1][1]) if closed else 0.0
        end = (float(period.days), float(ai["p10"]), float(ai["p50"]), float(ai["p90"]))
        band = [(max(today, 0.0), reached, reached, reached), end]
    return charts.Course(
        start=period.start_date,
        days=period.days,
        today=today,
        closed=[((day - period.start_date).days, float(amount)) for day, amount in closed],
        band=band if today < period.days else [],
        quota=None if forecast["quota"] is None else float(forecast["quota"]),
    )


def _labels(fan: charts.Fan, forecast: Row, say: Words) -> list[Row]:
    """The names at the right end of the lines, moved apart where they would cover each other."""
    ai, rows = forecast["ai"], []
    if fan.ends:
        for name, place in zip(("p90", "p50", "p10"), reversed(fan.ends), strict=True):
            rows.append((name.upper(), place, ai[name]))
    if fan.quota is not None:
        rows.append(("Quota", fan.quota, forecast["quota"]))
    places = charts.spread_labels([place for _, place, _ in rows])
    return [
        {"text": f"{name} {say.money(amount, compact=True)}", "y": place, "strong": name == "P50"}
        for (name, _, amount), place in zip(rows, places, strict=True)
    ]


# In words ----------------------------------------------------------------------------------------------------------


def _between(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `n`."""
    z = 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def coverage(ai: Row, say: Words) -> str:
    """How often past bands held, beside what is meant, and how little that proves."""
    if ai["interval_coverage"] is None or not ai["n_origins"]:
        return str(ai["reason"] or "How often such bands held has not been measured yet.")
    share, periods = float(ai["interval_coverage"]), ai["n_periods"]
    text = (
        f"Measured on {count(ai['n_origins'], 'past forecast')} of {count(periods, 'period')}: "
        f"{say.percent(share)} of the outcomes lay between P10 and P90, where {say.percent(MEANT)} is meant."
    )
    low, high = _between(share, max(periods, 1))
    return f"{text} With so few periods the true share may lie anywhere from {say.percent(low)} to {say.percent(high)}."


def made_of(forecast: Row, say: Words) -> str:
    """The mean and its three parts."""
    ai = forecast["ai"]
    parts = [say.money(ai[name], compact=True) for name in ("mean", "closed", "open", "to_be_created")]
    return (
        f"The mean is {parts[0]}: {parts[1]} is closed, {parts[2]} is expected of deals that are open,"
        f" and {parts[3]} of business that is yet to be created."
    )


def figures(forecast: Row, say: Words) -> list[Row]:
    """The one line: quota, closed, commit, the model's view, the chance to attain."""
    ai, quota = forecast["ai"], forecast["quota"]

    def figure(label: str, value: str, note: str = "", title: str = "") -> Row:
        return {"label": label, "value": value, "note": note, "title": title}

    band = "no band yet"
    if ai["p10"] is not None:
        band = f"P10 {say.money(ai['p10'], compact=True)} to P90 {say.money(ai['p90'], compact=True)}"
    attained = f"{say.percent(forecast['attainment'])} of quota" if quota else ""
    commit = "overridden" if "commit" in forecast["overrides"] else "open deals called commit"
    weighted = "Closed, and each open deal's amount times the chance of its stage"
    return [
        figure("Quota", say.money(quota, compact=True), "" if quota else "none published"),
        figure("Closed", say.money(forecast["closed"], compact=True), attained),
        figure("Commit", say.money(forecast["commit"], compact=True), commit),
        figure("AI P50", say.money(ai["p50"], compact=True), band, "As likely more as less"),
        figure("Chance to attain", say.percent(forecast["attain_probability"])),
        figure("Stage-weighted", say.money(forecast["weighted"], compact=True), "", weighted),
    ]


def time_left(period: Period, today: date) -> str:
    """`38 days left`, or what else is to be said."""
    if today > period.end_date:
        return f"ended {count((today - period.end_date).days, 'day')} ago"
    if today < period.start_date:
        return f"begins in {count((period.start_date - today).days, 'day')}"
    return f"{count((period.end_date - today + timedelta(days=1)).days, 'day')} left"


# The page ----------------------------------------------------------------------------------------------------------


def _children(forecast: Row, period: str) -> list[Row]:
    rows = []
    for child in forecast["children"]:
        node = Node(child["node"]["type"], child["node"]["id"])
        rows.append(child | {"href": f"/forecast?period={period}&node={node}"})
    return rows


def _ceiling(rows: list[Row]) -> float:
    """The scale that all rows' bars share."""
    values = [row[name] for row in rows for name in ("quota", "closed")]
    values += [row["ai"][name] for row in rows for name in ("p90", "p50")]
    return max((float(value) for value in values if value is not None), default=0.0)


@get("/forecast", opt={"optional": True}, media_type=MediaType.HTML)
async def forecast_page(request: Web, visit: NamedDependency[Visit]) -> Response[Any]:
    """The forecast of a period for a person, a team or all."""
    require(visit.actor, "forecasts", "read")
    asked = request.query_params
    node = Node.parse(asked["node"]) if asked.get("node") else None
    settings = request.app.state.settings
    found, meant = await outlook.read(
        visit.database, settings, visit.actor, asked.get("period") or None, node, None
    )
    forecast, period, say = found.answer(meant), found.period, visit.say
    closed = await _closed(visit, found.tree, meant, period)
    course = _course(visit, forecast, period, closed)
    wide, narrow = charts.fan(course), charts.fan(course, width=360, height=230)
    children = _children(forecast, period.key)
    return page(
        "forecast.html", visit.titled("Forecast", "forecast"), say,
        node={"key": str(meant), "name": found.tree.name(meant)},
        period={"key": period.key, "name": period_name(period.key), "start_date": period.start_date,
                "end_date": period.end_date},
        days_left=time_left(period, visit.company.today(visit.now)), periods=await _periods(visit, period),
        nodes=_choices(found.tree, found.tree.default(visit.actor)),
        crumbs=_crumbs(found.tree, visit, meant, period.key),
        forecast=forecast, figures=figures(forecast, say), closed=closed,
        fan=wide, labels=_labels(wide, forecast, say), fan_narrow=narrow, labels_narrow=_labels(narrow, forecast, say),
        sentences=[coverage(forecast["ai"], say), made_of(forecast, say)], children=children,
        has_bands=any(row["ai"]["p10"] is not None for row in [forecast, *children]),
        children_are_people=all(child["node"]["type"] == "user" for child in children), ceiling=_ceiling(children),
    )  # fmt: skip


routes: list[Any] = [forecast_page]
