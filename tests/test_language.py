"""The texts of the repository are plain English: they avoid the idioms that made readers stop."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLACES = ("bridge", "codex_rpc", "docs", "tests", "README.md", "CONTRIBUTING.md")
SUFFIXES = {".css", ".html", ".js", ".md", ".py"}

NOUN_WHO = r"(?:(?:an?|the|each|every|any|no|one) [a-z-]+|anyone|everyone|those|people|users|clients|callers) who"
IDIOMS = (
    "anew",
    "nobody",
    "besides",
    "behind (?:it|the (?:outputs|call|answer))",
    "in the place of",
    "without a word",
    "is told of",
    "to be had",
    "who (?:waits|comes|asks|leaves)",
)
# Words may be separated by line breaks, comment signs, or the underscores of a name.
PATTERN = re.compile(
    rf"(?<![a-z])(?:{NOUN_WHO}|(?P<idiom>{'|'.join(IDIOMS)}))(?![a-z])".replace(" ", r"[\s#_]+"), re.IGNORECASE
)


def idioms(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line number and the words of each idiom; "who waits" is one only without a noun before it."""
    for found in PATTERN.finditer(text):
        if words := found["idiom"]:
            yield text.count("\n", 0, found.start()) + 1, " ".join(words.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is written anew.\nBesides, nobody reads it.", [(1, "anew"), (2, "Besides"), (2, "nobody")]),
        ("# sent in the\n# place of the body", [(1, "in the # place of")]),
        ("def test_it_comes_behind_the_outputs():", [(1, "behind_the_outputs")]),
        ("Who waits is told of it.", [(1, "Who waits"), (1, "is told of")]),
        ("A client who waits, and everyone who asks.", []),
        ("a server behind nginx; a renewal", []),
    ],
)
def test_idioms_are_found_in_prose_comments_and_names(text: str, expected: list[tuple[int, str]]) -> None:
    assert list(idioms(text)) == expected


def test_no_text_of_the_repository_contains_an_idiom() -> None:
    paths = [path for place in PLACES for path in (ROOT / place, *(ROOT / place).rglob("*"))]
    ours = (path for path in paths if "node_modules" not in path.parts and path != Path(__file__))
    texts = sorted(path for path in ours if path.suffix in SUFFIXES)
    assert len(texts) > 300
    found = [
        f"{path.relative_to(ROOT)}:{line}: {words}"
        for path in texts
        for line, words in idioms(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n" + "\n".join(found)
