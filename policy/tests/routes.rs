//! Route rules compared with a model that decodes everything and tries one rule after the other.
//! `make fuzz` runs this for a long time.
#![cfg(not(target_arch = "wasm32"))]

use latchkey_policy::record::{Damaged, FORMAT};
use latchkey_policy::route::{
    Access, Match, Named, PathCase, PathSpec, RouteRules, Routes, Rule, RuleSpec,
    SubaccountLocation, SubaccountLocationSpec, Target, Unmatched,
};
use latchkey_policy::settings::SettingsRecord;
use latchkey_policy::test_util::{Random, fuzz};

/// Segments, so few that requests meet rules, and rules each other.
const SEGMENTS: [&str; 17] = [
    "a",
    "b",
    "ab",
    "B",
    "é",
    "%C3%a9",
    "%61",
    "a%20b",
    "%7ba%7d",
    "a+b",
    "A",
    "É",
    "a.",
    "b%20",
    "B.%e2%80%8b",
    "b%e3%80%82%e2%80%8c",
    "...",
];
const PARAMETERS: [&str; 3] = ["{x}", "{y}", "{zone}"];
const METHODS: [&str; 4] = ["GET", "POST", "get", "HEAD"];
const HOSTS: [&str; 6] = [
    "a.com",
    "b.a.com",
    "c.b.a.com",
    "*.a.com",
    "*.b.a.com",
    "*.com",
];

fn some<T>(random: &mut Random, value: impl FnOnce(&mut Random) -> T) -> Option<T> {
    (random.below(3) == 0).then(|| value(random))
}

fn path(random: &mut Random, segments: &[&str]) -> String {
    let path: String = (0..random.below(5))
        .map(|_| format!("/{}", random.pick(segments)))
        .collect();
    if path.is_empty() || random.below(8) == 0 {
        path + "/"
    } else {
        path
    }
}

fn rule(random: &mut Random) -> Option<Rule> {
    let in_template = [&SEGMENTS[..], &PARAMETERS, &PARAMETERS].concat();
    let path = match random.below(3) {
        0 => PathSpec::Exact(path(random, &SEGMENTS)),
        1 => PathSpec::Prefix(path(random, &SEGMENTS)),
        _ => PathSpec::Template(path(random, &in_template)),
    };
    let public = random.below(4) == 0;
    let place = |random: &mut Random| match random.below(3) {
        0 => SubaccountLocationSpec::Header("x-sub".into()),
        1 => SubaccountLocationSpec::Path("x".into()),
        _ => SubaccountLocationSpec::Query("sub".into()),
    };
    let name = |names: &'static [&str]| move |random: &mut Random| (*random.pick(names)).to_owned();
    let spec = RuleSpec {
        host: some(random, name(&HOSTS)),
        methods: some(random, |random| {
            (0..=random.below(2))
                .map(|at| METHODS[at as usize].to_owned())
                .collect()
        }),
        path,
        public,
        service: some(random, name(&["dns", "cdn"])).filter(|_| !public),
        permission: some(random, name(&["dns:read", "dns:write"])).filter(|_| !public),
        subaccount: some(random, place).filter(|_| !public),
    };
    // Some rules name a parameter that the path does not have, or has twice.
    Rule::new(spec).ok()
}

fn document(random: &mut Random) -> RouteRules {
    let unmatched = *random.pick(&[Unmatched::ValidKey, Unmatched::Deny]);
    let path_case = *random.pick(&[PathCase::Refuse, PathCase::Ignore, PathCase::Distinct]);
    let mut rules: Vec<Rule> = (0..random.below(16)).filter_map(|_| rule(random)).collect();
    loop {
        match RouteRules::with_path_case(path_case, rules.clone(), unmatched) {
            Ok(record) => return record,
            Err((never_reached, _)) => drop(rules.remove(never_reached)),
        }
    }
}

