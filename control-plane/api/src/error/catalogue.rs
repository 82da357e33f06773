//! The errors of the API. A new error is one row here.
//!
//! A row has the error's name and parameters, the HTTP status, the code, the title, and the text,
//! which can contain parameters. Codes are stable. `field` is the field or parameter at fault, and
//! `retry_after` the value of the header `Retry-After`, in seconds.

use latchkey_store::{
    MAX_MANUAL_DELIVERIES, MAX_NODE_TOKENS, MAX_SERVICES, MAX_SUBACCOUNTS, MAX_WEBHOOKS,
};

use super::rows::errors;

errors! {
    // Requests.

    /// The request is invalid.
    Invalid { field: Option<String>, error: String } =
        BAD_REQUEST "invalid_request" "Invalid request"
        "{error}",
        field = field.as_deref();

    /// The path does not exist.
    NotFound =
        NOT_FOUND "not_found" "Not found"
        "This path does not exist.";

    /// The path exists, but does not support the method.
    MethodNotAllowed =
        METHOD_NOT_ALLOWED "method_not_allowed" "Method not allowed"
        "This path does not support the request's method.";

    /// `Content-Type` is not `application/json`.
    UnsupportedMediaType =
        UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" "Unsupported media type"
        "The body must be JSON, with `Content-Type: application/json`.";

    /// The body has more than `max_len` bytes.
    TooLarge { max_len: usize } =
        PAYLOAD_TOO_LARGE "payload_too_large" "Payload too large"
        "The body must have at most {max_len} bytes.";

    /// The body did not arrive in time.
    BodyTimeout =
        REQUEST_TIMEOUT "body_timeout" "Request timeout"
        "The body did not arrive within 5 seconds.";

    /// No entity tag of `If-Match` matches the current version.
    PreconditionFailed =
        PRECONDITION_FAILED "precondition_failed" "Precondition failed"
        "The resource has changed: no entity tag in `If-Match` is the current one. Get it again.";

    /// The `Idempotency-Key` was used with a different body.
    IdempotencyConflict =
        CONFLICT "idempotency_conflict" "Idempotency key already in use"
        "This `Idempotency-Key` was used with a different body. Use a new key for each new call.";

    /// The account has too many recorded calls with an `Idempotency-Key`.
    IdempotencyLimit =
        FORBIDDEN "idempotency_limit" "Too many repeatable calls"
        "The account has made too many calls with an `Idempotency-Key` in the last 24 hours. Send \
        the call without one.";

    // Callers.

    /// The email address or the password is wrong. The response does not reveal which.
    Credentials =
        UNAUTHORIZED "invalid_credentials" "Invalid credentials"
        "Email address or password is wrong.";

    /// The session token is missing, or its session has ended.
    Session =
        UNAUTHORIZED "invalid_session" "Invalid or missing session token"
        "Log in with POST /v1/sessions and send `Authorization: Bearer <token>`, or send an API \
        key.";

    /// The request has two different credentials.
    TwoCredentials =
        UNAUTHORIZED "ambiguous_key" "API key refused"
        "The request has two different credentials.";

    /// The calling key does not exist.
    CallingKeyInvalid =
        UNAUTHORIZED "invalid_key" "API key refused"
        "The API key does not exist or has been revoked.";

    /// The calling key, its owner or its account is disabled.
    CallingKeyDisabled =
        UNAUTHORIZED "disabled_key" "API key refused"
        "The API key, its owner or its account is disabled.";

    /// The calling key has expired.
    CallingKeyExpired =
        UNAUTHORIZED "expired_key" "API key refused"
        "The API key has expired.";

    /// The calling key's IP lists refuse the client's address.
    CallingKeyIpDenied =
        FORBIDDEN "ip_denied" "API key refused"
        "The API key is not allowed from this address.";

    /// The calling key's scope does not include the API.
    CallingKeyOutOfScope =
        FORBIDDEN "out_of_scope" "API key refused"
        "The API key's scope does not include the service `latchkey`.";

    /// The caller lacks a permission that the request requires. `field` would grant it to another
    /// user or key.
    MissingPermission { field: Option<String>, error: String } =
        FORBIDDEN "missing_permission" "Permission missing"
        "{error}",
        field = field.as_deref();

    /// The caller may not act on a subaccount. `field` names it, if the body does.
    SubaccountDenied { field: Option<String>, error: String } =
        FORBIDDEN "subaccount_denied" "Subaccount denied"
        "{error}",
        field = field.as_deref();

    // Limits of calls.

    /// The caller has reached the limit of calls a minute.
    TooManyCalls { limit: u32, seconds: u32 } =
        TOO_MANY_REQUESTS "rate_limited" "Rate limit exceeded"
        "You have exceeded your rate limit of {limit} requests per minute. Please wait {seconds} \
        seconds before retrying.",
        retry_after = *seconds;

    /// There were too many logins.
    TooManyLogins { seconds: u32 } =
        TOO_MANY_REQUESTS "too_many_requests" "Too many requests"
        "Too many login attempts. Please wait and try again.",
        retry_after = *seconds;

    /// Too many passwords are being hashed or verified.
    PasswordsBusy =
        TOO_MANY_REQUESTS "too_many_requests" "Too many requests"
        "Too many passwords are being hashed at once. Please try again.",
        retry_after = 1;

    /// Too many lists and reports of the caller are being read or waiting.
    TooManyReads =
        TOO_MANY_REQUESTS "too_many_requests" "Too many requests"
        "Too many of your lists are being read at once. Please try again.",
        retry_after = 1;

    /// Too many deliveries of the webhook were requested.
    WebhookBusy { seconds: u32 } =
        TOO_MANY_REQUESTS "too_many_requests" "Too many requests"
        "At most {MAX_MANUAL_DELIVERIES} tests and redeliveries of a webhook are accepted in a \
        minute. Please wait {seconds} seconds.",
        retry_after = *seconds;

    /// The caller caused too many conflicts with other accounts.
    TooManyConflicts { seconds: u32 } =
        TOO_MANY_REQUESTS "too_many_conflicts" "Too many requests"
        "Too many of your calls named email addresses or keys that are already taken. Please wait \
        and try again.",
        retry_after = *seconds;

    // Keys.

    /// The account has no API key with this id.
    KeyNotFound =
        NOT_FOUND "key_not_found" "API key not found"
        "The account has no API key with this id.";

    /// Another live key has the name.
    NameTaken =
        CONFLICT "name_taken" "API key name already in use"
        "Field `name` is the name of another API key of the account that is not revoked.",
        field = Some("name");

    /// The digest belongs or belonged to a key.
    SecretTaken =
        CONFLICT "key_taken" "API key already known"
        "Field `sha256` is the digest of an API key that exists or has been revoked.",
        field = Some("sha256");

    /// The key is revoked.
    KeyRevoked =
        CONFLICT "key_revoked" "API key revoked"
        "The API key is revoked. Revocation is permanent; create a new key.";

    /// The key has expired, and the request sets no later expiry.
    KeyExpired =
        CONFLICT "key_expired" "API key expired"
        "The API key has expired. To use it again, send `expires_at` with a time in the future or \
        null.";

    /// An old secret of the key is still valid.
    OverlapRunning =
        CONFLICT "overlap_running" "Overlap running"
        "The previous secret is still valid. Wait until it ends, or send an overlap of 0 seconds \
        to end all older secrets at once.";

    /// No at-rest key is configured, so keys cannot be imported.
    AtRestKeyMissing =
        CONFLICT "at_rest_key_missing" "At-rest key missing"
        "The control plane has no at-rest key to encrypt imported keys with. An operator must set \
        one: see `latchkey at-rest-key generate`.";

    /// The account has reached its maximum number of keys.
    KeyLimit { max_keys: u32 } =
        FORBIDDEN "key_limit" "Account key limit reached"
        "The account may have at most {max_keys} API keys that are not revoked or expired.";

    /// The account has twice its maximum number of keys, including expired keys that Envoys still
    /// hold.
    HeldKeyLimit { max_keys: u32 } =
        FORBIDDEN "key_limit" "Account key limit reached"
        "Expired API keys are held for a day. With them, the account can have at most twice its \
        limit of {max_keys} API keys. Revoke some of the expired ones.";

    /// A key would be above its account's tier.
    TierExceeded { field: String, tier: String } =
        FORBIDDEN "tier_exceeded" "Account tier exceeded"
        "Field `{field}` is above the account's tier `{tier}`.",
        field = Some(field);

    // Users.

    /// The account has no user with this id.
    UserNotFound =
        NOT_FOUND "user_not_found" "User not found"
        "The account has no user with this id.";

    /// Another user has the email address in this field.
    EmailTaken { field: &'static str } =
        CONFLICT "email_taken" "Email address already in use"
        "Field `{field}` is the email address of another user.",
        field = Some(field);

    /// Callers cannot delete themselves.
    DeletesThemselves =
        CONFLICT "cannot_delete_yourself" "Cannot delete yourself"
        "You cannot delete your own user. Ask another administrator.";

    /// The account would be left without an administrator.
    LastAdministrator =
        CONFLICT "last_administrator" "Last administrator"
        "The account needs at least one enabled user who holds `*` and may act on all subaccounts.";

    // Accounts and their parts.

    /// The account does not exist.
    AccountNotFound =
        NOT_FOUND "account_not_found" "Account not found"
        "No account has this id.";

    /// The account is permanently closed.
    AccountClosed =
        CONFLICT "account_closed" "Account closed"
        "The account is closed. Closing is permanent; create a new account.";

    /// The operator's account would be disabled or closed.
    OperatorsAccount =
        CONFLICT "operators_account" "Operator's account"
        "The operator's own account can be neither disabled nor closed.";

    /// The account has no subaccount with this id.
    SubaccountNotFound =
        NOT_FOUND "subaccount_not_found" "Subaccount not found"
        "The account has no subaccount with this id.";

    /// Another subaccount of the account has the name.
    SubaccountNameTaken =
        CONFLICT "name_taken" "Subaccount name already in use"
        "Field `name` is the name of another subaccount of the account.",
        field = Some("name");

    /// The account has reached the maximum number of subaccounts.
    SubaccountLimit =
        FORBIDDEN "subaccount_limit" "Account subaccount limit reached"
        "An account can have at most {MAX_SUBACCOUNTS} subaccounts.";

    /// The account has no service of this name.
    ServiceNotFound =
        NOT_FOUND "service_not_found" "Service not found"
        "The account has no service of this name.";

    /// Another service of the account has the name.
    ServiceNameTaken =
        CONFLICT "name_taken" "Service name already in use"
        "Field `name` is the name of another service of the account.",
        field = Some("name");

    /// The account has reached the maximum number of services.
    ServiceLimit =
        FORBIDDEN "service_limit" "Account service limit reached"
        "An account can have at most {MAX_SERVICES} services.";

    /// The scope of a live key lists the service.
    ServiceInUse =
        CONFLICT "service_in_use" "Service in use"
        "The service is in the scope of an API key that is not revoked.";

    // Webhooks.

    /// The account has no webhook with this id.
    WebhookNotFound =
        NOT_FOUND "webhook_not_found" "Webhook not found"
        "The account has no webhook with this id.";

    /// The webhook is inactive.
    WebhookInactive =
        CONFLICT "webhook_inactive" "Webhook inactive"
        "The webhook is inactive. Activate it before you send anything to it.";

    /// The account has reached the maximum number of webhooks.
    WebhookLimit =
        FORBIDDEN "webhook_limit" "Account webhook limit reached"
        "An account can have at most {MAX_WEBHOOKS} webhooks.";

    /// The delivery does not exist or is no longer kept.
    DeliveryNotFound =
        NOT_FOUND "delivery_not_found" "Delivery not found"
        "The webhook has no delivery with this id. Finished deliveries are kept for seven days.";

    // Gateway.

    /// No lost node has the handle.
    NodeNotFound =
        NOT_FOUND "node_not_found" "Node not found"
        "No node has this handle.";

    /// The node has a stream.
    NodeConnected =
        CONFLICT "node_connected" "Node connected"
        "The node is connected. Only a lost node can be forgotten.";

    /// No valid node token has the name.
    NodeTokenNotFound =
        NOT_FOUND "node_token_not_found" "Node token not found"
        "The node token does not exist or has been revoked.";

    /// Another valid node token has the name.
    NodeTokenNameTaken =
        CONFLICT "name_taken" "Node token name already in use"
        "Field `name` is the name of another valid node token.",
        field = Some("name");

    /// The token is already a node token, or was one and has been revoked.
    NodeTokenTaken =
        CONFLICT "token_taken" "Node token already known"
        "Field `sha256` is the digest of a node token that exists or has been revoked.",
        field = Some("sha256");

    /// The maximum number of valid node tokens is reached.
    NodeTokenLimit =
        FORBIDDEN "node_token_limit" "Node token limit reached"
        "There can be at most {MAX_NODE_TOKENS} valid node tokens.";

    /// A tier that would be removed is in use by an account or a live key.
    TierInUse { tier: String } =
        CONFLICT "tier_in_use" "Tier in use"
        "Tier `{tier}` is in use by an account or by an API key that is not revoked.",
        field = Some("tiers");

    // Failures of the control plane.

    /// A list or a report took too long.
    ReadTooLong =
        SERVICE_UNAVAILABLE "read_too_long" "Read too long"
        "Reading the list took longer than 3 seconds. Narrow its filter, its search or its time \
        range.",
        retry_after = 1;

    /// The control plane is not ready, for this reason.
    NotReady { reason: String } =
        SERVICE_UNAVAILABLE "not_ready" "Not ready"
        "{reason}.",
        retry_after = 1;

    /// A temporary failure. The detail is only logged.
    Unavailable { detail: String } =
        SERVICE_UNAVAILABLE "unavailable" "Service unavailable"
        "The request could not be completed now. Please try again.",
        retry_after = 1;

    /// The request was not completed in time. The change may still be made.
    OutcomeUnknown =
        SERVICE_UNAVAILABLE "outcome_unknown" "Outcome unknown"
        "The request took too long. The change may still be made: check its result before you \
        repeat it.";

    /// An internal error. The detail is only logged.
    Internal { detail: String } =
        INTERNAL_SERVER_ERROR "internal" "Internal error"
        "Something went wrong. The log of the control plane has the details.";
}
