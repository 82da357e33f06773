//! The route rules: one document for all accounts, because nodes have one set of rules. The same
//! record has the other data that a snapshot has once: whether there are imported keys, and the
//! owners whose keys are being removed.

use latchkey_model::route_document::{AffectedRule, RouteDocument, affected_rules};
use latchkey_policy::record::{FORMAT, MIN_FORMAT};
use latchkey_policy::route::{PathCase, RouteRules};
use latchkey_policy::settings::SettingsRecord;
use sqlx::SqliteExecutor;
use tracing::{info, warn};

use super::audit::Event;
use super::revision::{RevisionTx, run_to_completion};
use super::{Authorized, Store, StoreError, from_json, to_json};

/// The record of the route rules in each format that is sent, from
/// [`MIN_FORMAT`](latchkey_policy::record::MIN_FORMAT) on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRecords(pub Vec<Vec<u8>>);

impl Store {
    /// Returns the rules in the form in which people write them.
    pub async fn routes(&self) -> Result<RouteDocument, StoreError> {
        Ok(row(&self.0.readers, 0).await?.ok_or(NONE)?.0)
    }

    /// Returns the rules in the form in which nodes receive them.
    pub async fn encoded_routes(&self) -> Result<RouteRecords, StoreError> {
        encode(&changed(&self.0.readers, 0).await?.ok_or(NONE)?)
    }
}

impl Authorized {
    /// Replaces the rules, and returns them in the stored form, with the revision from which on
    /// nodes decide by them.
    pub async fn put_routes(self, routes: &RouteRules) -> Result<(RouteDocument, u64), StoreError> {
        // Rules that cannot be sent to a node are refused here.
        encode(&routes.clone().into())?;
        let document = RouteDocument::try_from(routes)
            .map_err(|_| StoreError::Damaged("a rule that is no JSON"))?;
        let json = to_json(&document)?;
        run_to_completion(async move {
            let mut authorized = self.begin().await?;
            let revision = authorized.tx.revision();
            let (before, ..) = row(authorized.tx.connection(), 0).await?.ok_or(NONE)?;
            authorized.expect(&before)?;
            sqlx::query("UPDATE routes SET document = ?, revision = ?")
                .bind(json)
                .bind(revision)
                .execute(authorized.tx.connection())
                .await?;
            let revision = authorized
                .commit(&[Event::edited("routes.update", &before, &document)])
                .await?;
            Ok((document, revision))
        })
        .await
    }
}

/// Gives rules that were written before `path_case` existed the default, `refuse`, and logs which
/// of them it affects. Rules that differ from each other only by case keep `distinct`.
pub(super) async fn add_path_case(store: &Store) -> Result<(), StoreError> {
    let text: String = sqlx::query_scalar("SELECT document FROM routes")
        .fetch_one(&store.0.writer)
        .await?;
    let written: serde_json::Value = from_json(&text, "the route rules")?;
    let has_rules = written["rules"]
        .as_array()
        .is_some_and(|rules| !rules.is_empty());
    if !has_rules || written.get("path_case").is_some() {
        return Ok(());
    }
    let document: RouteDocument = from_json(&text, "the route rules")?;
    let routes = document
        .check_without_path_case()
        .map_err(|_| StoreError::Damaged("a route rule"))?;
    let document = RouteDocument::try_from(&routes)
        .map_err(|_| StoreError::Damaged("a rule that is no JSON"))?;
    let mut change = RevisionTx::begin(store).await?;
    sqlx::query("UPDATE routes SET document = ?, revision = ?")
        .bind(to_json(&document)?)
        .bind(change.revision())
        .execute(change.connection())
        .await?;
    change.commit().await?;
    log_upgrade(&routes);
    Ok(())
}

fn log_upgrade(routes: &RouteRules) {
    if routes.path_case() == PathCase::Distinct {
        warn!(
            "route rules now have path_case: distinct, because some differ only by letter case, \
             or by dots and spaces at the end of a segment; upstreams that ignore these \
             differences are not protected"
        );
        return;
    }
    info!(
        "route rules now have path_case: refuse; requests are refused if another rule would apply \
         when letter case, and dots and spaces at the end of a segment, are ignored"
    );
    for AffectedRule {
        rule,
        conflicts_with,
    } in affected_rules(routes)
    {
        warn!(
            rule,
            conflicts_with,
            "requests spelled like this route rule are now refused: an earlier rule differs only \
             by case"
        );
    }
}

const NONE: StoreError = StoreError::Damaged("the absence of route rules");

/// Returns the record, if something in it has changed since `revision`.
pub(super) async fn changed(
    from: impl SqliteExecutor<'_>,
    revision: i64,
) -> Result<Option<SettingsRecord>, StoreError> {
    let Some((document, imported, ended_owners)) = row(from, revision).await? else {
        return Ok(None);
    };
    let routes = document
        .check()
        .map_err(|_| StoreError::Damaged("a route rule"))?;
    let settings = SettingsRecord::from(routes)
        .with_imported(imported)
        .with_ended_owners(ended_owners);
    Ok(Some(settings))
}

/// Returns the rules as they were written, whether there are imported keys, and the owners that
/// have ended.
async fn row(
    from: impl SqliteExecutor<'_>,
    revision: i64,
) -> Result<Option<(RouteDocument, bool, Vec<String>)>, StoreError> {
    const QUERY: &str = "SELECT document, imported, (SELECT json_group_array(subject) FROM removals) FROM routes \
         WHERE revision > ?";
    let row: Option<(String, bool, String)> = sqlx::query_as(QUERY)
        .bind(revision)
        .fetch_optional(from)
        .await?;
    let Some((document, imported, ended)) = row else {
        return Ok(None);
    };
    let document = from_json(&document, "the route rules")?;
    Ok(Some((
        document,
        imported,
        from_json(&ended, "the owners that have ended")?,
    )))
}

pub(super) fn encode(settings: &SettingsRecord) -> Result<RouteRecords, StoreError> {
    let encode = |format| {
        let mut record = Vec::new();
        settings.encode(format, &mut record).map(|()| record)
    };
    Ok(RouteRecords(
        (MIN_FORMAT..=FORMAT)
            .map(encode)
            .collect::<Result<_, _>>()?,
    ))
}