/// Writes some bytes as escapes that were not escaped before.
fn escaped(random: &mut Random, path: &[u8], can_be: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < path.len() && path[at] != b'?' {
        let is_escape = path[at] == b'%'
            && path[at..].len() > 2
            && path[at + 1..at + 3].iter().all(u8::is_ascii_hexdigit);
        let taken = if is_escape { 3 } else { 1 };
        if !is_escape && can_be(path[at]) && random.below(3) == 0 {
            let byte = path[at];
            out.extend(
                if random.below(2) == 0 {
                    format!("%{byte:02x}")
                } else {
                    format!("%{byte:02X}")
                }
                .bytes(),
            );
        } else {
            out.extend_from_slice(&path[at..at + taken]);
        }
        at += taken;
    }
    out.extend_from_slice(&path[at..]);
    out
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn requested(random: &mut Random, record: &RouteRules) -> Vec<u8> {
    let mut found = match record.rules() {
        rules if !rules.is_empty() && random.below(2) == 0 => {
            let path = random.pick(rules).spec().path.as_str().to_owned();
            let [x, y] = [random.pick(&SEGMENTS), random.pick(&SEGMENTS)];
            path.replace("{x}", x).replace("{y}", y)
        }
        _ => path(random, &SEGMENTS),
    };
    if random.below(4) == 0 {
        found = format!("{}{}", found.trim_end_matches('/'), path(random, &SEGMENTS));
    }
    if random.below(3) == 0 {
        let parts = [
            "sub=", "a", "&", ";", "#", "%73ub=", "sub", "=", "+", "%", "%zz", "?", "/..", "é",
            "%ff",
        ];
        found.push('?');
        found.extend((0..random.below(7)).map(|_| *random.pick(&parts)));
    }
    let bytes = found.into_bytes();
    match random.below(8) {
        0 => random.mutated(&bytes),
        1 => {
            let at = random.index(bytes.len() + 1);
            let odd = [
                "//", "/../", "/.", "%2e", "%2F", "\\", ";", "%3b", "%00", "%", "%25", "%2541",
                "#", " ", "%ff", "%C3",
            ];
            [&bytes[..at], random.pick(&odd).as_bytes(), &bytes[at..]].concat()
        }
        2 => random.bytes(16, b"/aab%2eEfF5c?;.{}"),
        _ => bytes,
    }
}

fn host(random: &mut Random) -> String {
    let hosts = [
        "a.com",
        "b.a.com",
        "c.b.a.com",
        "z.y.b.a.com",
        "com",
        "ba.com",
        "A.Com",
        "[::1]",
        "",
        "a..com",
        "a,com",
    ];
    let ends = ["", "", "", ".", ":80", ".:80", ":", ":x", "..", ":80:80"];
    format!("{}{}", random.pick(&hosts), random.pick(&ends))
}

/// Decodes a text; `None` if an escape is not valid.
fn decode(text: &[u8], plus: u8) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'%' => {
                let digits = std::str::from_utf8(text.get(at + 1..at + 3)?).ok()?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                out.push(u8::from_str_radix(digits, 16).ok()?);
                at += 2;
            }
            b'+' => out.push(plus),
            byte => out.push(byte),
        }
        at += 1;
    }
    Some(out)
}

/// Decodes a query's text; an invalid escape stays as it is.
fn lenient(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(&first) = rest.first() {
        let escape = rest
            .get(..3)
            .and_then(|escape| decode(escape, b' '))
            .filter(|escape| escape.len() == 1);
        let (byte, len) = match (first, escape) {
            (b'%', Some(escape)) => (escape[0], 3),
            (b'+', _) => (b' ', 1),
            (byte, _) => (byte, 1),
        };
        out.push(byte);
        rest = &rest[len..];
    }
    out
}

