//! A control plane that is killed during changes. The changes that it has answered persist, and
//! Envoy decides according to the database.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use latchkey_tests::{
    Connection, CreatedKey, Gateway, Refused, SeededRng, eventually, http_client, request,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const ROUNDS: u64 = 20;
const CLIENTS: u64 = 16;

/// The maximum number of live keys of a client.
const LIVE: usize = 15;

/// The number of earlier rounds' keys that each client checks after every round.
const SAMPLE: usize = 8;

/// The known state of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    name: String,
    active: bool,
    revoked: bool,
}

#[derive(Debug)]
struct Key {
    made: CreatedKey,
    state: State,
    /// The state of the key if the unanswered change was made.
    doubt: Option<State>,
    /// The last round in which it was changed.
    round: u64,
}

/// The addresses and the session of the test.
#[derive(Debug, Clone)]
struct Place {
    api: String,
    session: String,
    gateway: SocketAddr,
    http: reqwest::Client,
}

impl Place {
    /// Makes a call, and returns the response's `data`. Returns none without a response, and then
    /// the call may or may not have been executed.
    ///
    /// # Panics
    /// Panics when the call is refused.
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Option<Value> {
        let call = self
            .http
            .request(method.clone(), format!("{}{path}", self.api))
            .bearer_auth(&self.session);
        let call = if let Some(body) = body {
            call.json(body)
        } else {
            call
        };
        let answer = call.send().await.ok()?;
        let status = answer.status();
        let text = answer.text().await.ok()?;
        let refused = || Refused {
            call: format!("{method} {path}"),
            status: status.as_u16(),
            body: text.clone(),
        };
        assert!(status.is_success(), "{}", refused());
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        Some(answer["data"].take())
    }
}

/// A client that manages its own keys, and remembers the answers to its calls.
#[derive(Debug)]
struct Client {
    number: u64,
    rng: SeededRng,
    place: Place,
    keys: Vec<Key>,
    made: u64,
}

impl Client {
    fn name(&mut self) -> String {
        self.made += 1;
        format!("client {}, name {}", self.number, self.made)
    }

    /// Returns the time to wait for Envoy. It is mostly 0, so that there is more to interrupt.
    fn wait(&mut self) -> String {
        format!("wait_ms={}", self.rng.pick(&[0, 0, 50]))
    }

    /// Changes keys until a call is not answered.
    async fn work(mut self, round: u64) -> Self {
        while self.change(round).await.is_some() {}
        self
    }

    async fn change(&mut self, round: u64) -> Option<()> {
        let live: Vec<_> = (0..self.keys.len())
            .filter(|&key| !self.keys[key].state.revoked)
            .collect();
        if live.is_empty() || live.len() < LIVE && self.rng.once_in(2) {
            return self.make(round).await;
        }
        let key = *self.rng.pick(&live);
        let (wait, name) = (self.wait(), self.name());
        let now = self.keys[key].state.clone();
        let (method, body, then) = match self.rng.below(4) {
            0 => (
                Method::PATCH,
                Some(json!({ "name": name })),
                State { name, ..now },
            ),
            1 => (
                Method::PATCH,
                Some(json!({ "active": !now.active })),
                State {
                    active: !now.active,
                    ..now
                },
            ),
            _ => (
                Method::DELETE,
                None,
                State {
                    revoked: true,
                    ..now
                },
            ),
        };
        let path = format!("/v1/keys/{}?{wait}", self.keys[key].made.key_id);
        (self.keys[key].doubt, self.keys[key].round) = (Some(then), round);
        self.place.call(method, &path, body.as_ref()).await?;
        self.keys[key].settle();
        Some(())
    }

    async fn make(&mut self, round: u64) -> Option<()> {
        let (name, wait) = (self.name(), self.wait());
        let body = json!({ "name": name, "limits": { "minute": u32::MAX } });
        let data = self
            .place
            .call(
                Method::POST,
                &format!("/v1/keys/generate?{wait}"),
                Some(&body),
            )
            .await?;
        let made: CreatedKey = serde_json::from_value(data).unwrap();
        let state = State {
            name,
            active: true,
            revoked: false,
        };
        self.keys.push(Key {
            made,
            state,
            doubt: None,
            round,
        });
        Some(())
    }

