//! No spelling of a path reaches a resource that its rule does not allow. The tests compare the
//! path that the upstream receives, with the shipped options of Envoy and without them.

mod readings;

use latchkey_tests::{Answer, Connection, Gateway, SeededRng, WireUpstream, arrived_path, request};
use serde_json::json;

use self::readings::{access, readings};

/// The rules, in order, and who may pass them. Paths under none of them are denied.
const RULES: [(&str, Access); 5] = [
    ("/public/private", Access::Nobody),
    ("/public", Access::Everybody),
    ("/zones/secret", Access::Nobody),
    ("/zones", Access::Key),
    ("/caf%C3%A9", Access::Key),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// The path is public.
    Everybody,
    /// The path requires a permission that the test's key holds.
    Key,
    /// The path requires a permission that the test's key does not hold.
    Nobody,
}

struct World {
    gateway: Gateway,
    key: String,
}

impl World {
    async fn start(tidy_paths: bool) -> Self {
        let upstream = WireUpstream::start().await.unwrap();
        let port = upstream.port();
        let gateway = Gateway::builder().envoy(move |envoy| {
            envoy.upstream_port = port;
            envoy.tidy_paths = tidy_paths;
        });
        let gateway = gateway.start().await;
        let rules = RULES.map(|(prefix, access)| match access {
            Access::Everybody => json!({ "path": { "prefix": prefix }, "public": true }),
            Access::Key => json!({ "path": { "prefix": prefix }, "permission": "dns:read" }),
            Access::Nobody => json!({ "path": { "prefix": prefix }, "permission": "dns:write" }),
        });
        let document = json!({ "rules": rules, "unmatched": "deny" });
        gateway.control_plane.put_routes(document).await.unwrap();
        let key =
            json!({ "name": "CI", "permissions": ["dns:read"], "limits": { "minute": u32::MAX } });
        let key = gateway.control_plane.create_key(key).await.unwrap().api_key;
        Self { gateway, key }
    }

    async fn ask(&self, connection: &mut Connection, target: &[u8], with_key: bool) -> Answer {
        let headers = [("x-api-key", self.key.as_str())];
        let request = request("GET", target, if with_key { &headers } else { &[] });
        connection
            .send(&request)
            .await
            .unwrap_or_else(|error| panic!("{}: {error:#}", target.escape_ascii()))
    }
}

/// Asserts that the path that the upstream received is open to the client in every reading.
fn assert_open(sent: &[u8], answer: &Answer, with_key: bool) {
    let arrived = arrived_path(answer).unwrap();
    for reading in readings(&arrived) {
        let access = access(&reading);
        let open = access == Access::Everybody || with_key && access == Access::Key;
        let reading = reading.join(&b'/');
        assert!(
            open,
            "{} arrived as {}, which may be read as {}, key: {with_key}",
            sent.escape_ascii(),
            arrived.escape_ascii(),
            reading.escape_ascii()
        );
    }
}

/// Spellings of paths: a description, the path, and the result with the shipped options and without
/// them. The result is 200 where the request arrives, and otherwise the code of the refusal; 400
/// and 404 are Envoy's own. Two results are separated by `|` where versions of Envoy differ.
const SPELLINGS: [(&str, &[u8], &str, &str); 37] = [
    ("as in the rule", b"/zones/7", "200", "200"),
    ("a slash at the end", b"/zones/", "200", "200"),
    ("a query", b"/zones?x=/../zones/secret", "200", "200"),
    ("a second question mark", b"/zones?/?/secret", "200", "200"),
    ("an escaped letter", b"/%7aones/7", "200", "200"),
    ("an escape in lower case", b"/caf%c3%a9", "200", "200"),
    ("an escape in upper case", b"/caf%C3%A9", "200", "200"),
    (
        "an escaped letter of what is shut",
        b"/zones/%73ecret",
        "missing_permission",
        "missing_permission",
    ),
    (
        "the same with a slash at the end",
        b"/zones/%73ecret/",
        "missing_permission",
        "missing_permission",
    ),
    ("another case", b"/Zones/7", "out_of_scope", "out_of_scope"),
    (
        "another case of what is public",
        b"/Public/7",
        "out_of_scope",
        "out_of_scope",
    ),
    (
        "a dot at the end of a segment",
        b"/public/private./7",
        "out_of_scope",
        "out_of_scope",
    ),
    (
        "an escaped blank at the end of a segment",
        b"/zones/secret%20",
        "out_of_scope",
        "out_of_scope",
    ),
    (
        "two slashes",
        b"/zones//secret",
        "missing_permission",
        "out_of_scope",
    ),
    ("two slashes in front", b"//zones/7", "200", "out_of_scope"),
    (
        "a dot",
        b"/zones/./secret",
        "missing_permission",
        "out_of_scope",
    ),
    (
        "two dots",
        b"/public/../zones/secret",
        "missing_permission",
        "out_of_scope",
    ),
    (
        "two dots to the top",
        b"/zones/../../public/private",
        "missing_permission",
        "out_of_scope",
    ),
    (
        "escaped dots",
        b"/public/%2e%2e/zones/secret",
        "missing_permission",
        "out_of_scope",
    ),
    (
        "a dot and an escaped one",
        b"/public/.%2E/zones/secret",
        "missing_permission",
        "out_of_scope",
    ),
    // Some versions resolve these dots, others leave the path as it is.
    (
        "dots behind a semicolon",
        b"/public/..;/zones/secret",
        "missing_permission|out_of_scope",
        "out_of_scope",
    ),
    (
        "a semicolon",
        b"/zones/secret;x=1",
        "out_of_scope",
        "out_of_scope",
    ),
    (
        "an escaped semicolon",
        b"/zones/secret%3bx",
        "out_of_scope",
        "out_of_scope",
    ),
    (
        "an escaped slash",
        b"/zones%2fsecret",
        "400",
        "out_of_scope",
    ),
    (
        "one in upper case",
        b"/zones%2Fsecret",
        "400",
        "out_of_scope",
    ),
    (
        "an escaped backslash",
        b"/zones/7%5c..%5csecret",
        "400",
        "out_of_scope",
    ),
    (
        "a backslash",
        b"/zones\\secret",
        "missing_permission",
        "out_of_scope",
    ),
    ("a NUL", b"/zones/secret%00", "400", "out_of_scope"),
    (
        "a control character",
        b"/zones/secret%0a",
        "out_of_scope",
        "out_of_scope",
    ),
    (
        "escaped twice",
        b"/zones/%2573ecret",
        "out_of_scope",
        "out_of_scope",
    ),
    (
        "a slash that is escaped twice",
        b"/zones%252fsecret",
        "out_of_scope",
        "out_of_scope",
    ),
    ("no escape", b"/zones/%zz", "out_of_scope", "out_of_scope"),
    (
        "half an escape",
        b"/zones/%7",
        "out_of_scope",
        "out_of_scope",
    ),
    ("no UTF-8", b"/zones/%ff", "out_of_scope", "out_of_scope"),
    (
        "a slash in too many bytes",
        b"/zones%c0%afsecret",
        "out_of_scope",
        "out_of_scope",
    ),
    (
        "a whole URL",
        b"http://gateway/zones/secret",
        "missing_permission",
        "missing_permission",
    ),
    ("a fragment", b"/zones#/secret", "400", "400"),
];

