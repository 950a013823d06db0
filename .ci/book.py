"""Checks the links of Markdown pages and of a book, and makes the book's links to other files work.

book.py [BOOK SOURCE [REPOSITORY]]: the names of the Markdown pages come from standard input. BOOK is
the folder that mdBook wrote, SOURCE the folder of its pages, REPOSITORY the address of the repository
on the web. Run it in the root of the repository. Links to other websites are not followed."""

import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

# mdBook's own pages, whose links belong to no page of the source.
OWN = {"404.html", "print.html", "toc.html"}


class Page(HTMLParser):
    """The anchors and the links of an HTML page."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            elif name in ("href", "src") and tag in ("a", "img") and value:
                self.links.add(value)


def is_elsewhere(link):
    return re.match(r"[a-z][a-z0-9+.-]*:|//", link) is not None


def book_faults(book, source, repository):
    """Yields what is wrong with the book's links. Rewrites those that leave the book."""
    paths = [path for path in book.rglob("*.html") if path.name not in OWN]
    pages = {path.resolve(): Page(path.read_text()) for path in paths}
    if not pages:
        yield f"{book}: no pages"
    for path, page in pages.items():
        text = path.read_text()
        for link in page.links:
            if is_elsewhere(link):
                continue
            name, _, anchor = link.partition("#")
            target = (path.parent / unquote(name)).resolve() if name else path
            is_inside = target.is_relative_to(book.resolve())
            if is_inside and target.is_dir():
                target = target / "index.html"
            if target.name == "README.html":
                # mdBook writes README.md to index.html, and links of other pages to README.html.
                index = target.with_name("index.html")
                if index in pages:
                    fixed = name.removesuffix("README.html") + "index.html"
                    text = text.replace(f'"{link}"', f'"{fixed}{"#" * bool(anchor)}{anchor}"')
                    target = index
            if target in pages:
                if anchor and unquote(anchor) not in pages[target].anchors:
                    yield f"{path}: {link}: no such heading"
            elif not is_inside or not target.exists():
                file = outside(target, book.resolve(), source.resolve())
                if file is None:
                    yield f"{path}: {link}: no such file"
                    continue
                kept = f"#{anchor}" if anchor else ""
                text = text.replace(f'"{link}"', f'"{address(file, path, repository)}{kept}"')
        path.write_text(text)


def outside(target, book, source):
    """The file of the repository that a link of the book means, if there is one."""
    file = Path(os.path.normpath(source / os.path.relpath(target, book)))
    if file.suffix == ".html" and not file.exists():
        file = file.with_suffix(".md")
    return file if file.exists() else None


def address(file, page, repository):
    if not repository:
        return os.path.relpath(file, page.parent)
    kind = "tree" if file.is_dir() else "blob"
    return f"{repository}/{kind}/HEAD/{os.path.relpath(file)}"


def prose(text):
    """The text without blocks of code, and without code in lines."""
    lines, fence = [], None
    for line in text.splitlines():
        mark = re.match(r" *(```+|~~~+)", line)
        if mark and fence is None:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and line.strip() == mark[1]:
            fence = None
        elif fence is None:
            lines.append(line)
    return "\n".join(lines)


def headings(text):
    """The anchors of the headings of a page, as GitHub makes them."""
    anchors = {}
    for heading in re.findall(r"^#+ +(.+?) *#*$", prose(text), re.MULTILINE):
        heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = anchors.get(anchor)
        anchors[anchor] = 0 if number is None else number + 1
        if number is not None:
            anchors[f"{anchor}-{number + 1}"] = 0
    return set(anchors)


def page_faults(path):
    """Yields what is wrong with the links of a Markdown page."""
    text = path.read_text()
    without_code = re.sub(r"(`+)[^`].*?\1", "", prose(text))
    for link in re.findall(r"\]\(\s*<?([^)\s>]+)>?\s*\)", without_code):
        if is_elsewhere(link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / unquote(name) if name else path
        if not target.exists():
            yield f"{path}: {link}: no such file"
        elif anchor and target.suffix == ".md" and unquote(anchor) not in headings(target.read_text()):
            yield f"{path}: {link}: no such heading"


def main(book=None, source=None, repository=""):
    pages = [Path(line.strip()) for line in sys.stdin if line.strip()]
    faults = [fault for page in pages for fault in page_faults(page)]
    if book:
        faults += book_faults(Path(book), Path(source), repository.rstrip("/"))
    for fault in faults:
        print(fault, file=sys.stderr)
    checked = f"{len(pages)} pages and {book}" if book else f"{len(pages)} pages"
    print(f"the links of {checked}: {len(faults)} faults")
    return 1 if faults or not pages else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
