"""What a file is, by its own bytes: neither its name nor its sender is believed.

A document is taken when it is of a kind that people send in a sale, and none that a browser would run.
"""

import codecs
import re
import zipfile
from pathlib import PurePosixPath
from typing import IO

HEAD = 4096
MOST_NAME = 200
_OFFICE = "application/vnd.openxmlformats-officedocument"

_SIGNS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)

_PARTS: tuple[tuple[str, str], ...] = (
    ("word/document.xml", f"{_OFFICE}.wordprocessingml.document"),
    ("xl/workbook.xml", f"{_OFFICE}.spreadsheetml.sheet"),
    ("ppt/presentation.xml", f"{_OFFICE}.presentationml.presentation"),
)
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."

_TEXTS = {".csv": "text/csv", ".md": "text/markdown", ".ics": "text/calendar"}
_OLD_OFFICE = {
    ".doc": "application/msword",
    ".xls": "application/vnd.ms-excel",
    ".ppt": "application/vnd.ms-powerpoint",
    ".msg": "application/vnd.ms-outlook",
}
_MACROS = ("vbaProject.bin", "vbaData.xml")
_MARKUP = re.compile(
    rb"^\s*(<\?xml|<!doctype|<!--|<(html|head|body|script|svg|iframe|object|embed)\b)", re.IGNORECASE
)
_WHOLE_TEXT = 1 << 20

KINDS = "PDF, images, Office and OpenDocument files, text and CSV"


def sniff(file: IO[bytes], name: str) -> str | None:
    """The media type of a file's content, or None for one that is not taken; `name` only tells texts apart."""
    file.seek(0)
    head = file.read(HEAD)
    suffix = PurePosixPath(name.lower()).suffix
    for sign, kind in _SIGNS:
        if head.startswith(sign):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head.startswith(b"PK\x03\x04"):
        return _archive(file)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return _OLD_OFFICE.get(suffix)
    return _text(file, suffix)


def _archive(file: IO[bytes]) -> str | None:
    """Office files are archives that hold a part of a known name; other archives, and macros, are not taken."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            if any(name.endswith(_MACROS) for name in names):
                return None
            for part, kind in _PARTS:
                if part in names:
                    return kind
            if "mimetype" in names and archive.getinfo("mimetype").file_size <= 100:
                kind = archive.read("mimetype").decode("ascii", "replace").strip()
                return kind if kind.startswith(_OPEN_DOCUMENT) and kind.isprintable() else None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError):
        return None
    return None


def _text(file: IO[bytes], suffix: str) -> str | None:
    """UTF-8 without control characters, and nothing that begins like a page or a script for browsers."""
    file.seek(0)
    content = file.read(_WHOLE_TEXT)
    if (
        not content
        or _MARKUP.search(content.removeprefix(b"\xef\xbb\xbf")[:HEAD])
        or content.startswith(b"#!")
    ):
        return None
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(content, final=len(content) < _WHOLE_TEXT)
    except UnicodeDecodeError:
        return None
    if any(ord(sign) < 32 and sign not in "\t\r\n\f" for sign in text):
        return None
    return _TEXTS.get(suffix, "text/plain")


def clean_name(name: str) -> str:
    """A file's name without folders, control characters and leading dots: what is offered at download."""
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join(sign for sign in last if sign.isprintable()).strip().lstrip(".")
    stem, dot, suffix = kept.rpartition(".")
    if len(kept) > MOST_NAME and dot and len(suffix) < 10:
        return f"{stem[: MOST_NAME - len(suffix) - 1]}.{suffix}"
    return kept[:MOST_NAME] or "document"
