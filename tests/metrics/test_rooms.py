"""Tests of the search for circles on small crates."""

import unittest

import rooms
import tree

MANIFEST = '[package]\nname = "latchkey-core"\n'


def circles(**files):
    """The circles of a crate of these files: `store__keys` is `src/store/keys.rs`."""
    contents = {"core/Cargo.toml": MANIFEST}
    for name, text in files.items():
        contents[f"core/src/{name.replace('__', '/')}.rs"] = text
    (crate,) = tree.Tree(contents).crates.values()
    return list(rooms.find(crate))


def names(**files):
    """The names of these circles."""
    return [circle.name for circle in circles(**files)]


class Circles(unittest.TestCase):
    def test_two_modules_that_use_each_other_are_a_circle(self):
        (circle,) = circles(lib="mod a;\nmod b;", a="\nuse crate::b::{self, B};\nstruct A;", b="use super::a::A;")
        self.assertEqual(circle.name, "latchkey_core: a b")
        self.assertTrue(circle.single)
        places = {pair: [(use.file.path, use.line) for use in uses] for pair, uses in circle.edges.items()}
        self.assertEqual(places["a", "b"][0], ("core/src/a.rs", 2))
        self.assertEqual(places["b", "a"], [("core/src/b.rs", 1)])

    def test_a_tree_has_no_circle(self):
        self.assertEqual(names(lib="mod a;\nmod b;", a="use crate::b::B;", b="pub struct B;"), [])

    def test_folders_meet_as_the_rooms_of_their_common_module(self):
        (circle,) = circles(
            lib="mod a;\nmod b;",
            a="mod x;\nmod y;",
            a__x="use crate::b::x::X;",
            a__y="pub struct Y;",
            b="pub mod x;\nmod y;",
            b__x="pub struct X;",
            b__y="fn f() { latchkey_core::a::y::g() }",
        )
        self.assertEqual(circle.name, "latchkey_core: a b")
        self.assertFalse(circle.single)

    def test_a_module_and_its_children_may_use_each_other(self):
        self.assertEqual(names(lib="mod a;", a="mod x;\nuse x::X;\nstruct A;", a__x="use super::A;\npub struct X;"), [])

    def test_re_exports_lead_to_the_module_that_defines(self):
        self.assertEqual(
            names(
                lib="mod a;",
                a="mod x;\nmod y;\npub use x::X;\npub use self::y::*;",
                a__x="use super::Y;\npub struct X;",
                a__y="fn f(x: super::X) {}\npub struct Y;",
            ),
            ["latchkey_core::a: x y"],
        )

    def test_paths_in_code_follow_the_names_of_uses(self):
        self.assertEqual(
            names(
                lib="mod a;\nmod b;",
                a="use crate::b as other;\nfn f() { other::g() }",
                b="fn g() { crate::a::f::<u8>() }",
            ),
            ["latchkey_core: a b"],
        )

    def test_tests_comments_and_strings_are_not_read(self):
        text = '// crate::a::A\nconst TEXT: &str = "crate::a::A";\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n'
        self.assertEqual(names(lib="mod a;\nmod b;", a="use crate::b::TEXT;\nstruct A;", b=text), [])

    def test_other_crates_are_not_modules_of_the_same_name(self):
        files = {"a": "use ::http::X;\nfn f() { ::http::g() }", "http": "use crate::a::A;"}
        self.assertEqual(names(lib="mod a;\nmod http;", **files), [])

    def test_a_long_circle_is_opened_by_its_weakest_use(self):
        (circle,) = circles(
            lib="mod a;\nmod b;\nmod c;",
            a="use crate::b::B;\nuse crate::b::C;",
            b="use crate::c::C;\nfn f() { crate::c::g() }",
            c="use crate::a::A;",
        )
        self.assertEqual(rooms.cuts(circle), [("c", "a")])


class Known(unittest.TestCase):
    def test_each_circle_needs_a_reason(self):
        self.assertEqual(rooms.known("# Why.\na: x y\n\n# More.\nb: z w\n"), {"a: x y", "b: z w"})
        with self.assertRaises(ValueError):
            rooms.known("# Why.\n\na: x y\n")


class UseTrees(unittest.TestCase):
    def test_branches_carry_their_names(self):
        self.assertEqual(
            list(rooms.branches("crate::a::{self, b::{C as D, *},\n e}")),
            [
                (("crate", "a"), "a"),
                (("crate", "a", "b", "C"), "D"),
                (("crate", "a", "b"), None),
                (("crate", "a", "e"), "e"),
            ],
        )


if __name__ == "__main__":
    unittest.main()
