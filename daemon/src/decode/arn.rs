//! What Amazon resource names say of sessions and models.
//!
//! In: an ARN as a log writes it. Out: its parts. A name of another form gives nothing, never a guess.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles.html>

use std::borrow::Cow;

/// `arn:aws:iam::<account>:role/<role>` of `arn:aws:sts::<account>:assumed-role/<role>/<session>`: the
/// issuer where the record does not name it (its path is not in the session's ARN).
pub(super) fn role_arn(session_arn: &str) -> Option<Cow<'static, str>> {
    let (partition, rest) = session_arn.strip_prefix("arn:")?.split_once(':')?;
    let (account, resource) = rest.strip_prefix("sts::")?.split_once(':')?;
    let role = resource.strip_prefix("assumed-role/")?.split('/').next()?;
    Some(Cow::Owned(["arn:", partition, ":iam::", account, ":role/", role].concat()))
}

/// The last part of a session's ARN; "" for other identities.
pub(super) fn session_of(arn: &str) -> &str {
    let is_session =
        arn.starts_with("arn:") && (arn.contains(":assumed-role/") || arn.contains(":federated-user/"));
    if is_session { arn.rsplit('/').next().unwrap_or_default() } else { "" }
}

/// Bedrock's `modelId` may be an ARN: AWS's own models and inference profiles are named by their last part,
/// an application inference profile stays whole, because its ARN is what a registry names.
pub(super) fn bedrock_model(model: &str) -> &str {
    let shared = [":foundation-model/", ":inference-profile/"];
    shared.iter().find_map(|infix| model.split_once(infix)).map_or(model, |(_, name)| name)
}