#[tokio::test]
async fn each_path_spelling_follows_the_upstreams_reading() {
    for tidy_paths in [true, false] {
        let world = World::start(tidy_paths).await;
        let mut connection = Connection::to(world.gateway.envoy.gateway());
        let mut unexpected = Vec::new();
        for (what, target, tidy, untidy) in SPELLINGS {
            let answer = world.ask(&mut connection, target, true).await;
            let expected = if tidy_paths { tidy } else { untidy };
            let code = match answer.code() {
                "" => answer.status.to_string(),
                code => code.to_owned(),
            };
            if !expected.split('|').any(|expected| expected == code) {
                unexpected.push(format!(
                    "{what}: {}, tidy: {tidy_paths}: {code}",
                    target.escape_ascii()
                ));
            }
            if answer.status == 200 {
                assert_open(target, &answer, true);
            }
        }
        assert!(unexpected.is_empty(), "{unexpected:#?}");
    }
}

/// Pieces of paths, most of which have a meaning for some software.
const PIECES: [&[u8]; 47] = [
    b"/",
    b"/",
    b"/",
    b"//",
    b"/",
    b"public",
    b"public",
    b"private",
    b"zones",
    b"zones",
    b"secret",
    b"secret",
    b"caf%C3%A9",
    b"caf%c3%a9",
    b"caf\xc3\xa9",
    b"7",
    b".",
    b"..",
    b"/../",
    b"/./",
    b"%2e",
    b"%2E%2e",
    b".%2e",
    b"%2f",
    b"%2F",
    b"%5c",
    b"\\",
    b";",
    b";x=y",
    b"%3B",
    b"%00",
    b"%25",
    b"%252f",
    b"%252e%252e",
    b"%2573",
    b"%73ecret",
    b"%70ublic",
    b"%7Aones",
    b"Zones",
    b"?",
    b"?x=",
    b"%c0%af",
    b"%ff",
    b"%09",
    b"%20",
    b"%",
    b"%u002f",
];

const STARTS: [&[u8]; 4] = [b"/", b"/public", b"/zones/", b"/public/"];

/// Sends random spellings. A path that passes, with a key or without, is open in every reading.
#[tokio::test]
async fn admitted_path_is_open_to_all_readings() {
    const SPELLINGS: usize = 3_000;
    for tidy_paths in [true, false] {
        let world = World::start(tidy_paths).await;
        let mut connection = Connection::to(world.gateway.envoy.gateway());
        let mut rng = SeededRng(u64::from(tidy_paths) + 1);
        let mut arrived = [0; 2];
        for _ in 0..SPELLINGS {
            let mut target = rng.pick::<&[u8]>(&STARTS).to_vec();
            for _ in 0..=rng.below(6) {
                target.extend_from_slice(rng.pick::<&[u8]>(&PIECES));
            }
            let with_key = rng.once_in(2);
            let answer = world.ask(&mut connection, &target, with_key).await;
            if answer.status == 200 {
                assert_open(&target, &answer, with_key);
                arrived[usize::from(with_key)] += 1;
            }
        }
        println!(
            "tidy: {tidy_paths}: of {SPELLINGS} paths arrived {} without a key, {} with one",
            arrived[0], arrived[1]
        );
        assert!(
            arrived.iter().all(|count| *count > SPELLINGS / 100),
            "{arrived:?}"
        );
    }
}
