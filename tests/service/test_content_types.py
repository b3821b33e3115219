"""What a file is, by its bytes, and what its name may be."""

import io

import pytest

from service.content_types import clean_name, sniff
from tests.service import files


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        (files.PDF, "a.txt", "application/pdf"),
        (files.PNG, "a", "image/png"),
        (b"\xff\xd8\xff\xe0rest", "a.jpg", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a.webp", "image/webp"),
        (files.DOCX, "a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (files.ODT, "a.odt", "application/vnd.oasis.opendocument.text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 20, "old.doc", "application/msword"),
        ("Größe,1\n".encode(), "a.csv", "text/csv"),
        (b"plain words", "a.html", "text/plain"),
        ("é".encode() * 600_000, "long.txt", "text/plain"),
    ],
)
def test_the_bytes_say_what_it_is(content: bytes, name: str, kind: str) -> None:
    assert sniff(io.BytesIO(content), name) == kind


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"<!DOCTYPE html><script>alert(1)</script>", "a.pdf"),
        (b"\xef\xbb\xbf  <svg onload=alert(1)>", "a.png"),
        (b"<?xml version='1.0'?><x/>", "a.txt"),
        (b"#!/bin/sh\nrm -rf x", "run.txt"),
        (b"MZ\x90\0", "setup.pdf"),
        (b"\x7fELF\x02", "a.txt"),
        (files.MACROS, "a.docx"),
        (files.archive(some__thing=b"x"), "a.zip"),
        (b"PK\x03\x04 no archive at all", "a.docx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "setup.msi"),
        (b"text with \0 in it", "a.txt"),
        (b"\xff\xfe\x41", "a.txt"),
    ],
)
def test_what_a_browser_would_run_or_nobody_knows_is_not_taken(content: bytes, name: str) -> None:
    assert sniff(io.BytesIO(content), name) is None


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\offer.pdf", "offer.pdf"),
        ("..", "document"),
        ("", "document"),
        ("a\r\nSet-Cookie: x=1.pdf", "aSet-Cookie: x=1.pdf"),
        (".htaccess", "htaccess"),
        ("Angebot für Müller.pdf", "Angebot für Müller.pdf"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
        ("a\u202efdp.exe", "afdp.exe"),
    ],
)
def test_a_name_has_no_path_in_it(name: str, cleaned: str) -> None:
    assert clean_name(name) == cleaned
