//! Tests deletions of users and accounts that have more keys than one transaction removes, between
//! any two steps.

use super::*;
use crate::{
    Authorized, Credential, KeyQuery, KeyState, NewAccount, NewKey, NewUser, OpenMode, PageQuery,
};
use latchkey_model::authority::Authority;
use latchkey_model::client_network::ClientNetwork;
use latchkey_model::explain::{DescribedRequest, explain};
use latchkey_model::limits::DeclaredLimits;
use latchkey_model::random;
use latchkey_model::secret::SessionToken;
use latchkey_model::selection::Selection;
use latchkey_policy::key::{Environment, KeyFormat, PlainKey};
use latchkey_policy::limit::{Limits, Window};
use latchkey_policy::record::{Kind, PolicyRecord, Records};
use latchkey_policy::settings::SettingsRecord;
use latchkey_policy::verdict::Code;
use tempfile::TempDir;

const KEYS: u32 = 3 * AT_ONCE;

struct World {
    directory: TempDir,
    store: Store,
    admin: Credential,
    account_id: String,
    zoe: String,
    secrets: Vec<PlainKey>,
    ids: Vec<String>,
}

impl World {
    /// Creates an account with an administrator who has one key, and a user who has many, each with
    /// a separate policy.
    async fn new() -> Self {
        Self::with_keys(KEYS).await
    }

    async fn with_keys(count: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(
            &directory.path().join("latchkey.db"),
            OpenMode::CreateIfMissing,
        )
        .await
        .unwrap();
        store
            .add_admin("admin@localhost", "hash", false, 0)
            .await
            .unwrap();
        let admin = store.credentials("admin@localhost").await.unwrap().unwrap();
        let token = SessionToken::generate().unwrap().hash();
        assert!(
            store
                .begin_session(
                    &token,
                    &admin,
                    ClientNetwork::from_address(None),
                    &Origin::default(),
                    0
                )
                .await
                .unwrap()
        );
        let credential = Credential::Session(token);
        let mut world = Self {
            directory,
            store,
            admin: credential,
            account_id: admin.account_id.clone(),
            zoe: String::new(),
            secrets: Vec::new(),
            ids: Vec::new(),
        };
        let zoe = |_: &Caller, _: &[String]| {
            let (email, password_hash) = ("zoe@localhost".to_owned(), "hash".to_owned());
            let (authority, subaccounts) = (Authority::default(), Selection::All);
            Ok::<_, StoreError>(NewUser {
                email,
                password_hash,
                authority,
                subaccounts,
            })
        };
        world.zoe = world.acting().create_user(zoe).await.unwrap().id;
        world
            .make_keys(&admin.account_id, &admin.user_id, "admins", 1)
            .await;
        let (account_id, zoe) = (world.account_id.clone(), world.zoe.clone());
        (world.secrets, world.ids) = world.make_keys(&account_id, &zoe, "zoes", count).await;
        world
    }

    fn acting(&self) -> Authorized {
        self.store
            .acting(self.admin.clone(), None, Origin::default(), 7)
    }

    async fn make_keys(
        &self,
        account_id: &str,
        user_id: &str,
        name: &str,
        count: u32,
    ) -> (Vec<PlainKey>, Vec<String>) {
        let secret = || {
            KeyFormat::default()
                .generate(Environment::Live, random::fill)
                .unwrap()
        };
        let secrets: Vec<_> = (0..count).map(|_| secret()).collect();
        let keys = (1_u32..).zip(&secrets).map(|(number, secret)| {
            let mut key = NewKey::new(
                account_id,
                user_id,
                &format!("{name} {number}"),
                secret,
                "basic",
                Environment::Live,
            );
            key.settings.limits =
                DeclaredLimits(Limits::default().with(Window::Hour, Some(number)));
            key
        });
        let keys: Vec<_> = keys.collect();
        let created = self.store.create_keys(&keys, 1).await.unwrap();
        (
            secrets,
            created.keys.into_iter().map(|key| key.id).collect(),
        )
    }

    async fn delete_zoe(&self) -> (u64, u64) {
        let deleted = self
            .acting()
            .delete_user(self.zoe.clone(), |_, _| Ok::<_, StoreError>(()))
            .await
            .unwrap();
        (deleted.revoked_keys, deleted.revision)
    }

