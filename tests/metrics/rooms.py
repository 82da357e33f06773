"""Finds circles between the modules of a crate, from the paths that the source names.

A room is a module with everything below it: `store` is `store.rs` (or `store/mod.rs`) and all files of `store/`. The
rooms of a module are its child modules. One room uses another when a file in it names a path into the other:
in a `use`, or in the code, from `crate::`, `super::`, `self::`, the crate's own name, a child module or a name that a
`use` brought. A re-exported name leads to both the module that it is named through and the one that defines it.

A circle is a group of rooms of one module of which each reaches each other one. Every module is searched: `a::x` and
`b::y` meet as the rooms `a` and `b`. A module and the modules below it may use each other. Modules with `#[cfg(test)]`
are not read. Between crates Cargo allows no circle.
A circle is within one directory if each of its rooms is a single file.

Calls of methods are not seen, because only a compiler knows which room has their `impl`.
"""

import re
from dataclasses import dataclass

import rust

_USE = re.compile(r"(?<![\w#])(?P<public>pub(?:\([^)]*\))?\s+)?use\s+(?P<tree>[^;]+);")
_PATH = re.compile(r"(?<![\w:.$])(?:::)?[A-Za-z_]\w*(?:\s*::\s*(?:<[^<>]*>\s*::\s*)?[A-Za-z_]\w*)+")
_ITEM = re.compile(
    r"(?<![\w#])(?:fn|struct|enum|trait|union|type|const|static|macro_rules!)\s+(?:mut\s+|fn\s+)?(\w+)"
)


@dataclass
class Reference:
    """A path that a file names: the modules that it leads to, and the line as it is written."""

    file: object
    line: int
    text: str
    targets: set


def branches(text, prefix=()):
    """The paths of a use tree, each with the name that it gets (`None` for `*`); none of another crate's."""
    text = text.strip()
    if text.startswith("::"):
        return
    if "{" in text:
        before, inside = text.split("{", 1)
        segments = (*prefix, *(each.strip() for each in before.split("::") if each.strip()))
        for part in _split(inside.rsplit("}", 1)[0]):
            yield from branches(part, segments)
        return
    path, _, name = re.sub(r"\s+", " ", text).partition(" as ")
    segments = (*prefix, *(each.strip() for each in path.split("::") if each.strip()))
    if not segments:
        return
    if segments[-1] == "*":
        yield segments[:-1], None
    elif segments[-1] == "self":
        yield segments[:-1], name or segments[-2]
    else:
        yield segments, name or segments[-1]


def _split(text):
    depth, start = 0, 0
    for at, char in enumerate(text):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == "," and depth == 0:
            yield text[start:at]
            start = at + 1
    if text[start:].strip():
        yield text[start:]


class CrateGraph:
    """The references between the files of one crate."""

    def __init__(self, crate):
        self.crate = crate
        self.files = sorted((file for file in crate.files if not file.test), key=lambda file: file.path)
        self.modules = {}
        for file in self.files:
            if file.module not in self.modules or file.path.endswith("lib.rs"):
                self.modules[file.module] = file
        self.files = [file for file in self.files if self.modules[file.module] is file]
        self.names, self.globs, self.items = {}, {}, {}
        for file in self.files:
            self._read_names(file)
        self.references = [each for file in self.files for each in self._references(file)]

    def _read_names(self, file):
        names, globs = {}, []
        for use in _USE.finditer(file.cut.code):
            for path, name in branches(use["tree"]):
                if name is None:
                    globs.append(path)
                else:
                    names[name] = path
        self.names[file.module], self.globs[file.module] = names, globs
        self.items[file.module] = set(_ITEM.findall(file.cut.code))

    def _references(self, file):
        code = file.cut.code
        spans = []
        for use in _USE.finditer(code):
            spans.append(use.span())
            for path, _ in branches(use["tree"]):
                yield from self._reference(file, use.start(), path)
        for found in _PATH.finditer(code):
            inside = any(start <= found.start() < end for start, end in spans)
            if not inside and not found[0].startswith("::"):
                path = re.sub(r"<[^<>]*>|\s", "", found[0])
                yield from self._reference(file, found.start(), tuple(filter(None, path.split("::"))))

    def _reference(self, file, offset, path):
        targets = self.resolve(file.module, path)
        if targets:
            yield Reference(file, file.whole.line(offset), "::".join(path), targets)

    def resolve(self, module, path, seen=frozenset()):
        """The modules that a path leads to, which is named in `module`; empty if it leads out of the crate."""
        if (module, path) in seen or not path:
            return set()
        seen |= {(module, path)}
        first, rest = path[0], path[1:]
        if first in ("crate", self.crate.name):
            return self._descend((), rest, seen)
        if first == "self":
            return self._descend(module, rest, seen)
        if first == "super":
            return self._super(module, path, seen)
        if (*module, first) in self.modules:
            return self._descend((*module, first), rest, seen)
        if first in self.names[module]:
            return self.resolve(module, (*self.names[module][first], *rest), seen)
        for each in self.globs[module]:
            found = self._through_glob(module, each, path, seen)
            if found:
                return found
        return set()

    def _super(self, module, path, seen):
        while path and path[0] == "super":
            module, path = module[:-1], path[1:]
        return self._descend(module, path, seen)

    def _through_glob(self, module, glob, path, seen):
        for target in self.resolve(module, glob, seen):
            if self._has(target, path[0]):
                return self._descend(target, path, seen)
        return set()

    def _has(self, module, name):
        return name in self.items[module] or name in self.names[module] or (*module, name) in self.modules

    def _descend(self, module, path, seen):
        """Follows a path from a module, through child modules and re-exports."""
        if module not in self.modules:
            return set()
        while path and (*module, path[0]) in self.modules:
            module, path = (*module, path[0]), path[1:]
        found = {module}
        if path and path[0] not in self.items[module]:
            found |= self.resolve(module, path, seen)
        return found

    def edges(self):
        """For each module its rooms' uses of each other: `{parent: {(from, to): [reference]}}`."""
        result = {}
        for each in self.references:
            for target in each.targets:
                parent, source, aim = _meet(each.file.module, target)
                if source and aim:
                    result.setdefault(parent, {}).setdefault((source[0], aim[0]), []).append(each)
        return result


