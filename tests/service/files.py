"""Small files of each kind that documents take, and of some that they refuse."""

import io
import zipfile

PDF = b"%PDF-1.7\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 32


def archive(**parts: bytes) -> bytes:
    """A zip archive; `__` in a name stands for a slash and `_dot_` for a dot."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in parts.items():
            made.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return buffer.getvalue()


DOCX = archive(word__document_dot_xml=b"<w/>")
ODT = archive(mimetype=b"application/vnd.oasis.opendocument.text")
MACROS = archive(word__document_dot_xml=b"<w/>", word__vbaProject_dot_bin=b"x")
