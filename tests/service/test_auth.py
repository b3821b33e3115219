"""Credentials: forgeries are refused, refresh tokens rotate, cookies need their CSRF token, guessing is slowed."""

import asyncio
import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from litestar import Litestar

from service.auth import Gate
from service.db import Database
from service.domains import sessions
from service.errors import Unauthorized
from service.settings import Settings
from service.tokens import derived, signing_key
from tests.conftest import People

pytestmark = pytest.mark.anyio
Client = httpx.AsyncClient


def forge(key: Any, header: dict[str, Any] | None = None, without: str = "", **claims: Any) -> str:
    now = int(time.time())
    good = {
        "iss": "sales",
        "aud": "sales-api",
        "sub": str(uuid4()),
        "sid": str(uuid4()),
        "door": "api",
        "iat": now,
        "exp": now + 600,
        "jti": "1",
    } | claims
    good.pop(without, None)
    header = {"alg": "HS256", "typ": "at+jwt"} | (header or {})
    return jwt.encode(header, good, key, algorithms=[header["alg"]], default_type=None)


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims)
    ]
    return ".".join(parts) + "."


@pytest.fixture
def key(settings: Settings) -> OctKey:
    return OctKey.import_key(derived(signing_key(settings), "access tokens"))


def forgeries(key: OctKey, good: str) -> dict[str, str]:
    """Every one differs from a valid token in one respect only."""
    now = int(time.time())
    head, body, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    ours = {name: claims[name] for name in ("sub", "sid")}
    other = OctKey.import_key(b"another key of thirty-two bytes!")
    return {
        "no algorithm": unsigned({"alg": "none", "typ": "at+jwt"}, claims),
        "no algorithm, odd case": unsigned({"alg": "nOnE", "typ": "at+jwt"}, claims),
        "another key": forge(other, **ours),
        "the installation's key itself": forge(OctKey.import_key(b"x" * 32), **ours),
        "a longer hash": forge(key, {"alg": "HS512"}, **ours),
        "an asymmetric algorithm": forge(RSAKey.generate_key(2048), {"alg": "RS256"}, **ours),
        "another issuer": forge(key, iss="elsewhere", **ours),
        "no issuer": forge(key, without="iss", **ours),
        "another audience": forge(key, aud="other-api", **ours),
        "several audiences": forge(key, aud=["sales-api", "other"], **ours),
        "no audience": forge(key, without="aud", **ours),
        "another type": forge(key, {"typ": "JWT"}, **ours),
        "a refresh type": forge(key, {"typ": "rt+jwt"}, **ours),
        "expired": forge(key, iat=now - 900, exp=now - 1, **ours),
        "no expiry": forge(key, without="exp", **ours),
        "an expiry in words": forge(key, exp="never", **ours),
        "issued tomorrow": forge(key, iat=now + 86400, exp=now + 90000, **ours),
        "a key named in the header": forge(key, {"kid": "../../dev/null"}, **ours),
        "nobody": forge(key, sub=str(uuid4()), sid=ours["sid"]),
        "no session": forge(key, sid=str(uuid4()), sub=ours["sub"]),
        "the subject is no id": forge(key, sub="admin", sid=ours["sid"]),
        "the body changed": f"{head}.{body[:-2]}{'A' if body[-2] != 'A' else 'B'}{body[-1]}.{signature}",
        "the signature changed": f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}",
        "the signature cut off": f"{head}.{body}.",
        "very long": good + "A" * 5000,
        "no token": "hello",
    }


