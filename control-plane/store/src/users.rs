//! Users and their grants, which bound each of their keys.

mod deletion;

use latchkey_model::authority::Authority;
use latchkey_model::random;
use latchkey_model::role::Role;
use latchkey_model::selection::Selection;
use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection, SqliteExecutor};

use super::audit::{Event, Target};
use super::insert::{self, Columns, NewRow};
use super::keys::KeyOwner;
use super::page::{BY_CREATION, List, PageQuery, Paged};
use super::policies::{self, PolicyScope};
use super::revision::run_to_completion;
use super::{
    Actor, Authorized, Caller, Credential, Store, StoreError, authority, disclosures,
    listed_to_json, selection, subaccounts, to_json,
};

pub use deletion::DeletedUser;
pub(super) use deletion::{delete_some, log_out};

/// A user, as the API shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's id: `usr_…`
    pub id: String,
    /// The email address, in lower case. It is unique among the users of all accounts.
    pub email: String,
    /// The permissions of the user and their keys.
    pub authority: Authority,
    /// The subaccounts that they and their keys may act on.
    pub subaccounts: Selection,
    /// The user and their keys are refused at present.
    pub disabled: bool,
    /// The time of creation, in Unix seconds.
    pub created_at: i64,
}

impl User {
    /// Returns whether they can undo any change by others.
    fn is_administrator(&self) -> bool {
        !self.disabled && self.subaccounts == Selection::All && self.authority.is_everything()
    }

    /// Returns whether keys of the two users are decided alike.
    fn decides_like(&self, other: &Self) -> bool {
        let decisive = |user: &Self| {
            (
                user.disabled,
                user.subaccounts.canonical(),
                user.authority.patterns(),
            )
        };
        decisive(self) == decisive(other)
    }
}

/// A user to create.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The email address, in lower case.
    pub email: String,
    /// The hash of the password, as a PHC string.
    pub password_hash: String,
    /// The permissions.
    pub authority: Authority,
    /// The subaccounts that they may act on.
    pub subaccounts: Selection,
}

impl NewUser {
    /// Returns a new user with all permissions.
    pub(super) fn administrator(email: String, password_hash: String) -> Self {
        let authority = Authority {
            roles: vec![Role::ADMIN],
            permissions: Vec::new(),
        };
        Self {
            email,
            password_hash,
            authority,
            subaccounts: Selection::All,
        }
    }
}

const USERS: List = List {
    columns: "*",
    table: "user_details",
    number: "seq",
    searched: &["email", "id"],
};

impl Store {
    /// Returns one of the account's users.
    pub async fn user(&self, account_id: &str, id: &str) -> Result<User, StoreError> {
        find(&self.0.readers, account_id, id).await
    }

    /// Returns a page of the account's users, the oldest first.
    pub async fn users(
        &self,
        account_id: &str,
        page: &PageQuery,
    ) -> Result<Paged<User>, StoreError> {
        let of_account = |select: &mut QueryBuilder<Sqlite>| {
            select
                .push("account_id = ")
                .push_bind(account_id.to_owned());
        };
        let found = USERS
            .page(&self.0.lists, BY_CREATION, page, of_account)
            .await?;
        found.try_map(|row: UserRow| User::try_from(row))
    }
}

impl Authorized {
    /// Adds the user that `new` returns to the caller's account. `new` gets the caller and the ids
    /// of the account's subaccounts; if it fails, no user is added. Fails with
    /// [`StoreError::EmailTaken`].
    pub async fn create_user<E: From<StoreError> + Send + 'static>(
        self,
        new: impl FnOnce(&Caller, &[String]) -> Result<NewUser, E> + Send + 'static,
    ) -> Result<User, E> {
        run_to_completion(async move {
            let mut authorized = self.begin_local().await?;
            let account_id = &authorized.caller.account_id;
            let existing = subaccounts::ids(&mut *authorized.tx, account_id).await?;
            let new = new(&authorized.caller, &existing)?;
            if let Some(event) =
                disclosures::of_email(&mut authorized.tx, &authorized.caller, &new.email, self.now)
                    .await?
            {
                authorized.commit(&[event]).await?;
                return Err(StoreError::EmailTaken.into());
            }
            let user = insert(&mut authorized.tx, account_id, new, self.now).await?;
            authorized
                .commit(&[Event::created("user.create", &user)])
                .await?;
            Ok(user)
        })
        .await
    }

    /// Edits one of the account's users. `edit` gets the caller, the ids of the account's
    /// subaccounts and the present user; if it fails, nothing changes. Returns the revision from
    /// which on their keys are decided by the edit. A user who is disabled or gets another password
    /// is logged out everywhere. Fails with [`StoreError::EmailTaken`], and with
    /// [`StoreError::LastAdministrator`] if the account would have no user left who can undo every
    /// change.
    pub async fn edit_user<E: From<StoreError> + Send + 'static>(
        self,
        id: String,
        password_hash: Option<String>,
        edit: impl FnOnce(&Caller, &[String], &mut User) -> Result<(), E> + Send + 'static,
    ) -> Result<(User, u64), E> {
        run_to_completion(async move {
            let mut authorized = self.begin().await?;
            let before = find(
                authorized.tx.connection(),
                &authorized.caller.account_id,
                &id,
            )
            .await?;
            authorized.expect(&before)?;
            let (change, caller) = (&mut authorized.tx, &authorized.caller);
            let existing = subaccounts::ids(change.connection(), &caller.account_id).await?;
            let mut user = before.clone();
            edit(caller, &existing, &mut user)?;
            if user.email != before.email
                && let Some(event) =
                    disclosures::of_email(change.connection(), caller, &user.email, self.now)
                        .await?
            {
                authorized.commit(&[event]).await?;
                return Err(StoreError::EmailTaken.into());
            }
            update(change.connection(), &user).await?;
            let steps_down = before.is_administrator() && !user.is_administrator();
            if steps_down && !have_administrator(change.connection(), &caller.account_id).await? {
                return Err(StoreError::LastAdministrator.into());
            }
            if let Some(hash) = &password_hash {
                let query = sqlx::query("UPDATE users SET password_hash = ? WHERE id = ?")
                    .bind(hash)
                    .bind(&id);
                query
                    .execute(change.connection())
                    .await
                    .map_err(StoreError::from)?;
            }
            if user.disabled || password_hash.is_some() {
                log_out(change.connection(), KeyOwner::User(&id)).await?;
            }
            if !user.decides_like(&before) {
                policies::stamp(change, PolicyScope::User(&id)).await?;
            }
            let mut event = Event::edited("user.update", &before, &user);
            if password_hash.is_some() {
                event = event.with_other("password");
            }
            let revision = authorized.commit(&[event]).await?;
            Ok((user, revision))
        })
        .await
    }
}