    async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.store.0.readers)
            .await
            .unwrap()
    }

    /// Counts the rows of the user's keys that are not revoked yet.
    async fn rows(&self) -> i64 {
        self.number("SELECT COUNT(*) FROM keys WHERE revoked_at IS NULL AND name LIKE 'zoes%'")
            .await
    }

    async fn total(&self, state: KeyState) -> usize {
        let page = PageQuery {
            limit: 1_000,
            after: None,
            search: None,
        };
        let query = KeyQuery {
            state,
            ..KeyQuery::default()
        };
        self.store
            .keys(&self.account_id, &query, &page, 9)
            .await
            .unwrap()
            .rows
            .len()
    }

    /// Checks what must hold from the deletion on, after any number of steps.
    async fn assert_ended(&self) {
        for (secret, id) in self.secrets.iter().zip(&self.ids).step_by(150) {
            let key = self.store.key(&self.account_id, id).await.unwrap();
            assert_eq!(key.revoked_at, Some(7));
            let credential = Credential::Key(secret.digest());
            let refused = self.store.caller(&credential, None, 9).await.unwrap_err();
            assert!(
                matches!(refused, StoreError::KeyRefused(Code::InvalidKey)),
                "{refused}"
            );
            let facts = self
                .store
                .facts(&self.account_id, &[secret.digest()], 9)
                .await
                .unwrap();
            let request = DescribedRequest {
                method: "GET".to_owned(),
                host: String::new(),
                path: "/".to_owned(),
                headers: Default::default(),
                source_address: None,
                key: Some(secret.digest()),
            };
            assert_eq!(
                explain(&facts, &request, &KeyFormat::default())
                    .unwrap()
                    .verdict
                    .code,
                Code::InvalidKey
            );
            let edit = self
                .acting()
                .edit_key(id.clone(), |_, _| Ok::<_, StoreError>(()))
                .await
                .unwrap_err();
            assert!(matches!(edit, StoreError::KeyRevoked), "{edit}");
        }
        assert_eq!(self.total(KeyState::Live).await, 1);
        assert_eq!(self.total(KeyState::Active).await, 1);
        assert_eq!(self.total(KeyState::Revoked).await, KEYS as usize);
        assert_eq!(
            self.store.account(&self.account_id, 0).await.unwrap().keys,
            1
        );
        let secret = KeyFormat::default()
            .generate(Environment::Live, random::fill)
            .unwrap();
        let key = NewKey::new(
            &self.account_id,
            &self.zoe,
            "late",
            &secret,
            "basic",
            Environment::Live,
        );
        let refused = self.store.create_keys(&[key], 9).await.unwrap_err();
        assert!(matches!(refused, StoreError::UserNotFound), "{refused}");
        assert_eq!(
            self.delete_zoe().await,
            (KEYS.into(), self.store.revision()),
            "asked again, it is the same"
        );
    }

    /// Returns the ended owners that nodes receive, in the record of that format.
    async fn ended_owners_sent(&self, format: usize) -> Vec<String> {
        let records = self.store.encoded_routes().await.unwrap().0;
        SettingsRecord::decode(&records[format])
            .unwrap()
            .ended_owners()
            .to_vec()
    }
}

#[tokio::test]
async fn keys_are_revoked_before_their_rows() {
    let mut world = World::new().await;
    let before = world.store.revision();
    let (keys, revision) = world.delete_zoe().await;
    assert_eq!((keys, revision), (KEYS.into(), before + 1));
    assert_eq!(world.rows().await, i64::from(KEYS - AT_ONCE));
    let changes = world.store.changes_since(before).await.unwrap();
    assert_eq!(
        (changes.to, changes.ended_since),
        (revision, Some(revision))
    );
    assert_eq!(
        (
            world.ended_owners_sent(0).await,
            world.ended_owners_sent(1).await
        ),
        (vec![], vec![world.zoe.clone()])
    );
    // The removed and the new policies belong to others: nothing else is sent for the deletion.
    assert!(
        Records::new(
            Kind::Policy,
            &changes.policies.into_iter().collect::<Vec<_>>().concat()
        )
        .all(|record| { PolicyRecord::decode(record.unwrap().1).unwrap().user != world.zoe })
    );
    world.assert_ended().await;

    // Another process continues.
    let step = world.store.continue_removal(150, 8).await.unwrap();
    assert!(step.more);
    assert_eq!(world.rows().await, i64::from(KEYS - AT_ONCE - 150));
    world.assert_ended().await;
    world.store.close().await;
    world.store = Store::open(
        &world.directory.path().join("latchkey.db"),
        OpenMode::Existing,
    )
    .await
    .unwrap();
    world.assert_ended().await;
    assert!(world.store.has_removals().await.unwrap());
    while world.store.continue_removal(150, 8).await.unwrap().more {}
    assert_eq!(
        (world.rows().await, world.ended_owners_sent(1).await),
        (0, vec![])
    );
    assert!(!world.store.has_removals().await.unwrap());
    world.assert_ended().await;
}