/// Returns a canonical path's segments, by the contract's words; `None` if it is ambiguous.
fn segments(path: &[u8]) -> Option<Vec<String>> {
    let path = path.split(|byte| *byte == b'?').next().unwrap();
    if path.iter().any(|byte| b"#\\; ".contains(byte)) {
        return None;
    }
    let mut parts: Vec<_> = path.split(|byte| *byte == b'/').collect();
    // The part before the first slash must be empty; an empty part after the last is ignored.
    if path.is_empty() || !parts.remove(0).is_empty() {
        return None;
    }
    if parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
    }
    let segment = |part: &&[u8]| {
        let text = String::from_utf8(decode(part, b'+')?).ok()?;
        let is_run_of_dots = text.len() > 2 && text.bytes().all(|byte| byte == b'.');
        let is_dots_and_blanks = text.contains(DOTS) && case_and_end(&text).is_empty();
        let refused = text.is_empty()
            || (is_dots_and_blanks && !is_run_of_dots)
            || text.contains(['/', '\\', ';', '?', '#'])
            || text.chars().any(char::is_control);
        let tail = |at: usize| text.as_bytes().get(at + 1..at + 3);
        let is_escaped =
            |(at, _)| tail(at).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        (!refused && !text.match_indices('%').any(is_escaped)).then_some(text)
    };
    parts.iter().map(segment).collect()
}