impl Authorized {
    /// Sets the password of the calling user, if the present one is still the one that was
    /// `verified`, and ends all other sessions of theirs. Fails with [`StoreError::SessionEnded`]
    /// if it is not.
    pub async fn change_password(self, verified: String, hash: String) -> Result<(), StoreError> {
        run_to_completion(async move {
            let mut authorized = self.begin_local().await?;
            let (Credential::Session(token), Actor::User { id, email }) =
                (&self.credential, &authorized.caller.actor)
            else {
                return Err(StoreError::SessionEnded);
            };
            let changed = sqlx::query(
                "UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?",
            )
            .bind(hash)
            .bind(id)
            .bind(verified)
            .execute(&mut *authorized.tx)
            .await?;
            if changed.rows_affected() == 0 {
                return Err(StoreError::SessionEnded);
            }
            let others = sqlx::query("DELETE FROM sessions WHERE user_id = ? AND token_hash <> ?");
            others
                .bind(id)
                .bind(token.as_bytes())
                .execute(&mut *authorized.tx)
                .await?;
            let event = Event::done("user.password", Target::new("user", id, email));
            authorized.commit(&[event]).await
        })
        .await
    }
}

/// Adds a user to an account.
pub(super) async fn insert(
    to: &mut SqliteConnection,
    account_id: &str,
    new: NewUser,
    now: i64,
) -> Result<User, StoreError> {
    let NewUser {
        email,
        password_hash,
        authority,
        subaccounts,
    } = new;
    let user = User {
        id: random::id("usr")?,
        email,
        authority,
        subaccounts,
        disabled: false,
        created_at: now,
    };
    let row = NewUserRow {
        account_id,
        password_hash: &password_hash,
        user: &user,
    };
    insert::insert(to, &[row]).await?;
    Ok(user)
}

/// A user to add, who is not disabled.
struct NewUserRow<'a> {
    account_id: &'a str,
    password_hash: &'a str,
    user: &'a User,
}

impl NewRow for NewUserRow<'_> {
    const TABLE: &'static str = "users";

    fn columns(&self, columns: &mut Columns) -> Result<(), StoreError> {
        let user = self.user;
        columns
            .set("id", &user.id)?
            .set("account_id", self.account_id)?
            .set("email", &user.email)?
            .set("password_hash", self.password_hash)?
            .set("roles", to_json(&user.authority.roles)?)?
            .set("permissions", to_json(&user.authority.permissions)?)?
            .set("subaccounts", listed_to_json(&user.subaccounts)?)?
            .set("created_at", user.created_at)?;
        Ok(())
    }
}

async fn update(to: &mut SqliteConnection, user: &User) -> Result<(), StoreError> {
    const UPDATE: &str = "UPDATE users SET email = ?, roles = ?, permissions = ?, subaccounts = ?, disabled = ? WHERE id = ?";
    sqlx::query(UPDATE)
        .bind(&user.email)
        .bind(to_json(&user.authority.roles)?)
        .bind(to_json(&user.authority.permissions)?)
        .bind(listed_to_json(&user.subaccounts)?)
        .bind(user.disabled)
        .bind(&user.id)
        .execute(to)
        .await?;
    Ok(())
}

/// Returns whether the account has a user who can undo any change by others.
pub(super) async fn have_administrator(
    from: &mut SqliteConnection,
    account_id: &str,
) -> Result<bool, StoreError> {
    const QUERY: &str = "SELECT * FROM user_details \
         WHERE account_id = ? AND NOT disabled AND subaccounts IS NULL";
    let rows: Vec<UserRow> = sqlx::query_as(QUERY)
        .bind(account_id)
        .fetch_all(from)
        .await?;
    for row in rows {
        if User::try_from(row)?.is_administrator() {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) async fn find(
    from: impl SqliteExecutor<'_>,
    account_id: &str,
    id: &str,
) -> Result<User, StoreError> {
    const QUERY: &str = "SELECT * FROM user_details WHERE account_id = ? AND id = ?";
    let row: Option<UserRow> = sqlx::query_as(QUERY)
        .bind(account_id)
        .bind(id)
        .fetch_optional(from)
        .await?;
    row.ok_or(StoreError::UserNotFound)?.try_into()
}

#[derive(FromRow)]
struct UserRow {
    id: String,
    email: String,
    roles: String,
    permissions: String,
    subaccounts: Option<String>,
    disabled: bool,
    created_at: i64,
}

impl TryFrom<UserRow> for User {
    type Error = StoreError;

    fn try_from(row: UserRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            email: row.email,
            authority: authority(&row.roles, &row.permissions)?,
            subaccounts: selection(row.subaccounts.as_deref())?,
            disabled: row.disabled,
            created_at: row.created_at,
        })
    }
}