#[tokio::test]
async fn stepwise_deletion_equals_a_single_transaction() {
    let world = World::new().await;
    let before = world.store.revision();
    world.delete_zoe().await;
    while world.store.continue_removal(70, 8).await.unwrap().more {}
    let keys = i64::from(KEYS);
    for (query, expected) in [
        ("SELECT live_keys FROM accounts", 1),
        (
            "SELECT COUNT(*) FROM keys WHERE revoked_at = 7 AND updated_at = 7 AND slot IS NULL",
            keys,
        ),
        (
            "SELECT COUNT(*) FROM audit WHERE action = 'key.revoke' AND actor_name = 'admin@localhost' AND at = 7",
            keys,
        ),
        (
            "SELECT COUNT(DISTINCT target_id) FROM audit WHERE action = 'key.revoke'",
            keys,
        ),
        (
            "SELECT COUNT(*) FROM audit WHERE action = 'user.delete' AND target_name = 'zoe@localhost'",
            1,
        ),
        // The slots that were freed last are reused last, though their keys were revoked before.
        (
            "SELECT COUNT(*) FROM free_slots WHERE freed_at = 7",
            i64::from(AT_ONCE),
        ),
        (
            "SELECT COUNT(*) FROM free_slots WHERE freed_at = 8",
            keys - i64::from(AT_ONCE),
        ),
    ] {
        assert_eq!(world.number(query).await, expected, "{query}");
    }
    let changes = world.store.changes_since(before).await.unwrap();
    let gone =
        |chunks: super::super::Chunks| chunks.into_iter().map(|chunk| chunk.len()).sum::<usize>();
    assert_eq!(changes.ended_since, None);
    assert_eq!(gone(changes.removed) / 32, KEYS as usize);
    assert_eq!(gone(changes.removed_policies) / 8, KEYS as usize);
}

#[tokio::test]
async fn closed_account_disappears_before_its_rows() {
    let world = World::new().await;
    let new = NewAccount {
        name: "beta".to_owned(),
        tier: "basic".to_owned(),
        max_keys: None,
        email: "admin@beta".to_owned(),
        password_hash: "hash".to_owned(),
    };
    let (account, admin) = world.acting().create_account(new).await.unwrap();
    let (secrets, _) = world
        .make_keys(&account.id, &admin.id, "betas", 2 * AT_ONCE)
        .await;
    for number in 0..2 * AT_ONCE {
        let insert = sqlx::query(
            "INSERT INTO users (id, account_id, email, password_hash, created_at) VALUES (?, ?, ?, '', 0)",
        );
        let insert = insert
            .bind(format!("usr_{number:012}"))
            .bind(&account.id)
            .bind(format!("{number}@beta"));
        insert.execute(&world.store.0.writer).await.unwrap();
    }
    let found = world.store.credentials("399@beta").await.unwrap().unwrap();
    let token = SessionToken::generate().unwrap().hash();
    assert!(
        world
            .store
            .begin_session(
                &token,
                &found,
                ClientNetwork::from_address(None),
                &Origin::default(),
                0
            )
            .await
            .unwrap()
    );
    // A user's removal that has not ended comes first.
    world.delete_zoe().await;
    let (closed, revision) = world
        .acting()
        .close_account(account.id.clone())
        .await
        .unwrap();
    assert_eq!(
        (closed.keys, closed.users, closed.closed_at),
        (0, 0, Some(7))
    );
    let mut told = vec![world.zoe.clone(), account.id.clone()];
    told.sort_unstable();
    assert_eq!(
        (world.ended_owners_sent(1).await, revision),
        (told, world.store.revision())
    );
    let credential = Credential::Key(secrets.last().unwrap().digest());
    let refused = world.store.caller(&credential, None, 9).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::KeyRefused(Code::InvalidKey)),
        "{refused}"
    );
    assert!(world.store.use_session(&token, 1).await.unwrap().is_none());
    assert!(
        !world
            .store
            .begin_session(
                &token,
                &found,
                ClientNetwork::from_address(None),
                &Origin::default(),
                0
            )
            .await
            .unwrap()
    );
    assert!(
        world
            .number("SELECT COUNT(*) FROM users WHERE email LIKE '%@beta'")
            .await
            > 0,
        "nothing is left to try"
    );
    let taken = |_: &Caller, _: &[String]| {
        let (authority, subaccounts) = (Authority::default(), Selection::All);
        let email = "399@beta".to_owned();
        Ok::<_, StoreError>(NewUser {
            email,
            password_hash: String::new(),
            authority,
            subaccounts,
        })
    };
    world.acting().create_user(taken).await.unwrap();

    while world.store.continue_removal(150, 8).await.unwrap().more {}
    assert_eq!(world.ended_owners_sent(1).await, [""; 0]);
    for (query, expected) in [
        ("SELECT SUM(live_keys) FROM accounts", 1),
        ("SELECT COUNT(*) FROM users WHERE deleted_at IS NULL", 2),
        ("SELECT COUNT(*) FROM keys WHERE revoked_at IS NULL", 1),
        ("SELECT COUNT(*) FROM users WHERE email LIKE '%@beta'", 1),
    ] {
        assert_eq!(world.number(query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn few_keys_go_with_their_owner() {
    let world = World::with_keys(AT_ONCE - 1).await;
    let before = world.store.revision();
    assert_eq!(
        world.delete_zoe().await,
        (u64::from(AT_ONCE) - 1, before + 1)
    );
    assert!(!world.store.has_removals().await.unwrap());
    assert_eq!(world.rows().await, 0);
    assert!(
        world
            .store
            .changes_since(before)
            .await
            .unwrap()
            .routes
            .is_none(),
        "nodes need not be told of the owner"
    );
}
