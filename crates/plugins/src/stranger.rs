//! What plugins of the auth kind do with a request that proves nothing: the answer 401 with its challenge, or the anonymous consumer.
//!
//! All of them say no in the same shape, so that a client learns nothing from how it was refused.

use usher_http1::head::Head;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow};
use usher_pipeline::reply::Reply;

/// How a request without a valid credential is met.
pub(crate) struct Stranger {
    plugin: &'static str,
    challenge: String,
    anonymous: Option<String>,
}

impl Stranger {
    /// For a plugin that challenges with `scheme realm="realm"`, and lets strangers in as the consumer `anonymous` where one is named.
    ///
    /// # Errors
    /// The realm has a character that can't be sent in a header.
    pub(crate) fn new(
        plugin: &'static str,
        scheme: &str,
        realm: &str,
        anonymous: Option<String>,
    ) -> Result<Self, BuildError> {
        let challenge = format!("{scheme} realm=\"{}\"", quoted(realm));
        if Head::empty().set("WWW-Authenticate", &challenge).is_err() {
            return Err(BuildError::new(
                "property \"realm\" validation failed: control characters can't be sent in a header",
            ));
        }
        Ok(Self { plugin, challenge, anonymous })
    }

    /// Lets a stranger in as the anonymous consumer.
    ///
    /// # Errors
    /// The answer 401 where there is none.
    pub(crate) fn meet(&self, exchange: &mut Exchange, problem: &str) -> Result<(), Flow> {
        let Some(anonymous) = &self.anonymous else { return Err(self.refuse(problem)) };
        if exchange.attach_anonymous(anonymous) {
            return Ok(());
        }
        tracing::error!(plugin = self.plugin, consumer = %anonymous, "the anonymous consumer does not exist");
        Err(self.refuse("Invalid user authorization"))
    }

    /// The answer 401.
    pub(crate) fn refuse(&self, message: &str) -> Flow {
        Reply::message(401, message).with("WWW-Authenticate", &self.challenge).into()
    }
}

/// A text as it stands inside a quoted string (RFC 9110, section 5.6.4).
pub(crate) fn quoted(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"")
}

/// Checks that a text is a header's name.
///
/// # Errors
/// The sentence that names the member.
pub(crate) fn header_name(member: &str, name: &str) -> Result<(), BuildError> {
    Head::empty().set(name, "").map_err(|_| {
        BuildError::new(format!("property \"{member}\" validation failed: {name:?} is not a header name"))
    })
}
