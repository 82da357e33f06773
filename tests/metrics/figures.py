"""Measures the source: its sizes, its shape and its language, with the bounds that it keeps to.

Definitions:
- Production code is everything but tests, benches, examples, build scripts, fakes and the crates under `tests/`.
  Inline modules with `#[cfg(test)]` are cut.
- A function reaches from the line of `fn` to its closing brace. A module is a file. Percentiles are by nearest rank.
- Words and idioms are counted in all comments, first lines and lengths of docs in `///` comments.
- Interrogatives are what, which, whose, how, whether and the like; prepositions are of, by, for, with, as and the like.

These definitions were checked against the review of commit bf0ffcd (28 November 2026), which used patterns as well:

  figure                                           review          here
  production files                                 316             315 (not limit/reference.rs, which tests use)
  lines a file: median / p90 / max                 102 / 230 / 393 same
  functions                                        2036            2033
  lines a function: median / p90 / p99             6 / 21 / 41     same
  functions over 60 lines                          6               same
  modules in the largest crate                     253             same
  README lines                                     854             same
  idioms per 10,000 words of comments              113             112
  docs that begin with one of those words          33 %            32 %
  docs of four words or fewer                      19 %            20 %
  functions named of / tell…, told…                32 / 28         32 / 27
  tests, words in a name                           909, 8.9        same
  tests named what_ and the like                   14 %            same
  types whose name another type has                46 %            same
  blank lines within functions                     0.2 %           0.0 % (6 of 19,595)
  mean characters a line of code                   33              same
"""

import re
import statistics
from collections import Counter
from dataclasses import dataclass

import rust

MAX_FILE, MAX_FUNCTION, MAX_TEST_WORDS = 400, 60, 6

_IDIOMS = (
    "told|tell|whoever|whatever|behind|alone|so many|besides|anew|no more|all the same|as ever|for good|of its own|"
    "in place of|becomes of|comes of|stands for|by itself|meanwhile"
)
_IDIOM = re.compile(rf"\b(?:{_IDIOMS})\b", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z][\w'’-]*")
_FOUR = set("what of by which".split())
_INTERROGATIVES = set(
    "what who whom whose which where when why how whether whatever whoever whichever whenever wherever".split()
)
_PREPOSITIONS = set(
    """of by in on at to for from with as without into onto until till before after between among under over above below
    through during against about per within beside besides behind beyond since across along around toward towards
    upon off out up down near than like except but""".split()
)
_TOLD = re.compile(r"of$|told|tell")
_WHAT = re.compile(r"(?:what|who|where|when)(?:ever|se)?_")


@dataclass
class Place:
    """A place in the source that a figure counts, to be listed."""

    path: str
    line: int
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}"


@dataclass
class Figure:
    """One row: what is measured, the value, how it is written, and the bound if there is one."""

    name: str
    value: float
    unit: str = ""
    bound: float | None = None
    note: str = ""

    @property
    def met(self):
        """Whether the value keeps to the bound."""
        return self.bound is None or self.value <= self.bound

    @property
    def shown(self):
        """The value as text."""
        if isinstance(self.value, str):
            return self.value
        number = f"{self.value:.1f}" if isinstance(self.value, float) else f"{self.value:,}"
        return number + self.unit


def paragraphs(comments):
    """Runs of comments of the same kind on lines that follow each other."""
    run = []
    for each in comments:
        if run and (run[-1].line + 1 != each.line or run[-1].doc != each.doc):
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def words(text):
    """The number of words of a text."""
    return len(_WORD.findall(text))


def idioms(file):
    """The idioms in a file's comments, also those that a line break divides."""
    for run in paragraphs(file.cut.comments):
        text = "\n".join(each.text.strip() for each in run)
        for found in _IDIOM.finditer(text.replace("\n", " ")):
            nth = text.count("\n", 0, found.start())
            yield Place(file.path, run[nth].line, f"[{found[0]}] {run[nth].text.strip()}")


def docs(file):
    """The `///` comments of a file: the line of each, its first line and its whole text."""
    for run in paragraphs(file.cut.comments):
        if run[0].doc == "///":
            yield run[0].line, run[0].text.strip(), " ".join(each.text.strip() for each in run)


def opening(first):
    """The first word of a doc's first line, in lower case."""
    found = re.match(r"\W*(\w*)", first)
    return found[1].lower()


def is_fragment(first):
    """Whether a doc begins with an interrogative or a preposition."""
    return opening(first) in _INTERROGATIVES | _PREPOSITIONS


