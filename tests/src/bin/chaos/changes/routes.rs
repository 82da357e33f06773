//! Routes that open and close to a key.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use latchkey_tests::SeededRng;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Change, HOLD, Settled, settle, target};
use crate::model::{Expectation, Subject};
use crate::settings::between;
use crate::world::World;

pub(super) const ROUTES: usize = 3;

pub(super) fn routes(world: &World, api_key: Option<&str>) -> Vec<Subject> {
    let add = |number| {
        let path = format!("/route-{number}");
        let subject = world.model().add(path.clone(), Expectation::Unknown);
        world
            .targets()
            .changing
            .insert(subject, target(subject, &path, api_key));
        subject
    };
    (0..ROUTES).map(add).collect()
}

/// Returns the rules, in which each route requires a permission that the key has, or one that it
/// lacks. None is public: public routes pass at an Envoy whose snapshot is too old as well, so no
/// answer about them binds a lost Envoy.
pub(super) fn document(open: &[bool; ROUTES]) -> Value {
    let mut rules = vec![json!({ "path": { "prefix": "/owned" }, "permission": "dns:read" })];
    for (number, open) in open.iter().enumerate() {
        let permission = if *open { "dns:read" } else { "billing:write" };
        rules.push(
            json!({ "path": { "exact": format!("/route-{number}") }, "permission": permission }),
        );
    }
    json!({ "rules": rules })
}

/// Opens and closes routes to a key. Each document has all routes.
pub(super) async fn change_routes(world: Arc<World>, routes: Vec<Subject>, mut rng: SeededRng) {
    let mut open = [true; ROUTES];
    while !world.changes_end.load(Ordering::SeqCst) {
        let changed = rng.below(ROUTES);
        open[changed] = !open[changed];
        let (subject, body) = (routes[changed], Some(document(&open)));
        let (method, path, closes) = (Method::PUT, "/v1/routes", !open[changed]);
        let change = Change {
            kind: "route",
            subject,
            closes,
            method,
            path,
            body,
            expires: false,
        };
        if settle(&world, &change).await == Settled::Complete {
            let now = Instant::now();
            let mut model = world.model();
            for (subject, open) in routes.iter().zip(open) {
                // Other routes are unknown after a rollback.
                match (model.expectation(*subject), open) {
                    (Expectation::Unknown, true) => model.opened(*subject, now),
                    (Expectation::Unknown, false) => model.closed(*subject, now),
                    _ => {}
                }
            }
        }
        sleep(between(&mut rng, HOLD[0], HOLD[1])).await;
    }
}
