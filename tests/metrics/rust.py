"""A small reader of Rust source: comments, strings, functions, types and modules, found without a compiler.

It knows the tokens in which text can hide (comments, strings, characters) and matches braces in what is left. That
is enough for the figures of this folder; macros that build items are read as they are written.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""
      (?P<line>//[^\n]*)
    | (?P<block>/\*)
    | (?P<raw>\b(?:b|c)?r(?P<hashes>\#*)"(?s:.*?)"(?P=hashes))
    | (?P<string>\b[bc]?"(?:[^"\\]|\\(?s:.))*"|"(?:[^"\\]|\\(?s:.))*")
    | (?P<char>b?'(?:[^'\\\n]|\\(?:x[0-9a-fA-F]{2}|u\{[^}]*\}|.))')
    """,
    re.VERBOSE,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")
_FUNCTION = re.compile(r"\bfn\s+((?:r#)?\w+)")
_TYPE = re.compile(r"^[ \t]*(?:pub(?:\([^)]*\))?[ ]+)?(struct|enum|trait|union|type)[ ]+(\w+)", re.MULTILINE)
_TEST = re.compile(r"#\[(?:\w+::)*(?:test|wasm_bindgen_test)\b")
_MODULE = re.compile(r"(?:pub(?:\([^)]*\))?\s+)?mod\s+(?:r#)?(\w+)\s*([;{])")


@dataclass
class Comment:
    """A line of a comment: its line in the file, counted from 1, and its text without the marks."""

    line: int
    text: str
    doc: str  # "///" or "//!" of a doc comment, else empty


@dataclass
class Function:
    """A function with its name, its first and last line, and whether it is a test."""

    name: str
    first: int
    last: int
    test: bool

    @property
    def lines(self):
        return self.last - self.first + 1


@dataclass
class Module:
    """A declaration of a module: `mod x;`, or `mod x { … }` with its `body` as offsets into the text."""

    name: str
    start: int
    end: int
    inline: bool
    test: bool
    path: str | None = None


@dataclass
class Rust:
    """One source file, with `code`: its text of the same length in which comments and strings are blank."""

    text: str
    code: str
    comments: list[Comment]
    starts: list[int] = field(default_factory=list)

    def line(self, offset):
        """The line of an offset, counted from 1."""
        return bisect_right(self.starts, offset)


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def read(text):
    """Reads a source file."""
    starts = [0] + [found.end() for found in re.finditer("\n", text)]
    code, comments, at = [], [], 0
    while found := _TOKEN.search(text, at):
        code.append(text[at : found.start()])
        end = found.end()
        line = bisect_right(starts, found.start())
        if found.lastgroup == "block":
            end = _end_of_block(text, found.end())
            body = text[found.start() : end]
            kind = {"/**": "///", "/*!": "//!"}.get(body[:3], "")
            comments += [Comment(line + nth, text.strip("/*! "), kind) for nth, text in enumerate(body.split("\n"))]
            code.append(_blank(body))
        elif found["line"]:
            mark = re.match(r"//[/!]?", found[0])[0]
            doc = mark if len(mark) == 3 and not found[0].startswith("////") else ""
            comments.append(Comment(line, found[0][len(mark) :], doc))
            code.append(_blank(found[0]))
        elif found["char"]:
            code.append("'" + _blank(found[0][1:-1]) + "'")
        else:
            inside = _blank(found[0])
            code.append('"' + inside[1:-1] + '"' if len(inside) > 1 else inside)
        at = end
    code.append(text[at:])
    return Rust(text, "".join(code), comments, starts)


def _end_of_block(text, at):
    depth = 1
    while depth and (found := _BLOCK_EDGE.search(text, at)):
        depth += 1 if found[0] == "/*" else -1
        at = found.end()
    return at if depth == 0 else len(text)


def matching(code, at):
    """The offset behind the bracket that closes the one at `at`."""
    pairs = {"{": "}", "(": ")", "[": "]"}
    opening, closing, depth = code[at], pairs[code[at]], 0
    for found in re.compile(f"[{re.escape(opening + closing)}]").finditer(code, at):
        depth += 1 if found[0] == opening else -1
        if depth == 0:
            return found.end()
    return len(code)


def functions(rust):
    """The functions that have a body, from the line of `fn` to that of the closing brace."""
    for found in _FUNCTION.finditer(rust.code):
        body = _body(rust.code, found.end())
        if body is None:
            continue
        end = matching(rust.code, body)
        test = any(_TEST.match(mark) for _, mark in attributes(rust, found.start()))
        yield Function(found[1], rust.line(found.start()), rust.line(end - 1), test)


def _body(code, at):
    """The offset of a function's opening brace, or `None` for one that is only declared."""
    while found := re.compile(r"[;{(\[]").search(code, at):
        if found[0] == "{":
            return found.start()
        if found[0] == ";":
            return None
        at = matching(code, found.start())
    return None


def attributes(rust, at):
    """The attributes above the item whose first line an offset is in, nearest first, with their lines."""
    result = []
    for line in range(rust.line(at) - 1, 0, -1):
        code, text = (each[rust.starts[line - 1] : rust.starts[line]].strip() for each in (rust.code, rust.text))
        if code.startswith("#["):
            result.append((line, text))
        elif code and not code.endswith(")]") or not code and not text.startswith("//"):
            break
    return result


def types(rust):
    """The names of structs, enums, traits, unions and type aliases, with their lines; not the types of a trait."""
    for found in _TYPE.finditer(rust.code):
        if found[1] != "type" or not found[0][0].isspace():
            yield found[2], rust.line(found.start(2))


def modules(rust):
    """The modules that a file declares or contains."""
    for found in _MODULE.finditer(rust.code):
        before = rust.code[: found.start()].rstrip()
        if before and before[-1] not in ";{}]":
            continue
        lines, marks = zip(*attributes(rust, found.start()) or [(rust.line(found.start()), "")])
        end = found.end() if found[2] == ";" else matching(rust.code, found.end() - 1)
        test = any(re.match(r"#\[cfg\(", mark) and re.search(r"(?<!not\()\btest\b", mark) for mark in marks)
        path = next((mark.split('"')[1] for mark in marks if mark.startswith("#[path")), None)
        yield Module(found[1], rust.starts[min(lines) - 1], end, found[2] == "{", test, path)
