"""Documents: upload, download, versions, who may, and what is refused."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from moto.server import ThreadedMotoServer

from service import objects, uploads
from service.app import create_app
from service.db import Database
from service.errors import NotFound, Unavailable
from service.settings import Settings
from tests.conftest import People
from tests.service import files

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def deal(client: httpx.AsyncClient, people: People) -> str:
    made = await client.post("/opportunities", headers=people.rep.headers, json={"name": "Deal"})
    return str(made.json()["id"])


async def upload(
    client: httpx.AsyncClient,
    headers: dict[str, str],
    content: bytes = files.PDF,
    file_name: str = "offer.pdf",
    **members: str,
) -> httpx.Response:
    return await client.post(
        "/documents", headers=headers, data=members, files={"file": (file_name, content, "text/html")}
    )


async def test_a_document_goes_in_and_comes_out_as_it_was(
    client: httpx.AsyncClient, people: People, settings: Settings, deal: str
) -> None:
    made = await upload(
        client,
        people.rep.headers,
        file_name="../Angebot für\\Müller.pdf",
        opportunity_id=deal,
        type="proposal",
    )
    assert made.status_code == 201, made.text
    body = made.json()
    assert body["name"] == "Müller.pdf"
    assert (body["type"], body["content_type"], body["size_bytes"]) == (
        "proposal",
        "application/pdf",
        len(files.PDF),
    )
    assert body["sha256"] == hashlib.sha256(files.PDF).hexdigest()
    assert body["url"] == f"/api/v1/documents/{body['id']}/content"
    assert made.headers["location"] == f"/api/v1/documents/{body['id']}"
    assert (settings.home / "objects" / "documents" / body["id"] / body["sha256"]).read_bytes() == files.PDF

    got = await client.get(f"/documents/{body['id']}/content", headers=people.rep.headers)
    assert (got.status_code, got.content) == (200, files.PDF)
    assert got.headers["content-type"] == "application/pdf"
    assert got.headers["content-disposition"].startswith("attachment;")
    assert "filename*=UTF-8''M%C3%BCller.pdf" in got.headers["content-disposition"]
    assert got.headers["x-content-type-options"] == "nosniff"
    again = await client.get(
        f"/documents/{body['id']}/content",
        headers=people.rep.headers | {"If-None-Match": got.headers["etag"]},
    )
    assert (again.status_code, again.content) == (304, b"")
    shown = (await client.get(f"/documents/{body['id']}", headers=people.rep.headers)).json()
    assert (shown["view_count"], shown["guest_view_count"]) == (1, 0)


async def test_versions_stay_and_undo_brings_the_former_content_back(
    client: httpx.AsyncClient, people: People, deal: str
) -> None:
    body = (await upload(client, people.rep.headers, opportunity_id=deal)).json()
    url, headers = f"/documents/{body['id']}", people.rep.headers
    second = {"file": ("second.csv", b"a,b\n", "text/csv")}
    assert (await client.put(f"{url}/content", headers=headers, files=second)).status_code == 428
    stale = await client.put(f"{url}/content", headers=headers | {"If-Match": '"9"'}, files=second)
    assert stale.status_code == 412
    put = await client.put(f"{url}/content", headers=headers | {"If-Match": '"1"'}, files=second)
    assert put.status_code == 200, put.text
    assert (put.json()["content_version"], put.json()["content_type"]) == (2, "text/csv")
    listed = (await client.get(f"{url}/versions", headers=headers)).json()["items"]
    assert [(each["content_version"], each["file_name"]) for each in listed] == [
        (2, "second.csv"),
        (1, "offer.pdf"),
    ]
    assert (await client.get(f"{url}/content", headers=headers)).content == b"a,b\n"
    assert (await client.get(f"{url}/content?content_version=1", headers=headers)).content == files.PDF
    assert (await client.get(f"{url}/content?content_version=3", headers=headers)).status_code == 404
    assert (await client.get(f"{url}/content?content_version=x", headers=headers)).status_code == 400

    events = (await client.get("/events?limit=200", headers=people.admin.headers)).json()["items"]
    change = next(
        e["change_id"] for e in events if e["kind"] == "document.uploaded" and e["entity_id"] == body["id"]
    )
    undone = await client.post(f"/changes/{change}/undo", headers=people.admin.headers)
    assert undone.status_code in (200, 202), undone.text
    assert (await client.get(f"{url}/content", headers=headers)).content == files.PDF


async def test_a_document_without_content_is_a_record_like_any_other(
    client: httpx.AsyncClient, people: People, deal: str
) -> None:
    made = await client.post(
        "/documents", headers=people.rep.headers, json={"name": "To come", "opportunity_id": deal}
    )
    assert made.status_code == 201, made.text
    assert made.json()["url"] is None
    url = f"/documents/{made.json()['id']}"
    assert (await client.get(f"{url}/content", headers=people.rep.headers)).status_code == 404
    renamed = await client.patch(
        url, headers=people.rep.headers, json={"name": "Contract", "is_shared": True}
    )
    assert (renamed.json()["name"], renamed.json()["is_shared"]) == ("Contract", True)
    for member in ("sha256", "content_type", "size_bytes", "url", "view_count", "file_name"):
        refused = await client.patch(url, headers=people.rep.headers, json={member: "x"})
        assert refused.status_code == 422, member
    assert (await client.delete(url, headers=people.rep.headers)).status_code == 204
    assert (await client.get(url, headers=people.rep.headers)).status_code == 404
    assert (await client.post(f"{url}/restore", headers=people.rep.headers)).status_code == 200


async def test_a_deleted_document_gives_nothing_and_strangers_get_nothing(
    client: httpx.AsyncClient, people: People, deal: str
) -> None:
    body = (await upload(client, people.rep.headers, opportunity_id=deal)).json()
    url = f"/documents/{body['id']}"
    for person in (people.rep2, people.stranger):
        for path in (url, f"{url}/content", f"{url}/versions", f"{url}/content?content_version=1"):
            assert (await client.get(path, headers=person.headers)).status_code == 404, path
        put = await client.put(
            f"{url}/content", headers=person.headers | {"If-Match": "*"}, files={"file": ("a.pdf", files.PDF)}
        )
        assert put.status_code == 404
    foreign = await upload(client, people.stranger.headers, opportunity_id=deal)
    assert (foreign.status_code, foreign.json()["errors"][0]["pointer"]) == (422, "/opportunity_id")
    assert (await upload(client, people.data.headers, opportunity_id=deal)).status_code == 403
    assert (await upload(client, {}, opportunity_id=deal)).status_code == 401
    assert (await client.get(f"{url}/content", headers=people.manager.headers)).status_code == 200
    await client.delete(url, headers=people.rep.headers)
    for path in (f"{url}/content", f"{url}/versions", f"{url}/content?content_version=1"):
        assert (await client.get(path, headers=people.rep.headers)).status_code == 404, path


@pytest.mark.parametrize(
    ("content", "name", "members", "status", "pointer"),
    [
        (b"", "empty.pdf", {}, 422, "/file"),
        (b"<html><script>1</script>", "page.pdf", {}, 422, "/file"),
        (files.MACROS, "macro.docx", {}, 422, "/file"),
        (files.PDF, "a.pdf", {"sha256": "0" * 64}, 422, "/sha256"),
        (files.PDF, "a.pdf", {"type": "virus"}, 422, "/type"),
        (files.PDF, "a.pdf", {"is_shared": "perhaps"}, 422, "/is_shared"),
        (files.PDF, "a.pdf", {"opportunity_id": "../1"}, 422, "/opportunity_id"),
        (files.PDF, "a.pdf", {"name": "x" * 300}, 422, "/name"),
        (files.PDF, "a.pdf", {"name": "a\0b"}, 422, "/name"),
        (files.PDF, "a.pdf", {"opportunity_id": str(uuid4())}, 422, "/opportunity_id"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_stored(
    client: httpx.AsyncClient, people: People, database: Database, deal: str,
    content: bytes, name: str, members: dict[str, str], status: int, pointer: str,
) -> None:  # fmt: skip
    count = "SELECT count(*) FROM documents /* access:documents */"
    before = await database.fetchval(count)
    answer = await upload(client, people.rep.headers, content, name, **{"opportunity_id": deal} | members)
    assert answer.status_code == status, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert await database.fetchval(count) == before


async def test_broken_forms(client: httpx.AsyncClient, people: People, deal: str) -> None:
    headers = people.rep.headers
    form = headers | {"Content-Type": "multipart/form-data; boundary=b"}
    for body, status in (
        (b"", 422),
        (b"no form at all", 400),
        (b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n%PDF-', 400),
        (b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n%PDF-\r\n--b--\r\n', 422),
        (b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff\xfe\r\n--b--\r\n', 400),
    ):
        answer = await client.post("/documents", headers=form, content=body)
        assert answer.status_code == status, (body, answer.text)
        assert answer.headers["content-type"].startswith("application/problem+json")
    bare = headers | {"Content-Type": "multipart/form-data"}
    assert (await client.post("/documents", headers=bare, content=b"x")).status_code == 400
    two = [("file", ("a.pdf", files.PDF)), ("file", ("b.pdf", files.PDF))]
    twice = await client.post("/documents", headers=headers, files=two, data={"opportunity_id": deal})
    assert (twice.status_code, twice.json()["errors"][0]["pointer"]) == (422, "/file")
    nothing = await client.post("/documents", headers=headers, files={"file": ("a.pdf", files.PDF)})
    assert (nothing.status_code, nothing.json()["errors"][0]["pointer"]) == (422, "/opportunity_id")


async def test_too_large_is_413_told_or_not(
    client: httpx.AsyncClient, people: People, deal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await client.post(
        "/documents",
        headers=people.rep.headers
        | {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(uploads.MOST_BODY + 1)},
        content=b"x",
    )
    assert told.status_code == 413
    monkeypatch.setattr(uploads, "MOST_BYTES", 10)
    answer = await upload(client, people.rep.headers, opportunity_id=deal)
    assert answer.status_code == 413


async def test_an_upload_under_one_key_happens_once(
    client: httpx.AsyncClient, people: People, deal: str
) -> None:
    headers = people.rep.headers | {"Idempotency-Key": "the upload"}
    first = await upload(client, headers, opportunity_id=deal)
    again = await upload(client, headers, opportunity_id=deal)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    other = await upload(client, headers, content=files.PNG, opportunity_id=deal)
    assert other.status_code == 422


# The object store ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A store that speaks S3 over HTTP, with one bucket; its URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    httpx.put(f"{endpoint}/sales").raise_for_status()
    yield f"s3://key:se%2Fcret@sales/rooms?endpoint={endpoint}&region=us-east-1"
    server.stop()


async def test_a_store_by_url_keeps_and_gives_the_same_bytes(s3: str, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"0123456789abcdef" * 500_000)
    for url in (s3, (tmp_path / "objects with space").as_uri()):
        with large.open("rb") as file:
            await objects.keep(url, "documents/1/abc", file)
        content = b"".join([chunk async for chunk in await objects.stream(url, "documents/1/abc")])
        assert content == large.read_bytes()
        with pytest.raises(NotFound):
            await objects.stream(url, "documents/1/none")


async def test_a_document_lies_in_the_store_that_the_setting_names(
    people: People, settings: Settings, database: Database, deal: str, s3: str
) -> None:
    elsewhere = Settings(
        home=settings.home, database_url=settings.database_url, database_app_url=settings.database_app_url,
        redis_url=settings.redis_url, demo=False, objects=s3,
    )  # fmt: skip

    async def silent() -> None:
        """Nothing follows from this test."""

    other = create_app(elsewhere, database, bell=silent)
    transport = httpx.ASGITransport(app=other)  # type: ignore[arg-type]
    base = "http://testserver.local/api/v1"
    async with other.lifespan(), httpx.AsyncClient(transport=transport, base_url=base) as there:
        made = await upload(there, people.rep.headers, opportunity_id=deal)
        assert made.status_code == 201, made.text
        got = await there.get(f"/documents/{made.json()['id']}/content", headers=people.rep.headers)
        assert got.content == files.PDF
    assert not (settings.home / "objects" / "documents" / made.json()["id"]).exists()


async def test_a_store_that_is_away_is_503() -> None:
    with pytest.raises(Unavailable):
        await objects.stream("s3://key:secret@sales/x?endpoint=http://127.0.0.1:9&region=us-east-1", "a")
