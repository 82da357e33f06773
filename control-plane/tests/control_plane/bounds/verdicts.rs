//! Tests keys that are created, edited, imported or regenerated with random keys. None admits a
//! request that its calling key would not, and none reports another environment, another owner or a
//! higher tier upstream.

use super::comparison::{beyond, shows_more};
use super::draw::{EDITABLE, FIELDS, Random, SOURCES, fill_in, rules, tables, universe};
use super::evaluator::Evaluator;
use crate::harness::{Answer, Client, Plane, imported};
use crate::node::Node;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

/// An action of a calling key, and the keys with which the outcome is compared.
struct Done {
    /// The name of the key that was created, edited or regenerated.
    key: String,
    /// The names of the keys that bound it: each request that it admits is admitted by one of them.
    within: Vec<String>,
    /// True if a new secret was returned, so that also the upstream headers are compared.
    handed_out: bool,
    what: String,
}

struct Trial<'a> {
    plane: &'a Plane,
    admin: Client<'a>,
    zoe: Client<'a>,
    subaccounts: [String; 2],
    random: Random,
    done: Vec<Done>,
    /// The keys as requested, the names of the calling keys, and whether the calls succeeded.
    attempts: Vec<(String, String, bool)>,
    /// The numbers of accepted and refused calls, by kind.
    outcomes: Map<String, Value>,
}

fn named(mut key: Map<String, Value>, name: &str) -> Value {
    key.insert("name".to_owned(), json!(name));
    key.into()
}

