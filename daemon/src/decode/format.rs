//! The formats: each in a file of its own, here only their list and what they have in common.
//!
//! In: a name, or the text of one message. Out: a [`Format`], candidates for a message. A name inside a JSON
//! string cannot be taken for a field: its quotes are escaped there. Nothing is parsed here.

use std::fmt;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::de::Deserialize;

use super::columns::{Columns, Fields, Place};
use super::json::{self, Refusal};
use super::{
    apigee, apisix, auth0, aws_api_gateway, azure_activity, azure_apim, bedrock_invocation,
    cloudflare_ai_gateway, cloudtrail, entra, envoy, gcp_audit, google_workspace, keycloak, kong,
    kubernetes_audit, litellm, nginx, ocsf, okta, traefik, vault_audit,
};

/// Where a format's records come from; decides what is expected of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A cloud's record of calls to its API.
    CloudAudit,
    /// Sign-ins and tokens of an identity provider.
    Identity,
    /// Requests through an API or AI gateway.
    Gateway,
    /// Any of these, mapped to a common schema by somebody else.
    Normalised,
}

/// What one format is: the one constant that its file exports.
pub(super) struct Layout {
    /// The name in configs, in the column `format` and in metric labels.
    pub(super) name: &'static str,
    pub(super) family: Family,
    /// Alternatives of field names, quotes included, which only this format's records hold together.
    pub(super) signatures: &'static [&'static [&'static str]],
    /// Decodes one record of it.
    pub(super) read: fn(&str, &mut Row<'_>) -> Result<(), Refusal>,
}

/// Every format, in the order in which detection tries them.
static LAYOUTS: [&Layout; 22] = [
    &cloudtrail::LAYOUT,
    &bedrock_invocation::LAYOUT,
    &gcp_audit::LAYOUT,
    &azure_activity::LAYOUT,
    &kubernetes_audit::LAYOUT,
    &envoy::LAYOUT,
    &traefik::LAYOUT,
    &litellm::LAYOUT,
    &kong::LAYOUT,
    &apisix::LAYOUT,
    &azure_apim::LAYOUT,
    &aws_api_gateway::LAYOUT,
    &nginx::LAYOUT,
    &apigee::LAYOUT,
    &cloudflare_ai_gateway::LAYOUT,
    &okta::LAYOUT,
    &entra::LAYOUT,
    &google_workspace::LAYOUT,
    &keycloak::LAYOUT,
    &auth0::LAYOUT,
    &vault_audit::LAYOUT,
    &ocsf::LAYOUT,
];

/// The signatures of [`LAYOUTS`], prepared for searching.
static FINDERS: LazyLock<Vec<Vec<Vec<Finder<'static>>>>> = LazyLock::new(|| {
    let finders = |names: &&'static [&'static str]| names.iter().copied().map(Finder::new).collect();
    LAYOUTS.iter().map(|layout| layout.signatures.iter().map(finders).collect()).collect()
});

/// A log format. `auto` is not one: it is a way to find one, message by message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Format(u8);

impl Format {
    /// Every format, in the order in which detection tries them.
    pub fn all() -> impl Iterator<Item = Self> + Clone {
        (0..LAYOUTS.len() as u8).map(Self)
    }

    /// The format of that name; `None` for any other word, `auto` included.
    pub fn parse(name: &str) -> Option<Self> {
        Self::all().find(|format| format.name() == name)
    }

    fn layout(self) -> &'static Layout {
        LAYOUTS[usize::from(self.0)]
    }

    /// The name in configs, in the column `format` and in metric labels.
    pub fn name(self) -> &'static str {
        self.layout().name
    }

    /// Where its records come from.
    pub fn family(self) -> Family {
        self.layout().family
    }

    /// Whether its events are delivered at least once and carry ids: duplicates are then removed by default.
    pub fn is_audit_or_identity(self) -> bool {
        self.family() != Family::Gateway
    }

    /// Whether `text` holds field names of this format.
    pub(super) fn is_likely(self, text: &str) -> bool {
        let has = |finder: &Finder<'_>| finder.find(text.as_bytes()).is_some();
        FINDERS[usize::from(self.0)].iter().any(|names| names.iter().all(has))
    }

    /// Appends the event that `text` is; `UnknownFormat` where it is no record of this format.
    pub(super) fn read(self, text: &str, row: &mut Row<'_>) -> Result<(), Refusal> {
        json::check_depth(text)?;
        (self.layout().read)(text, row)
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the event of one record goes.
pub(super) struct Row<'d> {
    pub(super) place: Place<'d>,
    pub(super) columns: &'d mut Columns,
}

impl Row<'_> {
    pub(super) fn append(&mut self, fields: &Fields<'_>) {
        self.columns.append(self.place, fields);
    }
}

/// Reads a record that one struct describes.
pub(super) fn read_record<'t, R: Deserialize<'t>>(
    text: &'t str,
    row: &mut Row<'_>,
    fields: impl for<'r> Fn(&'r R) -> Result<Fields<'r>, Refusal>,
) -> Result<(), Refusal> {
    let record: R = json::parse(text)?;
    row.append(&fields(&record)?);
    Ok(())
}