    /// Checks the store against the answers, and Envoy against the store: all keys that were
    /// changed in `round` or later, and some of the others. Returns the number of keys that passed
    /// at Envoy, and the number that were refused as revoked.
    async fn verify(mut self, round: u64) -> (Self, [usize; 2]) {
        let mut some: Vec<_> = (0..self.keys.len())
            .filter(|&key| self.keys[key].round >= round)
            .collect();
        if !self.keys.is_empty() {
            some.extend((0..SAMPLE).map(|_| self.rng.below(self.keys.len())));
        }
        let mut envoy = Connection::to(self.place.gateway);
        let mut counts = [0, 0];
        for key in some {
            let key = &mut self.keys[key];
            let path = format!("/v1/keys/{}", key.made.key_id);
            key.holds(&self.place.call(Method::GET, &path, None).await.unwrap());
            let bytes = request("GET", "/", &[("x-api-key", &key.made.api_key)]);
            let answer = envoy.send(&bytes).await.unwrap();
            let State {
                active, revoked, ..
            } = key.state;
            let expected = match (revoked, active) {
                (true, _) => (401, "invalid_key"),
                (false, false) => (401, "disabled_key"),
                (false, true) => (200, ""),
            };
            assert_eq!((answer.status, answer.code()), expected, "{key:?}");
            counts[0] += usize::from(answer.status == 200);
            counts[1] += usize::from(revoked);
        }
        (self, counts)
    }
}

impl Key {
    /// Notes that the unanswered change was made.
    fn settle(&mut self) {
        if let Some(then) = self.doubt.take() {
            self.state = then;
        }
    }

    /// Checks that the API shows the state that was answered, with or without the unanswered
    /// change.
    fn holds(&mut self, reported: &Value) {
        let revoked = reported["revoked_at"].is_string();
        let reported = State {
            name: reported["name"].as_str().unwrap().to_owned(),
            // The API shows a revoked key as inactive, also if it was active before.
            active: reported["active"] == true || revoked && self.state.active,
            revoked,
        };
        if self.doubt.as_ref() == Some(&reported) {
            self.settle();
        }
        self.doubt = None;
        assert_eq!(
            reported, self.state,
            "{} is not what was answered",
            self.made.key_id
        );
    }
}

/// Runs all clients at once. They come back in any order.
async fn all<T>(clients: Vec<Client>, act: impl Fn(Client) -> T) -> Vec<T::Output>
where
    T: Future<Output: Send + 'static> + Send + 'static,
{
    clients
        .into_iter()
        .map(act)
        .collect::<JoinSet<_>>()
        .join_all()
        .await
}

/// Waits until Envoy decides by the newest revision.
async fn caught_up(gateway: &Gateway) -> Result<()> {
    let caught_up = eventually(Duration::from_secs(10), async || {
        let nodes = gateway.control_plane.nodes().await?;
        ensure!(
            nodes.len() == 1 && nodes[0]["connected"] == true && nodes[0]["lag"] == 0,
            "{nodes:?}"
        );
        Ok(())
    });
    caught_up.await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answered_changes_survive_every_crash() {
    let mut gateway = Gateway::start().await;
    let place = Place {
        api: gateway.control_plane.url(""),
        session: gateway.control_plane.login().await.unwrap(),
        gateway: gateway.envoy.gateway(),
        http: http_client(),
    };
    let client = |number| {
        let rng = SeededRng(0x00c0_ffee + number);
        Client {
            number,
            rng,
            place: place.clone(),
            keys: Vec::new(),
            made: 0,
        }
    };
    let mut clients: Vec<_> = (0..CLIENTS).map(client).collect();
    let mut rng = SeededRng(7);
    let (mut passed, mut refused) = (0, 0);
    for round in 1..=ROUNDS {
        let lives = Duration::from_millis(300 + u64::try_from(rng.below(400)).unwrap());
        let working = tokio::spawn(all(clients, move |client| client.work(round)));
        tokio::time::sleep(lives).await;
        gateway.control_plane.kill();
        clients = working.await.unwrap();
        gateway.control_plane.start().await.unwrap();
        // It fails if the database is damaged.
        let backup = gateway.dir().join(format!("after-{round}.db"));
        gateway
            .control_plane
            .run("backup", &[backup.to_str().unwrap()])
            .unwrap();
        std::fs::remove_file(backup).unwrap();

        caught_up(&gateway).await.unwrap();
        let from = if round == ROUNDS { 0 } else { round };
        let verified = all(clients, |client| client.verify(from)).await;
        (clients, passed, refused) = (Vec::new(), 0, 0);
        for (client, counts) in verified {
            (passed, refused) = (passed + counts[0], refused + counts[1]);
            clients.push(client);
        }
        let round_passed = passed >= 10 && refused >= 10;
        assert!(
            round == 1 || round_passed,
            "round {round}: {passed} passed, and {refused} were refused"
        );
    }
    let made: u64 = clients.iter().map(|client| client.made).sum();
    println!(
        "{made} names were given in {ROUNDS} lives; at the end {passed} keys passed, and {refused} were revoked"
    );
}
