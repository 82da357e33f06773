//! The route rules: one document for all accounts, as nodes have one set of rules.

use latchkey_policy::route::RouteRecord;
use sqlx::SqliteExecutor;

use super::audit::Event;
use super::change::to_its_end;
use super::{Acting, Store, StoreError, from_json, to_json};
use crate::route_document::RouteDocument;

impl Store {
    /// The rules, as people write them.
    pub(crate) async fn routes(&self) -> Result<RouteDocument, StoreError> {
        document(&self.0.readers, 0).await?.ok_or(StoreError::Damaged("the absence of route rules"))
    }

    /// The rules, as nodes get them.
    pub(crate) async fn encoded_routes(&self) -> Result<Vec<u8>, StoreError> {
        encode(&checked(&self.routes().await?)?)
    }
}

impl Acting {
    /// Puts other rules in their place, and returns them as they are kept, with the revision from which on nodes go by
    /// them.
    pub(crate) async fn put_routes(self, routes: &RouteRecord) -> Result<(RouteDocument, u64), StoreError> {
        // Whatever no node could be sent is refused here.
        encode(routes)?;
        let document = RouteDocument::try_from(routes).map_err(|_| StoreError::Damaged("a rule that is no JSON"))?;
        let json = to_json(&document)?;
        to_its_end(async move {
            let mut deed = self.begin().await?;
            let revision = deed.on.revision();
            let before = self::document(deed.on.connection(), 0).await?;
            let before = before.ok_or(StoreError::Damaged("the absence of route rules"))?;
            sqlx::query("UPDATE routes SET document = ?, revision = ?")
                .bind(json)
                .bind(revision)
                .execute(deed.on.connection())
                .await?;
            let revision = deed.commit(&[Event::edited("routes.update", &before, &document)]).await?;
            Ok((document, revision))
        })
        .await
    }
}

/// The rules, if they have changed since `revision`.
pub(super) async fn changed(from: impl SqliteExecutor<'_>, revision: i64) -> Result<Option<RouteRecord>, StoreError> {
    document(from, revision).await?.as_ref().map(checked).transpose()
}

async fn document(from: impl SqliteExecutor<'_>, revision: i64) -> Result<Option<RouteDocument>, StoreError> {
    let query = sqlx::query_scalar("SELECT document FROM routes WHERE revision > ?").bind(revision);
    let json: Option<String> = query.fetch_optional(from).await?;
    json.map(|json| from_json(&json, "the route rules")).transpose()
}

fn checked(document: &RouteDocument) -> Result<RouteRecord, StoreError> {
    document.check().map_err(|_| StoreError::Damaged("a route rule"))
}

pub(super) fn encode(routes: &RouteRecord) -> Result<Vec<u8>, StoreError> {
    let mut record = Vec::new();
    routes.encode(&mut record)?;
    Ok(record)
}
