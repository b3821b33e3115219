"""Law 4: what exists in code has its heading in `docs/`, and every heading exists in code."""

import re
from pathlib import Path

from service.__main__ import COMMANDS
from service.access import PERMISSIONS, ROLES
from service.reactions import REACTIONS

DOCS = Path(__file__).resolve().parents[1] / "docs"


def headings(name: str) -> set[str]:
    return set(re.findall(r"^## (.+?)\s*$", (DOCS / name).read_text(encoding="utf-8"), re.MULTILINE))


def test_every_event_kind_with_a_reaction_has_its_heading_and_every_heading_exists() -> None:
    kinds = {kind for kind in REACTIONS if "*" not in kind}
    code = "".join(path.read_text(encoding="utf-8") for path in (DOCS.parent / "service").rglob("*.py"))
    said = headings("events.md")
    assert kinds <= said
    assert [kind for kind in said - kinds if f'"{kind}"' not in code] == []


def test_every_command_has_its_heading() -> None:
    assert headings("commands.md") == {f"sales {name}" for name in COMMANDS}


def permission_table() -> list[str]:
    """The permission table as the document shows it."""
    resources = sorted({resource for actions in PERMISSIONS.values() for resource in actions})
    lines = ["| resource | " + " | ".join(ROLES) + " |", "|---" * (len(ROLES) + 1) + "|"]
    for resource in resources:
        cells = [" ".join(sorted(PERMISSIONS[role].get(resource, frozenset()))) or "–" for role in ROLES]
        lines.append(f"| {resource} | " + " | ".join(cells) + " |")
    return lines


def test_the_permission_table_stands_in_the_documents_as_it_is() -> None:
    text = (DOCS / "permissions.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("|")] == permission_table()


def test_links_between_documents_lead_somewhere() -> None:
    pages = [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []
