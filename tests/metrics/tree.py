"""The source files of the working tree or of a commit, their crates, and which of them are production code.

Production code is everything but tests, benches, examples, build scripts, fakes and the crates under `tests/`: the
files below `src/` of a crate that are not in a module with `#[cfg(test)]`. Inline modules with `#[cfg(test)]` are cut.
"""

import posixpath
import re
import subprocess
from dataclasses import dataclass, field
from functools import cached_property

import rust


@dataclass
class File:
    """A Rust file: its path, its crate and its module path in that crate (`("store", "keys")`)."""

    path: str
    text: str
    crate: str = ""
    module: tuple | None = None
    test: bool = True
    parent: "File | None" = None
    children: dict = field(default_factory=dict)

    @cached_property
    def whole(self):
        """The file as it is."""
        return rust.read(self.text)

    @cached_property
    def cut(self):
        """The file with its inline test modules blank, so that lines keep their numbers."""
        text = self.text
        for module in self._tests():
            text = text[: module.start] + re.sub(r"[^\n]", "", text[module.start : module.end]) + text[module.end :]
        return rust.read(text)

    @property
    def lines(self):
        """The number of lines without inline test modules."""
        return self.text.count("\n") - sum(self.text.count("\n", each.start, each.end) + 1 for each in self._tests())

    def _tests(self):
        return [each for each in rust.modules(self.whole) if each.inline and each.test][::-1]

    @property
    def folder(self):
        """The folder in which this file's child modules are."""
        folder, name = posixpath.split(self.path)
        return folder if name in ("lib.rs", "main.rs", "mod.rs") else posixpath.join(folder, name[:-3])


@dataclass
class Crate:
    """A crate: its folder, its name as code writes it (`latchkey_policy`) and whether it is production code."""

    folder: str
    name: str
    production: bool
    files: list = field(default_factory=list)


class Tree:
    """All files of the repository, as `git` lists them."""

    def __init__(self, contents):
        self.contents = contents
        self.crates = {}
        for path, text in contents.items():
            if posixpath.basename(path) == "Cargo.toml" and (name := re.search(r'^name = "(.*)"', text, re.MULTILINE)):
                folder = posixpath.dirname(path)
                self.crates[folder] = Crate(folder, name[1].replace("-", "_"), folder.split("/")[0] != "tests")
        self.files = {path: File(path, text) for path, text in contents.items() if path.endswith(".rs")}
        for file in self.files.values():
            crate = self.crate_of(file.path)
            if crate:
                file.crate = crate.name
                crate.files.append(file)
        for crate in self.crates.values():
            for root in crate.files:
                if self._is_root(crate, root.path):
                    self._walk(root, (), not crate.production, None)

    @staticmethod
    def _is_root(crate, path):
        inside = posixpath.relpath(path, crate.folder or ".")
        return re.fullmatch(r"src/(lib|main|bin/[^/]+|bin/[^/]+/main)\.rs", inside) is not None

    def crate_of(self, path):
        """The crate whose folder is the nearest above a path."""
        folder = posixpath.dirname(path)
        while folder not in self.crates and folder:
            folder = posixpath.dirname(folder)
        return self.crates.get(folder)

    def _walk(self, file, module, test, parent):
        if file.module is not None:
            return
        file.module, file.test, file.parent = module, test, parent
        for each in rust.modules(file.whole):
            if each.inline:
                continue
            if each.path:
                places = [posixpath.normpath(posixpath.join(posixpath.dirname(file.path), each.path))]
            else:
                places = [f"{file.folder}/{each.name}.rs", f"{file.folder}/{each.name}/mod.rs"]
            for child in places:
                if child in self.files:
                    file.children[each.name] = self.files[child]
                    self._walk(self.files[child], (*module, each.name), test or each.test, file)

    @property
    def production(self):
        """The files of production code."""
        return sorted((each for each in self.files.values() if not each.test), key=lambda file: file.path)

    @property
    def tests(self):
        """All other Rust files."""
        return sorted((each for each in self.files.values() if each.test), key=lambda file: file.path)

    def lines(self, path):
        """The number of lines of a file, or `None` if there is no such file."""
        return self.contents[path].count("\n") if path in self.contents else None


_WANTED = re.compile(r"(\.rs|(^|/)Cargo\.toml|(^|/)README\.md)$")


def working_tree(root):
    """Reads the working tree, with files that are new and not ignored."""
    contents = {}
    for path in _git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z").decode().split("\0"):
        if _WANTED.search(path):
            try:
                with open(f"{root}/{path}", encoding="utf-8") as file:
                    contents[path] = file.read()
            except FileNotFoundError:
                pass
    return Tree(contents)


def commit(root, name):
    """Reads a commit."""
    listed = _git(root, "ls-tree", "-r", "-z", "--full-tree", "--name-only", name).decode()
    paths = [path for path in listed.split("\0") if _WANTED.search(path)]
    answer = _git(root, "cat-file", "--batch", input="".join(f"{name}:{path}\n" for path in paths).encode())
    contents, at = {}, 0
    for path in paths:
        end = answer.index(b"\n", at)
        size = int(answer[at:end].split()[2])
        contents[path] = answer[end + 1 : end + 1 + size].decode()
        at = end + size + 2
    return Tree(contents)


def _git(root, *arguments, input=None):
    return subprocess.run(["git", "-C", root, *arguments], input=input, stdout=subprocess.PIPE, check=True).stdout