async def test_forged_tokens_are_refused(client: Client, people: People, key: OctKey) -> None:
    good = people.rep.token
    assert (await client.get("/me", headers=people.rep.headers)).status_code == 200
    claims = json.loads(base64.urlsafe_b64decode(good.split(".")[1] + "=="))
    same = forge(key, sub=claims["sub"], sid=claims["sid"])
    assert (await client.get("/me", headers={"Authorization": f"Bearer {same}"})).status_code == 200
    for name, token in forgeries(key, good).items():
        answer = await client.get("/me", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, name
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_other_secrets_are_no_access_tokens(client: Client, people: People, database: Database) -> None:
    pair = await sign_in(client, database, people)
    cookie = (await sessions.open_session(database, people.rep.id, "web"))[1]
    await client.get("/me", headers={"Cookie": f"sales_session={cookie}"})
    wrong = [
        {"Authorization": f"Bearer {pair['refresh_token']}"},
        {"Authorization": f"Bearer {cookie}"},
        {"Authorization": f"Basic {pair['access_token']}"},
        {"X-API-Key": pair["access_token"]},
        {"X-API-Key": cookie},
        {"Cookie": f"sales_session={pair['access_token']}"},
        {},
    ]
    for headers in wrong:
        assert (await client.get("/me", headers=headers)).status_code == 401, headers


async def sign_in(client: Client, database: Database, people: People) -> dict[str, Any]:
    await sessions.set_password(database, people.rep2.id, "correct horse")
    data = {"email": people.rep2.email.upper(), "password": "correct horse"}
    answer = await client.post("/auth/token", json=data)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    pair: dict[str, Any] = answer.json()
    return pair


async def refresh(client: Client, token: str) -> Any:
    return await client.post("/auth/refresh", json={"refresh_token": token})


async def test_sign_in_refresh_and_sign_out(client: Client, people: People, database: Database) -> None:
    pair = await sign_in(client, database, people)
    assert set(pair) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert pair["expires_in"] == 900
    following = (await refresh(client, pair["refresh_token"])).json()
    headers = {"Authorization": f"Bearer {following['access_token']}"}
    me = (await client.get("/me", headers=headers)).json()
    assert me["email"] == people.rep2.email
    assert me["role"] == "rep"
    assert (await client.post("/auth/logout", headers=headers)).status_code == 204
    assert (await client.get("/me", headers=headers)).status_code == 401
    assert (await refresh(client, following["refresh_token"])).status_code == 401


async def test_one_of_a_hundred_refreshes_wins_and_reuse_ends_the_family(
    client: Client, people: People, database: Database
) -> None:
    pair = await sign_in(client, database, people)
    answers = await asyncio.gather(*(refresh(client, pair["refresh_token"]) for _ in range(100)))
    won = [answer for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    assert {answer.status_code for answer in answers} == {200, 401}
    assert (await refresh(client, won[0].json()["refresh_token"])).status_code == 401
    headers = {"Authorization": f"Bearer {won[0].json()['access_token']}"}
    assert (await client.get("/me", headers=headers)).status_code == 401


async def test_an_old_refresh_token_ends_only_its_own_family(
    client: Client, people: People, database: Database
) -> None:
    first, second = await sign_in(client, database, people), await sign_in(client, database, people)
    assert (await refresh(client, first["refresh_token"])).status_code == 200
    assert (await refresh(client, first["refresh_token"])).status_code == 401
    assert (await refresh(client, second["refresh_token"])).status_code == 200


async def test_an_access_token_lives_exactly_its_time(
    settings: Settings, people: People, database: Database
) -> None:
    now = [time.time()]
    gate = Gate(database, signing_key(settings), clock=lambda: now[0])
    session_id, _ = await sessions.open_session(database, people.rep.id, "token")
    token = gate.tokens.issue(people.rep.id, session_id)
    now[0] += 899
    assert (await gate.by_token(token)).actor.id == people.rep.id
    now[0] += 1.001
    with pytest.raises(Unauthorized):
        await gate.by_token(token)


async def test_a_browser_session_needs_the_csrf_token_for_changes(
    client: Client, people: People, database: Database
) -> None:
    await sessions.set_password(database, people.manager.id, "manager's own")
    data = {"email": people.manager.email, "password": "manager's own"}
    answer = await client.post("/auth/session", json=data)
    client.cookies.clear()
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    headers = {"Cookie": cookie.split(";")[0]}
    assert (await client.get("/me", headers=headers)).json()["csrf_token"] == answer.json()["csrf_token"]
    body = {"url": "https://example.com/hook", "events": ["deal.won"]}
    assert (await client.post("/webhooks", json=body, headers=headers)).status_code == 403
    other = {"X-CSRF-Token": "A" * 43}
    assert (await client.post("/webhooks", json=body, headers=headers | other)).status_code == 403
    right = {"X-CSRF-Token": answer.json()["csrf_token"]}
    form = await client.post("/auth/logout", data={"csrf_token": "wrong"}, headers=headers)
    assert form.status_code == 403
    created = await client.post("/webhooks", json=body, headers=headers | right)
    assert created.status_code == 201, created.text
    form = await client.post("/auth/logout", data={"csrf_token": right["X-CSRF-Token"]}, headers=headers)
    assert form.status_code == 204, form.text
    assert (await client.get("/me", headers=headers)).status_code == 401


async def test_guessing_is_slowed_even_when_concurrent(
    client: Client, people: People, database: Database
) -> None:
    await sessions.set_password(database, people.stranger.id, "the right one")

    async def attempt(password: str) -> int:
        data = {"email": people.stranger.email, "password": password}
        return (await client.post("/auth/token", json=data)).status_code

    statuses = await asyncio.gather(*(attempt(f"guess {n}") for n in range(40)))
    assert statuses.count(401) <= sessions.ACCOUNT_LIMIT + 1  # two are verified side by side
    assert statuses.count(429) == 40 - statuses.count(401)
    answer = await client.post(
        "/auth/token", json={"email": people.stranger.email, "password": "the right one"}
    )
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 61
    await database.execute("UPDATE sign_in_failures SET blocked_until = now() - interval '1 second'")
    assert await attempt("the right one") == 200
    await database.execute("DELETE FROM sign_in_failures")


async def test_an_unknown_address_answers_like_a_wrong_password(client: Client, people: People) -> None:
    unknown = await client.post("/auth/token", json={"email": "no@one.example", "password": "some words"})
    wrong = await client.post("/auth/token", json={"email": people.rep.email, "password": "some words"})
    assert unknown.status_code == wrong.status_code == 401
    assert unknown.json()["detail"] == wrong.json()["detail"]


async def test_a_link_signs_in_once(people: People, database: Database) -> None:
    secret = await sessions.make_link(database, people.admin.id)
    assert await sessions.redeem_link(database, secret) == people.admin.id
    with pytest.raises(Unauthorized):
        await sessions.redeem_link(database, secret)


async def test_an_api_key_is_bound_to_scopes_and_time(
    client: Client, people: People, database: Database
) -> None:
    draft = {"name": "reporting", "scopes": ["webhooks:read"]}
    assert (await client.post("/api-keys", json=draft, headers=people.ops.headers)).status_code == 403
    made = await client.post("/api-keys", json=draft, headers=people.admin.headers)
    assert made.status_code == 201, made.text
    key = made.json()["key"]
    assert key.startswith(made.json()["prefix"])
    headers = {"X-API-Key": key}
    assert (await client.get("/webhooks", headers=headers)).status_code == 200
    hook = {"url": "https://example.com/hook", "events": ["deal.won"]}
    assert (await client.post("/webhooks", json=hook, headers=headers)).status_code == 403
    assert (await client.get("/api-keys", headers=headers)).status_code == 403
    shown = await client.get("/api-keys/" + made.json()["id"], headers=people.admin.headers)
    assert key not in shown.text
    assert shown.json()["last_used_at"] is not None
    stored = await database.fetchval(
        "SELECT to_jsonb(h)::text || (SELECT to_jsonb(s)::text FROM api_key_secrets s"
        " WHERE s.api_key_id = h.id) FROM history.api_keys h LIMIT 1"
    )
    assert key not in stored
    gone = await client.delete("/api-keys/" + made.json()["id"], headers=people.admin.headers)
    assert gone.status_code == 204
    assert (await client.get("/webhooks", headers=headers)).status_code == 401


async def test_an_api_key_ends_at_its_expiry(
    client: Client, people: People, database: Database, app: Litestar
) -> None:
    past = {"name": "old", "scopes": ["*"], "expires_at": "2020-01-01T00:00:00Z"}
    assert (await client.post("/api-keys", json=past, headers=people.admin.headers)).status_code == 422
    unknown = {"name": "odd", "scopes": ["everything:read"]}
    answer = await client.post("/api-keys", json=unknown, headers=people.admin.headers)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/scopes/0"
    soon = datetime.now(UTC) + timedelta(seconds=0.6)
    made = await client.post(
        "/api-keys",
        json={"name": "brief", "scopes": ["*"], "expires_at": soon.isoformat()},
        headers=people.admin.headers,
    )
    headers = {"X-API-Key": made.json()["key"]}
    assert (await client.get("/webhooks", headers=headers)).status_code == 200
    await asyncio.sleep(0.7)
    app.state.gate.forget()
    assert (await client.get("/webhooks", headers=headers)).status_code == 401


async def test_a_manager_sees_the_people_below(people: People) -> None:
    assert people.admin.actor.owners is None
    assert people.rep.actor.owners == (people.rep.id,)
    assert set(people.manager.actor.owners or ()) == {people.manager.id, people.rep.id, people.rep2.id}
    assert people.manager.actor.teams


async def test_a_changed_role_holds_at_once(client: Client, people: People) -> None:
    path = f"/users/{people.stranger.id}"
    assert (await client.get("/me", headers=people.stranger.headers)).json()["role"] == "rep"
    changed = await client.patch(path, json={"is_active": False}, headers=people.admin.headers)
    assert changed.status_code == 200
    assert (await client.get("/me", headers=people.stranger.headers)).status_code == 401
    await client.patch(path, json={"is_active": True}, headers=people.admin.headers)


async def test_the_key_of_the_installation_is_private(settings: Settings) -> None:
    signing_key(settings)
    assert settings.secret_path.stat().st_mode & 0o077 == 0