def _meet(one, other):
    """The module that two modules have in common, and the room of each in it."""
    depth = 0
    while depth < min(len(one), len(other)) and one[depth] == other[depth]:
        depth += 1
    return one[:depth], one[depth : depth + 1], other[depth : depth + 1]


@dataclass
class Circle:
    """A group of rooms of a module that use each other in the round, with the references that make it."""

    crate: str
    parent: tuple
    rooms: list
    edges: dict
    single: bool

    @property
    def name(self):
        """The circle in one line, as the list of known ones has it."""
        return f"{'::'.join((self.crate, *self.parent))}: {' '.join(self.rooms)}"


def find(crate):
    """The circles of a crate."""
    graph = CrateGraph(crate)
    for parent, edges in sorted(graph.edges().items()):
        for group in groups(edges):
            inside = {pair: uses for pair, uses in sorted(edges.items()) if set(pair) <= set(group)}
            single = not any(graph.modules[(*parent, room)].children for room in group)
            yield Circle(crate.name, parent, group, inside, single)


def groups(pairs):
    """The groups of nodes that reach each other, of a graph that is given as pairs."""
    follow = {}
    for source, aim in pairs:
        follow.setdefault(source, set()).add(aim)
    reach = {node: _reached(node, follow) for node in follow}
    inside = [node for node in reach if node in reach[node]]
    found = {frozenset(each for each in reach[node] if node in reach.get(each, ())) for node in inside}
    return sorted((sorted(group) for group in found), key=lambda group: (len(group), group))


def _reached(node, follow):
    reached, waiting = set(), [node]
    while waiting:
        for each in follow.get(waiting.pop(), ()):
            if each not in reached:
                reached.add(each)
                waiting.append(each)
    return reached


def cuts(circle):
    """A small set of pairs without which there is no circle: those against the best order of rooms that was found."""
    weight = {pair: len({(use.file.path, use.line) for use in uses}) for pair, uses in circle.edges.items()}
    order = sorted(circle.rooms, key=lambda room: sum((pair[1] == room) - (pair[0] == room) for pair in weight))

    def cost():
        place = {room: at for at, room in enumerate(order)}
        return sum(count for (source, aim), count in weight.items() if place[source] > place[aim])

    best, better = cost(), True
    while better:
        better = False
        for room in circle.rooms:
            for at in range(len(order)):
                former = order[:]
                order.remove(room)
                order.insert(at, room)
                if (now := cost()) < best:
                    best, better = now, True
                else:
                    order[:] = former
    place = {room: at for at, room in enumerate(order)}
    return [pair for pair in circle.edges if place[pair[0]] > place[pair[1]]]


def known(text):
    """The circles of a list: one a line, each below a comment with the reason why it may be there."""
    found, reason = set(), False
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            reason = False
        elif line.startswith("#"):
            reason = True
        elif not reason:
            raise ValueError(f"line {number}: a comment above must say why this circle may be there")
        else:
            found.add(line.strip())
    return found
