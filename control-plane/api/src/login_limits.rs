//! Limits of password attempts. They prevent guessing of passwords without locking out the owner.
//!
//! | limit in a minute | counted by | applies to |
//! |---|---|---|
//! | 10 | a client and a user | everybody |
//! | 100 | a user, from clients that never logged in to it | clients that never logged in to it |
//! | 60 | a client, whichever users it tries | clients that never logged in to the user |
//! | 10 | a session, its user's own password | that session |
//!
//! So a client that has logged in before is limited only by its own wrong passwords, regardless of
//! other clients. The store records these clients ([`known_clients`](latchkey_store)), because
//! several control planes share them.

use latchkey_model::client_network::ClientNetwork;

use super::throttle::{Throttle, Try};

const OF_PAIR: u32 = 10;
const OF_USER: u32 = 100;
const OF_CLIENT: u32 = 60;
const OF_SESSION: u32 = 10;

/// Counts wrong passwords, and passwords that are being verified.
pub(crate) struct LoginLimits {
    pairs: Throttle,
    users: Throttle,
    clients: Throttle,
    sessions: Throttle,
}

/// A login attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Login<'a> {
    /// The user's id, or an email address without a user.
    pub(crate) user: &'a str,
    pub(crate) client: ClientNetwork,
    /// True if the client has logged in to the user before.
    pub(crate) known: bool,
}

/// A counted login attempt. It stays counted unless it is withdrawn or succeeds.
pub(crate) struct LoginTry<'a> {
    pair: Try<'a>,
    others: Vec<Try<'a>>,
}

impl LoginLimits {
    pub(crate) fn new() -> Self {
        let [pairs, users, clients, sessions] =
            [OF_PAIR, OF_USER, OF_CLIENT, OF_SESSION].map(Throttle::new);
        Self {
            pairs,
            users,
            clients,
            sessions,
        }
    }

    /// Counts a login attempt.
    /// Fails with the number of seconds to wait, if there were too many attempts.
    pub(crate) fn begin(&self, login: Login<'_>, now: i64) -> Result<LoginTry<'_>, u32> {
        let Login {
            user,
            client,
            known,
        } = login;
        let client = client.to_string();
        let pair = self.pairs.begin(&format!("{client} {user}"), now)?;
        if known {
            return Ok(LoginTry {
                pair,
                others: vec![self.clients.count(&client, now)],
            });
        }
        let of_user = match self.users.begin(user, now) {
            Ok(of_user) => of_user,
            Err(wait) => {
                pair.withdraw();
                return Err(wait);
            }
        };
        match self.clients.begin(&client, now) {
            Ok(of_client) => Ok(LoginTry {
                pair,
                others: vec![of_user, of_client],
            }),
            Err(wait) => {
                pair.withdraw();
                of_user.withdraw();
                Err(wait)
            }
        }
    }

    /// Counts an attempt of the user's own password in a session, given by its digest. Other
    /// sessions and logins are unaffected.
    /// Fails with the number of seconds to wait, if there were too many attempts.
    pub(crate) fn begin_in_session(&self, session: &str, now: i64) -> Result<Try<'_>, u32> {
        self.sessions.begin(session, now)
    }
}

impl LoginTry<'_> {
    /// Uncounts an attempt whose password was not verified.
    pub(crate) fn withdraw(self) {
        self.pair.withdraw();
        self.others.into_iter().for_each(Try::withdraw);
    }

    /// Uncounts an attempt with the right password, and the client's earlier wrong ones.
    pub(crate) fn succeeded(self) {
        self.pair.forgive();
        self.others.into_iter().for_each(Try::withdraw);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u32) -> ClientNetwork {
        ClientNetwork::from_address(Some(std::net::Ipv4Addr::from_bits(n).into()))
    }

    fn login(user: &str, n: u32, known: bool) -> Login<'_> {
        Login {
            user,
            client: client(n),
            known,
        }
    }

    /// Returns the number of accepted attempts among those with wrong passwords.
    fn tried(limits: &LoginLimits, logins: impl Iterator<Item = (String, u32)>) -> usize {
        logins
            .filter(|(user, n)| limits.begin(login(user, *n, false), 100).is_ok())
            .count()
    }

    fn is_let_through(limits: &LoginLimits, login: Login<'_>) -> bool {
        limits.begin(login, 100).map(LoginTry::withdraw).is_ok()
    }

    #[test]
    fn failures_of_one_client_block_it() {
        let limits = LoginLimits::new();
        assert_eq!(
            tried(&limits, (0..200).map(|_| ("victim".to_owned(), 1))),
            10
        );
        assert!(
            !is_let_through(&limits, login("victim", 1, true)),
            "not even if it is known"
        );
        for known in [true, false] {
            assert!(is_let_through(&limits, login("victim", 2, known)));
        }
        assert!(is_let_through(&limits, login("other", 1, false)));
        assert_eq!(
            tried(&limits, (0..200).map(|n| (format!("user {n}"), 1))),
            50,
            "60 with those before"
        );
    }

    #[test]
    fn failures_of_many_spare_known_clients() {
        let limits = LoginLimits::new();
        assert_eq!(
            tried(&limits, (0..500).map(|n| ("victim".to_owned(), n))),
            100
        );
        assert!(!is_let_through(&limits, login("victim", 1_000, false)));
        assert!(is_let_through(&limits, login("victim", 1_000, true)));
        assert!(is_let_through(&limits, login("other", 1_000, false)));
    }

    #[test]
    fn known_client_has_its_own_limit() {
        let limits = LoginLimits::new();
        assert_eq!(
            tried(&limits, (0..100).map(|n| (format!("user {n}"), 1))),
            60
        );
        assert!(!is_let_through(&limits, login("mine", 1, false)));
        let ten = (0..20)
            .filter(|_| limits.begin(login("mine", 1, true), 100).is_ok())
            .count();
        assert_eq!(ten, 10);
    }

    #[test]
    fn right_password_forgives_its_client() {
        let limits = LoginLimits::new();
        for _ in 0..9 {
            drop(limits.begin(login("mine", 1, false), 100).ok().unwrap());
        }
        limits
            .begin(login("mine", 1, false), 100)
            .ok()
            .unwrap()
            .succeeded();
        assert_eq!(tried(&limits, (0..20).map(|_| ("mine".to_owned(), 1))), 10);
    }

    #[test]
    fn refused_tries_count_nowhere() {
        let limits = LoginLimits::new();
        assert_eq!(
            tried(&limits, (0..100).map(|n| (format!("user {n}"), 1))),
            60
        );
        for _ in 0..1_000 {
            assert!(!is_let_through(&limits, login("victim", 1, false)));
        }
        assert_eq!(
            tried(&limits, (2..500).map(|n| ("victim".to_owned(), n))),
            100
        );
    }

    #[test]
    fn session_passwords_have_their_own_limit() {
        let limits = LoginLimits::new();
        let tries = |session| {
            (0..50)
                .filter(|_| limits.begin_in_session(session, 100).is_ok())
                .count()
        };
        assert_eq!((tries("one"), tries("two"), tries("one")), (10, 10, 0));
        assert!(is_let_through(&limits, login("victim", 1, false)));
    }
}
