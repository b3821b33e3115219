"""Prints the longest files and functions: a smell for a person to look at, not a law."""

import ast
import subprocess
from pathlib import Path

FILE_LINES, FUNCTION_LINES = 400, 40


def functions(path: Path) -> list[tuple[int, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [((node.end_lineno or 0) - node.lineno + 1, f"{path}:{node.lineno} {node.name}") for node in found]


def main() -> None:
    names = subprocess.run(
        ["git", "ls-files", "*.py"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    paths = [Path(name) for name in names if Path(name).exists()]
    files = sorted(
        ((len(path.read_text(encoding="utf-8").splitlines()), str(path)) for path in paths), reverse=True
    )
    longest = sorted((entry for path in paths for entry in functions(path)), reverse=True)
    for title, limit, entries in (("files", FILE_LINES, files), ("functions", FUNCTION_LINES, longest)):
        beyond = [entry for entry in entries if entry[0] > limit]
        print(f"{len(beyond)} of {len(entries)} {title} are longer than {limit} lines")
        for lines, name in beyond[:10]:
            print(f"  {lines:5d}  {name}")


if __name__ == "__main__":
    main()