impl<'a> Trial<'a> {
    async fn made(&self, by: &Client<'a>, key: &Map<String, Value>, name: &str) -> Answer {
        let answer = by.generate(named(key.clone(), name)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{key:?}: {answer:?}");
        answer
    }

    /// Makes a call with a key, from an address that it admits; `None` if it admits none.
    async fn call(&self, key: &str, method: Method, path: &str, body: &Value) -> Option<Answer> {
        for source in SOURCES {
            let mut request = self
                .plane
                .request(method.clone(), path)
                .bearer_auth(key)
                .json(body);
            if let Some(source) = source {
                request = request.header("x-forwarded-for", source);
            }
            let answer = Answer::to(request).await;
            if answer.body["code"] != "ip_denied" {
                return Some(answer);
            }
        }
        None
    }

    fn note(&mut self, kind: &str, accepted: bool) {
        let outcome = if accepted { "accepted" } else { "refused" };
        let count = self
            .outcomes
            .entry(kind.to_owned())
            .or_insert_with(|| json!({"accepted": 0, "refused": 0}));
        count[outcome] = json!(count[outcome].as_u64().unwrap() + 1);
    }

    async fn step(&mut self, n: usize) {
        let own = self.random.key(&self.subaccounts);
        let caller = format!("caller-{n}");
        let made = self.made(&self.admin, &own, &caller).await;
        let (id, secret) = (made.text("/data/key_id"), made.text("/data/api_key"));
        let body = self.random.changed(&own, &FIELDS, &self.subaccounts);
        match self.random.below(5) {
            0 | 1 => self.make(n, &caller, &secret, &own, body).await,
            2 => {
                let owned_by_zoe = self.random.one_in(4);
                self.regenerate(n, &caller, &secret, &body, owned_by_zoe)
                    .await;
            }
            3 => {
                let owned_by_zoe = self.random.one_in(4);
                self.edit(n, &caller, &secret, &body, owned_by_zoe).await;
            }
            _ => self.edit_itself(n, (&caller, &id), &secret, &own).await,
        }
    }

    async fn make(
        &mut self,
        n: usize,
        caller: &str,
        secret: &str,
        own: &Map<String, Value>,
        mut body: Map<String, Value>,
    ) {
        let (name, imports) = (format!("made-{n}"), self.random.one_in(3));
        let whole = self.random.one_in(2);
        if whole {
            // A session creates the key for comparison. Omitted attributes are those of the calling
            // key.
            fill_in(&mut body, own);
            self.made(&self.admin, &body, &format!("asked-{n}")).await;
        } else {
            body.retain(|_, _| !self.random.one_in(4));
        }
        let mut body = named(body, &name);
        let path = if imports {
            body["sha256"] = imported(&name, &name)["sha256"].clone();
            body = json!({"keys": [body]});
            "/v1/keys/import"
        } else {
            "/v1/keys/generate"
        };
        let Some(answer) = self.call(secret, Method::POST, path, &body).await else {
            return;
        };
        let accepted = answer.status == StatusCode::CREATED;
        assert!(
            accepted || answer.status == StatusCode::FORBIDDEN,
            "{body}: {answer:?}"
        );
        self.note(if imports { "import" } else { "generate" }, accepted);
        if whole {
            self.attempts
                .push((format!("asked-{n}"), caller.to_owned(), accepted));
        }
        if accepted {
            let what = format!("{caller} made {body}");
            self.done.push(Done {
                key: name.clone(),
                within: vec![caller.to_owned()],
                handed_out: true,
                what,
            });
            let id = if imports {
                answer.text("/data/keys/0/key_id")
            } else {
                answer.text("/data/key_id")
            };
            if self.random.one_in(2) {
                self.edit_made(secret, caller, (&name, &id)).await;
            }
        }
    }

    /// Makes a second step with a key that was created: it is edited or regenerated, or the tiers
    /// change.
    async fn edit_made(&mut self, secret: &str, caller: &str, (name, id): (&str, &str)) {
        let field = *self.random.pick(&[
            "limits",
            "limits",
            "expires_at",
            "allowed_ips",
            "denied_ips",
        ]);
        let edit = [(
            field.to_owned(),
            self.random.edited(field, &self.subaccounts),
        )]
        .into_iter()
        .collect();
        self.edited(id, name, vec![caller.to_owned()], secret, edit)
            .await;
        let path = format!("/v1/keys/{id}/regenerate");
        if let Some(answer) = self.call(secret, Method::POST, &path, &json!({})).await {
            assert_eq!(
                answer.status,
                StatusCode::OK,
                "{name}, which {caller} made: {answer:?}"
            );
        }
    }

    async fn regenerate(
        &mut self,
        n: usize,
        caller: &str,
        secret: &str,
        body: &Map<String, Value>,
        owned_by_zoe: bool,
    ) {
        let name = format!("other-{n}");
        let by = if owned_by_zoe { &self.zoe } else { &self.admin };
        let id = self.made(by, body, &name).await.text("/data/key_id");
        let path = format!("/v1/keys/{id}/regenerate");
        let Some(answer) = self.call(secret, Method::POST, &path, &json!({})).await else {
            return;
        };
        self.note("regenerate", answer.status == StatusCode::OK);
        if answer.status == StatusCode::OK {
            let what = format!("{caller} regenerated {body:?}");
            self.done.push(Done {
                key: name,
                within: vec![caller.to_owned()],
                handed_out: true,
                what,
            });
        } else {
            answer.refused(403, &answer.text("/code"));
        }
    }

    async fn edit(
        &mut self,
        n: usize,
        caller: &str,
        secret: &str,
        body: &Map<String, Value>,
        owned_by_zoe: bool,
    ) {
        let [name, before] = [format!("edited-{n}"), format!("before-{n}")];
        let by = if owned_by_zoe { &self.zoe } else { &self.admin };
        let id = self.made(by, body, &name).await.text("/data/key_id");
        let id_before = self.made(by, body, &before).await.text("/data/key_id");
        let disabled = self.random.one_in(3);
        if disabled {
            for key in [&id, &id_before] {
                let answer = self
                    .admin
                    .patch(&format!("/v1/keys/{key}"), json!({"active": false}))
                    .await;
                assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            }
        }
        let mut edit = Map::new();
        for _ in 0..=self.random.below(2) {
            let field = *self.random.pick(&EDITABLE);
            edit.insert(
                field.to_owned(),
                self.random.edited(field, &self.subaccounts),
            );
        }
        if disabled && self.random.one_in(2) {
            edit.insert("active".to_owned(), json!(true));
        }
        self.edited(&id, &name, vec![caller.to_owned(), before], secret, edit)
            .await;
    }

    async fn edit_itself(
        &mut self,
        n: usize,
        (caller, id): (&str, &str),
        secret: &str,
        own: &Map<String, Value>,
    ) {
        let before = format!("before-{n}");
        self.made(&self.admin, own, &before).await;
        let field = *self.random.pick(&EDITABLE);
        let edit = [(
            field.to_owned(),
            self.random.edited(field, &self.subaccounts),
        )]
        .into_iter()
        .collect();
        self.edited(id, caller, vec![before], secret, edit).await;
    }

    /// Compares the verdicts on all keys that were changed, with the current tiers.
    async fn compare(&self) {
        let evaluator = Evaluator::new(&Node::ready(self.plane).await.snapshot);
        let universe = universe(&self.subaccounts);
        for Done {
            key,
            within,
            handed_out,
            what,
        } in &self.done
        {
            let beyond = beyond(&evaluator, &universe, key, within);
            assert!(beyond.is_none(), "{what}: {beyond:?}");
            assert!(
                !handed_out || !shows_more(&evaluator, key, &within[0]),
                "{what}"
            );
        }
    }

    /// Compares the requested keys: exactly those that exceed the calling key must be refused.
    async fn compare_attempts(&mut self) {
        let evaluator = Evaluator::new(&Node::ready(self.plane).await.snapshot);
        let universe = universe(&self.subaccounts);
        for (key, own, accepted) in self.attempts.drain(..) {
            let within = [own.clone()];
            let more = shows_more(&evaluator, &key, &own)
                || beyond(&evaluator, &universe, &key, &within).is_some();
            let of_no_use = beyond(&evaluator, &universe, &key, &[]).is_none();
            assert!(
                of_no_use || accepted != more,
                "{key} as {own}: {:?}, {:?}",
                evaluator.policy(&key),
                evaluator.policy(&own)
            );
        }
    }

    async fn edited(
        &mut self,
        id: &str,
        name: &str,
        within: Vec<String>,
        secret: &str,
        edit: Map<String, Value>,
    ) {
        let (path, edit) = (format!("/v1/keys/{id}"), edit.into());
        let Some(answer) = self.call(secret, Method::PATCH, &path, &edit).await else {
            return;
        };
        self.note("edit", answer.status == StatusCode::OK);
        if answer.status == StatusCode::OK {
            let what = format!("{name} of {within:?} edited: {edit}");
            self.done.push(Done {
                key: name.to_owned(),
                within,
                handed_out: false,
                what,
            });
        } else {
            answer.refused(403, &answer.text("/code"));
        }
    }
}

#[tokio::test]
async fn derived_keys_stay_within_their_maker() {
    let flags = ["--trusted-hops=1", "--calls-per-minute=100000"];
    let plane = Plane::start_with(&flags).await;
    let admin = plane.log_in().await;
    for service in ["dns", "cdn"] {
        admin.service(service).await;
    }
    let subaccounts = [
        admin.subaccount("dev").await,
        admin.subaccount("prod").await,
    ];
    let routes = admin.put("/v1/routes", rules()).await;
    assert_eq!(routes.status, StatusCode::OK, "{routes:?}");
    admin
        .user("zoe@localhost", json!({"roles": ["admin"]}))
        .await;
    let zoe = plane.client("zoe@localhost").await;
    let (done, attempts, outcomes) = (Vec::new(), Vec::new(), Map::new());
    let random = Random(11);
    let mut trial = Trial {
        plane: &plane,
        admin,
        zoe,
        subaccounts,
        random,
        done,
        attempts,
        outcomes,
    };
    for n in 0..800 {
        trial.step(n).await;
    }
    trial.compare().await;
    trial.compare_attempts().await;
    for (phase, tiers) in (1..).zip(tables()) {
        let answer = trial.admin.put("/v1/tiers", tiers).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        for n in 0..100 {
            trial.step(phase * 1_000 + n).await;
        }
        trial.compare().await;
    }
    for kind in ["generate", "import", "regenerate", "edit"] {
        let outcomes = &trial.outcomes[kind];
        let often = |outcome: &str| outcomes[outcome].as_u64().unwrap() >= 20;
        assert!(
            often("accepted") && often("refused"),
            "{:?}",
            trial.outcomes
        );
    }
}
