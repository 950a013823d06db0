"""Checks that book.py finds wrong links and rewrites those that leave the book."""

import tempfile
import unittest
from pathlib import Path

import book


class Links(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def page_faults(self, text):
        page = self.write("docs/page.md", text)
        return [fault.removeprefix(f"{page}: ") for fault in book.page_faults(page)]

    def book_faults(self, text, repository=""):
        page = self.write("book/guide/page.html", text)
        faults = list(book.book_faults(self.folder / "book", self.folder / "docs", repository))
        return page.read_text(), [fault.split(": ", 1)[1] for fault in faults]

    def test_links_to_files_and_headings_of_pages_are_right(self):
        self.write("docs/other.md", "# A `title`, of *words*\n\n## Twice\n\n## Twice\n")
        good = "[a](other.md#a-title-of-words) [b](#here) [c](other.md#twice-1) [d](https://e.f/g)\n"
        self.assertEqual(self.page_faults(good + "# Here\n"), [])

    def test_wrong_links_of_pages_are_found(self):
        self.write("docs/other.md", "# Title\n")
        text = "[a](none.md) [b](other.md#none) ![c](none.svg) [d](#none)\n"
        expected = ["none.md: no such file", "other.md#none: no such heading"]
        expected += ["none.svg: no such file", "#none: no such heading"]
        self.assertEqual(self.page_faults(text), expected)

    def test_code_has_no_links_and_no_headings(self):
        text = "`a[b](c)` [d](#e)\n```text\n[f](g)\n# e\n```\n"
        self.assertEqual(self.page_faults(text), ["#e: no such heading"])

    def test_wrong_links_of_a_book_are_found(self):
        text = '<h1 id="a">a</h1><a href="none.html">b</a><a href="#none">c</a><a href="#a">d</a>'
        _, faults = self.book_faults(text)
        expected = ["#none: no such heading", "none.html: no such file"]
        self.assertEqual(sorted(faults), expected)

    def test_links_that_leave_the_book_lead_to_the_repository(self):
        self.write("docs/guide/page.md", "")
        self.write("code/README.md", "")
        text = '<a href="../../code/README.html#here">a</a> <a href="../../code">b</a>'
        here, faults = self.book_faults(text)
        self.assertEqual(faults, [])
        expected = '<a href="../../code/README.md#here">a</a> <a href="../../code">b</a>'
        self.assertEqual(here, expected)
        there, faults = self.book_faults(text, "https://host/me/code")
        self.assertEqual(faults, [])
        self.assertIn('"https://host/me/code/blob/HEAD/', there)
        self.assertIn('"https://host/me/code/tree/HEAD/', there)

    def test_a_folder_of_the_book_is_its_index(self):
        self.write("book/guide/index.html", '<h1 id="a">a</h1>')
        text, faults = self.book_faults('<a href="README.html#a">b</a> <a href="README.html">c</a>')
        self.assertEqual(faults, [])
        self.assertEqual(text, '<a href="index.html#a">b</a> <a href="index.html">c</a>')


if __name__ == "__main__":
    unittest.main()