def rank(values, share):
    """The percentile of a list by nearest rank."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0


def percent(part, whole):
    """A share in percent."""
    return 100.0 * part / whole if whole else 0.0


class Measures:
    """All that is measured of a tree, with the places."""

    def __init__(self, tree):
        self.tree = tree
        self.files = tree.production
        self.functions = [(file, each) for file in self.files for each in rust.functions(file.cut)]
        self.docs = [(file, *each) for file in self.files for each in docs(file)]
        self.tests = [
            (file, each) for file in tree.files.values() for each in rust.functions(file.whole) if each.test
        ]

    def places(self, kind):
        """The places that one of the figures counts."""
        return sorted(getattr(self, f"_list_{kind}")(), key=lambda place: (place.path, place.line))

    def _list_idioms(self):
        return [place for file in self.files for place in idioms(file)]

    def _list_docs(self):
        return [Place(file.path, line, first) for file, line, first, _ in self.docs if is_fragment(first)]

    def _list_short(self):
        return [Place(file.path, line, first) for file, line, first, whole in self.docs if len(whole.split()) <= 4]

    def _list_of(self):
        found = [(file, each) for file, each in self.functions if _TOLD.match(each.name)]
        return [Place(file.path, each.first, f"fn {each.name}") for file, each in found]

    def _list_tests(self):
        return [
            Place(file.path, each.first, f"{each.name} ({len(each.name.split('_'))} words)")
            for file, each in self.tests
            if len(each.name.split("_")) > MAX_TEST_WORDS or _WHAT.match(each.name)
        ]

    def _list_long(self):
        return [
            Place(file.path, each.first, f"fn {each.name} ({each.lines} lines)")
            for file, each in self.functions
            if each.lines > MAX_FUNCTION
        ]

    def _list_files(self):
        return [Place(file.path, 1, f"{file.lines} lines") for file in self.files if file.lines > MAX_FILE]

    def _list_testfiles(self):
        result = []
        for file in self.tree.files.values():
            count = file.text.count("\n")
            if count > MAX_FILE and (file.test or file.lines <= MAX_FILE):
                result.append(Place(file.path, 1, f"{count} lines" + ("" if file.test else ", inline tests included")))
        return result

    def figures(self):
        """The rows of the table."""
        return [*self._sizes(), *self._shape(), *self._language(), *self._names(), *self._layout()]

    def _sizes(self):
        lines = [file.lines for file in self.files]
        lengths = [each.lines for _, each in self.functions]
        longest = sorted((each for _, each in self.functions), key=lambda each: -each.lines)
        longest = [f"{each.name} {each.lines}" for each in longest if each.lines > MAX_FUNCTION]
        return [
            Figure("production files", len(lines)),
            Figure("lines a file: median / p90 / max", _row(statistics.median(lines), rank(lines, 0.9), max(lines))),
            Figure(f"files over {MAX_FILE} lines", len(self.places("files")), bound=0),
            Figure(f"test files over {MAX_FILE} lines, inline tests included", len(self.places("testfiles"))),
            Figure("functions", len(lengths)),
            Figure(
                "lines a function: median / p90 / p99",
                _row(statistics.median(lengths), rank(lengths, 0.9), rank(lengths, 0.99)),
            ),
            Figure(f"functions over {MAX_FUNCTION} lines", len(self.places("long")), bound=6, note=_some(longest)),
        ]

    def _shape(self):
        crates = {
            crate.name: sum(not file.test for file in crate.files)
            for crate in self.tree.crates.values()
            if any(not file.test for file in crate.files)
        }
        largest = max(crates, key=crates.get)
        return [
            Figure("crates", len(crates), note=_some(sorted(crates))),
            Figure("modules in the largest crate", crates[largest], bound=90, note=largest),
            Figure("README lines", self.tree.lines("README.md") or 0, bound=150),
        ]

    def _language(self):
        count = sum(words(each.text) for file in self.files for each in file.cut.comments)
        begins = Counter(opening(first) for _, _, first, _ in self.docs)
        narrow = sum(begins[word] for word in _FOUR)
        return [
            Figure("idioms per 10,000 words of comments", 1e4 * len(self.places("idioms")) / max(count, 1), bound=10),
            Figure(
                "docs that begin with an interrogative or a preposition",
                percent(len(self.places("docs")), len(self.docs)),
                " %",
                3,
            ),
            Figure("… of these, with What, Of, By or Which", percent(narrow, len(self.docs)), " %"),
            Figure("docs of four words or fewer", percent(len(self.places("short")), len(self.docs)), " %"),
        ]

    def _names(self):
        names = Counter(each.name for _, each in self.functions)
        tests = [each.name for _, each in self.tests]
        types = Counter(name for file in self.files for name, _ in rust.types(file.cut))
        shared = sum(count for count in types.values() if count > 1)
        return [
            Figure(
                "functions named of, told… or tell…", len(self.places("of")), bound=5, note=f"of: {names['of']}"
            ),
            Figure("tests", len(tests)),
            Figure(
                "words in the name of a test",
                sum(len(name.split("_")) for name in tests) / max(len(tests), 1),
                bound=MAX_TEST_WORDS,
            ),
            Figure(
                "tests named what_, who_, where_, when_",
                percent(sum(bool(_WHAT.match(name)) for name in tests), len(tests)),
                " %",
            ),
            Figure("types whose name another type has", percent(shared, sum(types.values())), " %"),
        ]

    def _layout(self):
        inside = blank = lines = characters = 0
        for file in self.files:
            text, code = file.cut.text.split("\n"), file.cut.code.split("\n")
            within = {line for each in rust.functions(file.cut) for line in range(each.first, each.last + 1)}
            inside += len(within)
            blank += sum(not text[line - 1].strip() for line in within)
            lines += sum(bool(each.strip()) for each in code)
            characters += sum(len(whole.strip()) for whole, each in zip(text, code) if each.strip())
        return [
            Figure("blank lines within functions", percent(blank, inside), " %"),
            Figure("mean characters a line of code", characters / max(lines, 1)),
        ]


def _some(names):
    return ", ".join(names[:8]) + (", …" if names[8:] else "")


def _row(*values):
    return " / ".join(f"{value:g}" for value in values)
