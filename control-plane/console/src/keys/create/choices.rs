//! The options that the steps offer.

use latchkey_api_types::{Service, ServiceList};
use latchkey_model::tier::Tier;

use super::draft::Step;
use crate::api::Refusal;
use crate::grants::{self, Grantable, Role, Subaccount};
use crate::keys::tiers;
use crate::session::Session;

/// The options of a step.
#[derive(Default)]
pub(super) struct StepChoices {
    pub(super) tiers: Vec<Tier>,
    /// `None` if the user may not list services.
    pub(super) services: Option<Vec<Service>>,
    pub(super) subaccounts: Vec<Subaccount>,
    /// True if the user may list all subaccounts.
    pub(super) lists_subaccounts: bool,
    pub(super) grantable: Grantable,
    pub(super) roles: Vec<Role>,
}

impl StepChoices {
    /// Reads the options of a step.
    pub(super) async fn load(session: &Session, step: Step) -> Result<Self, Refusal> {
        let none = Self::default();
        Ok(match step {
            Step::Details => Self {
                tiers: tiers(session).await?,
                ..none
            },
            Step::Access => {
                let services = services(session).await?;
                let grantable = grants::grantable(session).await?;
                let subaccounts = grants::subaccounts(session, &grantable).await?;
                Self {
                    services,
                    subaccounts,
                    lists_subaccounts: grants::lists_subaccounts(session),
                    grantable,
                    ..none
                }
            }
            Step::Roles => Self {
                grantable: grants::grantable(session).await?,
                roles: grants::roles(session).await?,
                ..none
            },
            Step::Restrictions => none,
        })
    }
}

/// Returns all services, or `None` if the user may not list them.
async fn services(session: &Session) -> Result<Option<Vec<Service>>, Refusal> {
    if !session.user.may("account:services:read") {
        return Ok(None);
    }
    let ServiceList { services, .. } = session.api.get("/v1/services?limit=1000").await?;
    Ok(Some(services))
}
