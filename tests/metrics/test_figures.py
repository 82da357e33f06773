"""Tests of the figures on small sources."""

import unittest

import figures
import rust
import tree

LIB = '''//! A crate.

mod keys;
#[cfg(test)]
mod tests;

/// What is kept of a key, which is told
/// for good.
pub struct Key;

/// The key's name.
pub fn of(text: &str) -> Key {
    let quote = '"';

    let brace = "} /// Of a string: /* ";
    let raw = r#"fn told() {" "#; // all the same
    Key
}

#[cfg(test)]
mod inline {
    #[test]
    fn what_is_made_here_counts_as_a_test() {}
}

fn last() {}
'''

CONTENTS = {
    "Cargo.toml": "[workspace]\n",
    "README.md": "one\ntwo\n",
    "core/Cargo.toml": '[package]\nname = "latchkey-core"\n',
    "core/src/lib.rs": LIB,
    "core/src/keys.rs": "/* a\n/* nested */ alone */\npub struct Key<'a>(&'a str);\ntrait Told { fn told(&self); }\n",
    "core/src/tests.rs": "use super::*;\n#[tokio::test]\nasync fn short_name() {}\n",
    "core/tests/whole.rs": "/// Alone.\n#[test]\nfn one() {}\n",
    "tests/Cargo.toml": '[package]\nname = "latchkey-tests"\n',
    "tests/src/lib.rs": "pub struct Key;\n",
}


class Reading(unittest.TestCase):
    def test_strings_and_comments_are_blank_in_code(self):
        code = rust.read(LIB).code
        self.assertEqual(len(code), len(LIB))
        self.assertNotIn("told", code)
        self.assertNotIn("Of a string", code)

    def test_lifetimes_are_not_characters(self):
        self.assertIn("&'a str", rust.read("fn f<'a>(x: &'a str, y: &'a u8) {}").code)

    def test_nested_block_comments_end_once(self):
        self.assertEqual(rust.read("/* /* */ x */ fn f() {}").code.strip(), "fn f() {}")

    def test_functions_reach_from_their_name_to_their_brace(self):
        found = [(each.name, each.first, each.last) for each in rust.functions(rust.read(LIB))]
        self.assertIn(("of", 12, 18), found)
        self.assertIn(("last", 26, 26), found)

    def test_declared_functions_have_no_body(self):
        self.assertEqual(list(rust.functions(rust.read("trait T { fn f(&self) -> [u8; 4]; }"))), [])

    def test_attributes_reach_over_docs_and_lines(self):
        text = "#[test]\n#[should_panic(\n    expected = \"x\",\n)]\n/// Doc.\nfn f() {}\n"
        self.assertFalse(next(rust.functions(rust.read("fn g() {}\n" + text))).test)
        self.assertTrue(next(rust.functions(rust.read("/// Doc.\n#[tokio::test(flavor = \"x\")]\nfn f() {}\n"))).test)


class Trees(unittest.TestCase):
    def setUp(self):
        self.tree = tree.Tree(CONTENTS)

    def test_production_is_what_no_test_module_holds(self):
        self.assertEqual([file.path for file in self.tree.production], ["core/src/keys.rs", "core/src/lib.rs"])

    def test_inline_tests_are_cut_and_lines_keep_their_numbers(self):
        file = self.tree.files["core/src/lib.rs"]
        self.assertEqual(file.lines, 21)
        self.assertEqual([(each.name, each.first) for each in rust.functions(file.cut)], [("of", 12), ("last", 26)])

    def test_child_modules_know_their_path(self):
        self.assertEqual(self.tree.files["core/src/keys.rs"].module, ("keys",))


class Figures(unittest.TestCase):
    def setUp(self):
        self.measures = figures.Measures(tree.Tree(CONTENTS))
        self.figures = {figure.name: figure for figure in self.measures.figures()}

    def places(self, kind):
        return [str(place) for place in self.measures.places(kind)]

    def test_idioms_are_found_over_line_breaks(self):
        self.assertEqual(
            self.places("idioms"),
            [
                "core/src/keys.rs:2: [alone] nested */ alone",
                "core/src/lib.rs:7: [told] What is kept of a key, which is told",
                "core/src/lib.rs:8: [for good] for good.",
                "core/src/lib.rs:16: [all the same] all the same",
            ],
        )

    def test_docs_that_begin_with_an_interrogative_are_listed(self):
        self.assertEqual(self.places("docs"), ["core/src/lib.rs:7: What is kept of a key, which is told"])
        self.assertEqual(self.places("short"), ["core/src/lib.rs:11: The key's name."])

    def test_names_are_counted(self):
        self.assertEqual(self.places("of"), ["core/src/lib.rs:12: fn of"])
        self.assertEqual(self.places("tests"), ["core/src/lib.rs:23: what_is_made_here_counts_as_a_test (8 words)"])
        self.assertEqual(self.figures["tests"].value, 3)
        self.assertAlmostEqual(self.figures["types whose name another type has"].value, 200 / 3)

    def test_lines_over_a_bound_are_not_met(self):
        self.assertTrue(self.figures["README lines"].met)
        self.assertFalse(self.figures["idioms per 10,000 words of comments"].met)

    def test_blank_lines_are_those_within_functions(self):
        self.assertAlmostEqual(self.figures["blank lines within functions"].value, 100 / 8)


if __name__ == "__main__":
    unittest.main()
