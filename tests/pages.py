"""The pages of documentation, as the tests read them: a page is named by its path from the top.

    PAGES                             README.md and those of docs/
    text(page)                        what is in it
    section(page, heading)            from that heading to the next of its level or above
    blocks(language)                  the fenced blocks of all PAGES
    links(page), anchors(page)        where it leads, and what can be linked in it
"""

import functools
import re

from harness import TOP

PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (TOP / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


@functools.lru_cache(maxsize=None)
def text(page):
    return (TOP / page).read_text()


def section(page, heading):
    """With its heading, which must be there once."""
    whole = text(page)
    [start] = re.finditer(rf"^(#+) {re.escape(heading)}$", without_blocks(whole), re.M)
    end = re.search(rf"^#{{1,{len(start[1])}}} ", without_blocks(whole)[start.end():], re.M)
    return whole[start.start():start.end() + end.start() if end else None]


def without_blocks(page):
    """The same number of characters, where nothing in a block looks like a heading or a link."""
    return FENCED.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), page)


def blocks(language):
    """(page, number of the first line, text) of each block in that language."""
    for page in PAGES:
        for block in FENCED.finditer(text(page)):
            if block[1] == language:
                yield page, text(page)[:block.start(2)].count("\n") + 1, block[2]


def links(page):
    """The target of each link and picture; what is commented out is none."""
    shown = re.sub(r"<!--.*?-->", "", without_blocks(text(page)), flags=re.S)
    return re.findall(r"\]\(([^)]+)\)", re.sub(r"`[^`\n]*`(?!\])", "", shown))


def anchors(page):
    """The names that the headings of a page can be linked by, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(text(page)), re.M)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