/// Returns a host's labels in lower case, one for an IPv6 address; `None` if it cannot be read.
fn labels(host: &str) -> Option<Vec<String>> {
    let (name, port) = match host.strip_prefix("[::1]") {
        Some(port) => ("v6", port),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    if !port.is_empty()
        && !port
            .strip_prefix(':')?
            .bytes()
            .all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let labels: Vec<_> = name
        .strip_suffix('.')
        .unwrap_or(name)
        .split('.')
        .map(str::to_lowercase)
        .collect();
    let valid = |label: &String| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    labels.iter().all(valid).then_some(labels)
}

fn host_matches(rule: &str, labels: &[String]) -> bool {
    let host = labels.join(".");
    rule.strip_prefix('*')
        .map_or(host == rule, |end| host.ends_with(end))
}

/// A function that removes the ignored differences from a segment.
type Fold = fn(&str) -> String;

fn nothing(segment: &str) -> String {
    segment.to_owned()
}

fn case(segment: &str) -> String {
    segment.to_lowercase()
}

/// The characters that an upstream may take for a full stop.
const DOTS: [char; 6] = [
    '.', '\u{2024}', '\u{3002}', '\u{fe52}', '\u{ff0e}', '\u{ff61}',
];

/// The characters without width, which Unicode does not count as white space.
const WITHOUT_WIDTH: [char; 6] = [
    '\u{180e}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}',
];

fn case_and_end(segment: &str) -> String {
    let is_blank = |character: char| {
        let is_space = character.is_whitespace() && !character.is_control();
        is_space || WITHOUT_WIDTH.contains(&character)
    };
    segment
        .to_lowercase()
        .trim_end_matches(|character| DOTS.contains(&character) || is_blank(character))
        .to_owned()
}

fn path_matches(rule: &PathSpec, segments: &[String], fold: Fold) -> bool {
    let segments: Vec<_> = segments
        .iter()
        .map(|segment| fold(segment))
        .filter(|segment| !segment.is_empty())
        .collect();
    let raw: Vec<_> = rule.as_str().split('/').skip(1).collect();
    let is_parameter =
        |at: usize| matches!(rule, PathSpec::Template(_)) && raw[at].starts_with('{');
    let of_rule = self::segments(rule.as_str().as_bytes()).unwrap();
    // A parameter becomes `None`.
    let of_rule = of_rule
        .iter()
        .enumerate()
        .map(|(at, segment)| (!is_parameter(at)).then(|| fold(segment)));
    let of_rule: Vec<_> = of_rule
        .filter(|segment| segment.as_deref() != Some(""))
        .collect();
    let same = |at: usize| {
        segments.get(at).is_some_and(|segment| {
            of_rule[at]
                .as_ref()
                .is_none_or(|of_rule| segment == of_rule)
        })
    };
    let length = match rule {
        PathSpec::Prefix(_) => segments.len() >= of_rule.len(),
        PathSpec::Exact(_) | PathSpec::Template(_) => segments.len() == of_rule.len(),
    };
    length && (0..of_rule.len()).all(same)
}

/// The number of a request's rule, 0 if none matches; or the reason why there is no number.
type Number = Result<usize, &'static str>;

const AMBIGUOUS: &str = "ambiguous";
const DISPUTED: &str = "disputed";

fn expected(record: &RouteRules, host: &str, method: &str, path: &[u8]) -> Number {
    if record.rules().is_empty() && record.unmatched() == Unmatched::ValidKey {
        return Ok(0);
    }
    let (written, folded): (Fold, Fold) = match record.path_case() {
        PathCase::Distinct => return first(record, host, method, path, nothing).ok_or(AMBIGUOUS),
        PathCase::Refuse => (nothing, case_and_end),
        PathCase::Ignore => (case, case_and_end),
    };
    let number = |fold| first(record, host, method, path, fold).ok_or(AMBIGUOUS);
    let (written, folded) = (number(written)?, number(folded)?);
    let needs = |number: usize| {
        let Some(spec) = number.checked_sub(1).map(|at| record.rules()[at].spec()) else {
            return (record.unmatched() == Unmatched::ValidKey)
                .then_some((false, None, None, None));
        };
        let place = spec.subaccount.clone().map(|place| match place {
            SubaccountLocationSpec::Path(name) => Err(parameter(spec, &name).unwrap()),
            other => Ok(other),
        });
        Some((
            spec.public,
            spec.service.clone(),
            spec.permission.clone(),
            place,
        ))
    };
    if written == folded
        || needs(written).is_some_and(|needs_written| needs(folded) == Some(needs_written))
    {
        Ok(written)
    } else {
        Err(DISPUTED)
    }
}

/// Returns the index of the path's segment that is the parameter.
fn parameter(spec: &RuleSpec, name: &str) -> Option<usize> {
    spec.path
        .as_str()
        .split('/')
        .skip(1)
        .position(|part| part == format!("{{{name}}}"))
}

/// Returns the first rule that matches, 0 if none does; `None` if the request is ambiguous.
fn first(record: &RouteRules, host: &str, method: &str, path: &[u8], fold: Fold) -> Option<usize> {
    let by_method = record
        .rules()
        .iter()
        .any(|rule| rule.spec().methods.is_some());
    if by_method && method.chars().any(char::is_lowercase) {
        return None;
    }
    let segments = segments(path)?;
    let labels = match record.rules().iter().any(|rule| rule.spec().host.is_some()) {
        true => labels(host)?,
        false => Vec::new(),
    };
    let matches = |rule: &Rule| {
        let RuleSpec {
            host,
            methods,
            path,
            ..
        } = rule.spec();
        host.as_ref().is_none_or(|host| host_matches(host, &labels))
            && methods.as_ref().is_none_or(|methods| {
                methods
                    .iter()
                    .any(|name| name == method || (name == "GET" && method == "HEAD"))
            })
            && path_matches(path, &segments, fold)
    };
    Some(
        record
            .rules()
            .iter()
            .position(matches)
            .map_or(0, |at| at + 1),
    )
}

fn number(found: Match<'_>) -> Number {
    match found {
        Match::Rule(route) => Ok(route.number),
        Match::Unmatched(_) => Ok(0),
        Match::Ambiguous => Err(AMBIGUOUS),
        Match::Disputed { .. } => Err(DISPUTED),
    }
}

/// Checks that the compiled requirements are those of the rule as it was written.
fn assert_asks_for_what_was_written(routes: &Routes, access: &Access, written: &RuleSpec) {
    let Access::Key {
        service,
        permission,
        subaccount,
    } = access
    else {
        assert!(written.public);
        return;
    };
    assert!(!written.public);
    assert_eq!(
        service.map(|at| &*routes.services()[at]),
        written.service.as_deref()
    );
    assert_eq!(
        permission.map(|at| routes.permissions()[at].as_str()),
        written.permission.as_deref()
    );
    let place = written.subaccount.as_ref().map(|place| match place {
        SubaccountLocationSpec::Header(name) => SubaccountLocation::Header(name.as_str().into()),
        SubaccountLocationSpec::Path(name) => {
            SubaccountLocation::Path(parameter(written, name).unwrap())
        }
        SubaccountLocationSpec::Query(name) => SubaccountLocation::Query(name.as_str().into()),
    });
    assert_eq!(*subaccount, place);
}

#[test]
fn fuzz_routes() {
    fuzz(|random| {
        let record = document(random);
        let routes = Routes::compile(&record);
        for _ in 0..20 {
            let (host, method, path) = (
                host(random),
                *random.pick(&METHODS),
                requested(random, &record),
            );
            let find = |path: &[u8]| {
                routes.find(&Target {
                    host: host.as_bytes(),
                    method: method.as_bytes(),
                    path,
                })
            };
            let found = find(&path);
            let told = || {
                let (path_case, rules) = (record.path_case(), record.rules());
                format!(
                    "{method} {host} {:?} by {path_case:?} {rules:#?}",
                    String::from_utf8_lossy(&path)
                )
            };
            assert_eq!(
                number(found),
                expected(&record, &host, method, &path),
                "{}",
                told()
            );
            match found {
                Match::Rule(route) => {
                    let written = record.rules()[route.number - 1].spec();
                    assert_asks_for_what_was_written(&routes, &route.access, written);
                }
                Match::Unmatched(unmatched) => assert_eq!(unmatched, record.unmatched()),
                Match::Ambiguous | Match::Disputed { .. } => {}
            }
            assert_eq!(
                find(&escaped(random, &path, is_unreserved)),
                found,
                "however it is escaped: {}",
                told()
            );
            // In a path that is not ambiguous, any byte but a slash may be an escape as well as
            // itself.
            if found != Match::Ambiguous && segments(&path).is_some() {
                assert_eq!(
                    find(&escaped(random, &path, |byte| byte != b'/')),
                    found,
                    "{}",
                    told()
                );
            }
        }
    });
}

/// Returns the subaccount that a request names, by the definition; `None` if it is not clear.
fn said(place: &SubaccountLocation, path: &[u8], header: Option<&[u8]>) -> Option<Vec<u8>> {
    match place {
        SubaccountLocation::Header(_) => {
            let Some(header) = header else {
                return Some(Vec::new());
            };
            let visible = header
                .iter()
                .all(|byte| matches!(byte, b'!'..=b'~') && *byte != b',');
            (visible && !header.is_empty()).then(|| header.to_vec())
        }
        SubaccountLocation::Path(at) => segments(path)?
            .get(*at)
            .map(|segment| segment.clone().into_bytes()),
        SubaccountLocation::Query(name) => {
            let query = path
                .iter()
                .position(|byte| *byte == b'?')
                .map_or(&[][..], |at| &path[at + 1..]);
            let is_named = |part: &&[u8]| {
                let found = part.split(|byte| *byte == b'=').next().unwrap();
                decode(found, b' ').is_some_and(|found| found == name.as_bytes())
            };
            let is_alike = |part: &&[u8]| {
                let found = part.split(|byte| *byte == b'=').next().unwrap();
                let found = String::from_utf8_lossy(&lenient(found)).to_ascii_lowercase();
                let found = found
                    .trim_ascii_start()
                    .split(['[', '\0'])
                    .next()
                    .unwrap()
                    .trim_ascii_end();
                found.replace(['.', ' '], "_") == *name.to_ascii_lowercase()
            };
            let ours: Vec<_> = query.split(|byte| *byte == b'&').filter(is_named).collect();
            let anybodys: Vec<_> = query
                .split(|byte| b"&;#".contains(byte))
                .filter(is_alike)
                .collect();
            match (ours.as_slice(), anybodys.len()) {
                ([], 0) => Some(Vec::new()),
                ([one], 1) if !query.contains(&b'#') => {
                    let value = one
                        .iter()
                        .position(|byte| *byte == b'=')
                        .map(|at| &one[at + 1..])?;
                    decode(value, b' ').filter(|value| !value.is_empty())
                }
                _ => None,
            }
        }
    }
}

#[test]
fn fuzz_subaccount_places() {
    fuzz(|random| {
        let places = [
            SubaccountLocation::Header("x-sub".into()),
            SubaccountLocation::Path(random.index(3)),
            SubaccountLocation::Query("sub".into()),
        ];
        let path = requested(random, &RouteRules::default());
        let header = some(random, |random| random.bytes(4, b"ab,% "));
        for place in places {
            let target = Target {
                host: b"h",
                method: b"GET",
                path: &path,
            };
            let (named, said) = (
                place.named(&target, header.as_deref()),
                said(&place, &path, header.as_deref()),
            );
            let told = || {
                format!(
                    "{place:?} {} {named:?} {said:?}",
                    String::from_utf8_lossy(&path)
                )
            };
            match (named, &said) {
                (Named::None, Some(said)) => assert!(said.is_empty(), "{}", told()),
                (Named::One(text), Some(said)) => match std::str::from_utf8(said) {
                    Ok(said) => assert!(!said.is_empty() && text == *said, "{}", told()),
                    Err(_) => assert!(text.to_string().contains('\u{fffd}'), "{}", told()),
                },
                (Named::Unclear, None) => {}
                _ => panic!("{}", told()),
            }
        }
    });
}

/// The length of the record's head: its length, its identifier, the CRC over all but the length.
const BODY: usize = 4 + 8 + 4;

#[test]
fn fuzz_route_records() {
    fuzz(|random| {
        let ended = (0..random.below(3))
            .map(|_| format!("usr_{}", random.below(9)))
            .collect();
        let record = SettingsRecord::from(document(random))
            .with_imported(random.below(2) == 0)
            .with_ended_owners(ended);
        let mut bytes = Vec::new();
        record.encode(FORMAT, &mut bytes).unwrap();
        assert_eq!(SettingsRecord::decode(&bytes).as_ref(), Ok(&record));
        let other = random.mutated(&bytes);
        assert!(other == bytes || SettingsRecord::decode(&other) == Err(Damaged));

        // With a valid length and CRC, every record that can be read is valid.
        let body = random.mutated(&bytes[BODY..]);
        let content = [&[0; 8], &body[..]].concat();
        let length = u32::try_from(content.len() + 4).unwrap().to_le_bytes();
        let forged = [
            &length[..],
            &content[..8],
            &crc32fast::hash(&content).to_le_bytes(),
            &body,
        ]
        .concat();
        if let Ok(read) = SettingsRecord::decode(&forged) {
            let rules = read
                .routes
                .rules()
                .iter()
                .map(|rule| Rule::new(rule.spec().clone()).unwrap())
                .collect();
            let (path_case, unmatched) = (read.routes.path_case(), read.routes.unmatched());
            let rules = RouteRules::with_path_case(path_case, rules, unmatched).unwrap();
            let same = SettingsRecord::from(rules)
                .with_imported(read.imported)
                .with_ended_owners(read.ended_owners().to_vec());
            assert_eq!(same, read);
            let mut again = Vec::new();
            read.encode(FORMAT, &mut again).unwrap();
            assert_eq!(SettingsRecord::decode(&again), Ok(read));
        }
    });
}
