//! The first user.

use latchkey_model::secret::Password;
use latchkey_store::Store;
use std::io::{self, Write as _};
use tracing::warn;

use super::StartError;
use crate::config::AdminConfig;
use crate::password::Passwords;

/// Creates the first user. Also creates one if no administrator exists or if the setting requests
/// it.
pub(super) async fn create(
    store: &Store,
    passwords: &Passwords,
    config: &AdminConfig,
    now: i64,
) -> Result<(), StartError> {
    if !config.recover && !store.lacks_admin().await? {
        return Ok(());
    }
    if store.credentials(&config.email).await?.is_some() {
        warn!(
            email = config.email,
            "no administrator is created, because this user exists already: set another email \
             address"
        );
        return Ok(());
    }

    let password = match &config.password {
        Some(password) => password.clone(),
        None => {
            let password = Password::generate()?;
            // Shown before the user is created: a user with a password that nobody saw would lock
            // everybody out.
            show(&config.email, &password).map_err(StartError::Stdout)?;
            password
        }
    };

    let hash = passwords.hash(password, "").await?;
    store
        .add_admin(&config.email, &hash, config.recover, now)
        .await?;
    Ok(())
}

/// Prints the password to stdout, the only place that ever shows it. It is not logged.
fn show(email: &str, password: &Password) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(
        stdout,
        "Password of {email}, shown only once: {}",
        password.expose()
    )?;
    stdout.flush()
}
