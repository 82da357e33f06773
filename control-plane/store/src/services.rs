//! Services: the names to which an account's keys can be scoped.

use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection, SqliteExecutor};
use std::collections::HashSet;

use super::audit::Event;
use super::page::{BY_CREATION, List, PageQuery, Paged};
use super::revision::run_to_completion;
use super::{Authorized, Store, StoreError};

/// The maximum number of services in an account.
pub const MAX_SERVICES: i64 = 1_000;

const SERVICES: List = List {
    columns: "name, description, created_at",
    table: "services",
    number: "rowid",
    searched: &["name", "description"],
};

/// A service proxied by Envoy that scopes and route rules name.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Service {
    /// The name, unique in the account.
    pub name: String,
    /// A description in free text.
    pub description: Option<String>,
    /// The time of creation, in Unix seconds.
    pub created_at: i64,
}

impl Store {
    /// Returns a page of the account's services, the oldest first.
    pub async fn services(
        &self,
        account_id: &str,
        page: &PageQuery,
    ) -> Result<Paged<Service>, StoreError> {
        let of_account = |select: &mut QueryBuilder<Sqlite>| {
            select
                .push("account_id = ")
                .push_bind(account_id.to_owned());
        };
        SERVICES
            .page(&self.0.lists, BY_CREATION, page, of_account)
            .await
    }

    /// Returns one of the account's services.
    pub async fn service(&self, account_id: &str, name: &str) -> Result<Service, StoreError> {
        find(&self.0.readers, account_id, name).await
    }
}

impl Authorized {
    /// Registers a service. Fails with [`StoreError::ServiceNameTaken`], and with
    /// [`StoreError::ServiceLimit`] at [`MAX_SERVICES`].
    pub async fn create_service(
        self,
        name: String,
        description: Option<String>,
    ) -> Result<Service, StoreError> {
        run_to_completion(async move {
            let service = Service { name, description, created_at: self.now };
            let mut authorized = self.begin_local().await?;
            let account_id = &authorized.caller.account_id;
            let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM services WHERE account_id = ?")
                .bind(account_id)
                .fetch_one(&mut *authorized.tx)
                .await?;
            if count >= MAX_SERVICES {
                return Err(StoreError::ServiceLimit);
            }
            sqlx::query("INSERT INTO services (account_id, name, description, created_at) VALUES (?, ?, ?, ?)")
                .bind(account_id)
                .bind(&service.name)
                .bind(&service.description)
                .bind(service.created_at)
                .execute(&mut *authorized.tx)
                .await?;
            authorized.commit(&[Event::created("service.create", &service)]).await?;
            Ok(service)
        })
        .await
    }

    /// Changes a service's description, if `description` is given. Fails with
    /// [`StoreError::ServiceNotFound`].
    pub async fn edit_service(
        self,
        name: String,
        description: Option<Option<String>>,
    ) -> Result<Service, StoreError> {
        run_to_completion(async move {
            let mut authorized = self.begin_local().await?;
            let account_id = &authorized.caller.account_id;
            let before = find(&mut *authorized.tx, account_id, &name).await?;
            let mut after = before.clone();
            after.description = description.unwrap_or(after.description);
            if after == before {
                return Ok(after);
            }
            sqlx::query("UPDATE services SET description = ? WHERE account_id = ? AND name = ?")
                .bind(&after.description)
                .bind(account_id)
                .bind(&name)
                .execute(&mut *authorized.tx)
                .await?;
            authorized
                .commit(&[Event::edited("service.update", &before, &after)])
                .await?;
            Ok(after)
        })
        .await
    }

    /// Removes a service. Fails with [`StoreError::ServiceNotFound`], and with
    /// [`StoreError::ServiceInUse`] while the scope of a live key lists it.
    pub async fn delete_service(self, name: String) -> Result<(), StoreError> {
        run_to_completion(async move {
            let mut authorized = self.begin_local().await?;
            let account_id = &authorized.caller.account_id;
            let service = find(&mut *authorized.tx, account_id, &name).await?;
            if is_used(&mut authorized.tx, account_id, &name).await? {
                return Err(StoreError::ServiceInUse);
            }
            let query = sqlx::query("DELETE FROM services WHERE account_id = ? AND name = ?");
            query
                .bind(account_id)
                .bind(&name)
                .execute(&mut *authorized.tx)
                .await?;
            authorized
                .commit(&[Event::deleted("service.delete", &service)])
                .await
        })
        .await
    }
}

/// Returns the names of the account's services.
pub(super) async fn names(
    from: impl SqliteExecutor<'_>,
    account_id: &str,
) -> Result<HashSet<String>, StoreError> {
    let query =
        sqlx::query_scalar("SELECT name FROM services WHERE account_id = ?").bind(account_id);
    let names: Vec<String> = query.fetch_all(from).await?;
    Ok(names.into_iter().collect())
}

async fn find(
    from: impl SqliteExecutor<'_>,
    account_id: &str,
    name: &str,
) -> Result<Service, StoreError> {
    const QUERY: &str =
        "SELECT name, description, created_at FROM services WHERE account_id = ? AND name = ?";
    let service = sqlx::query_as(QUERY)
        .bind(account_id)
        .bind(name)
        .fetch_optional(from)
        .await?;
    service.ok_or(StoreError::ServiceNotFound)
}

/// Returns whether a live key's scope lists the service. It searches policies, because keys share
/// them and there are fewer of them.
async fn is_used(
    from: &mut SqliteConnection,
    account_id: &str,
    name: &str,
) -> Result<bool, StoreError> {
    const QUERY: &str = "SELECT EXISTS (SELECT 1 FROM policies p, json_each(p.scope) AS listed \
         WHERE p.account_id = ? AND listed.value = ? \
         AND EXISTS (SELECT 1 FROM keys WHERE policy_id = p.id AND revoked_at IS NULL))";
    Ok(sqlx::query_scalar(QUERY)
        .bind(account_id)
        .bind(name)
        .fetch_one(from)
        .await?)
}
