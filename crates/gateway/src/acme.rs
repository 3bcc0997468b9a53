//! Certificates that are ordered by themselves (ACME, RFC 8555): each one that the settings name is an `ssl` object, made and renewed in time.
//!
//! They are written like any other change, so that they stand in the history, can be looked at, and reach every gateway that shares the store.
//! Only a gateway whose settings have `acme` orders, so that one of several does. A failure is told and tried again, later each time; the
//! certificate that is there is served on.

mod account;
mod far;
mod order;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};
use usher_admin::service::{Service, Wanted};
use usher_model::certificate::Certificate;
use usher_model::change::{Door, Edit, Principal, Role};
use usher_model::kind::{Key, Kind};
use usher_proxy::proofs::Proofs;

use crate::settings::acme::Acme;

/// Who the changes are by.
pub(crate) const NAME: &str = "acme";
/// How often is looked whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// How long a first failure is waited for; twice as long after each further one.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait. Authorities refuse who fails too often within an hour.
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 3600);
/// How long is waited after a refusal that only asks to be asked again (RFC 8555 section 6.5), which happens to any client now and then.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How many such refusals in a row are taken so lightly.
const LIGHTLY: u32 = 5;
/// The label that says whose object it is.
const LABEL: (&str, &str) = ("issued-by", "acme");

/// What orders and renews.
pub(crate) struct Issuer {
    settings: Acme,
    folder: std::path::PathBuf,
    service: Arc<Service>,
    proofs: Arc<Proofs>,
    who: Principal,
}

/// How far a certificate is.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    /// It is good for now.
    Later,
    /// It is missing, names other hosts, or ends soon.
    Now(&'static str),
}

impl Issuer {
    /// One that keeps its account in this folder.
    pub(crate) fn new(
        settings: Acme,
        folder: std::path::PathBuf,
        service: Arc<Service>,
        proofs: Arc<Proofs>,
    ) -> Self {
        let who = Principal::new(NAME, Role::Admin, Door::Usher);
        Self { settings, folder, service, proofs, who }
    }

    /// Orders what is due, now and from then on.
    pub(crate) async fn run(self) {
        let mut failures = 0_u32;
        loop {
            let mut failed = false;
            for names in &self.settings.certificates {
                if let Err(error) = self.patiently(names).await {
                    failed = true;
                    let next = wait(failures);
                    tracing::error!(names = names.join(", "), error = format!("{error:#}"), again_in = ?next, "a certificate could not be had");
                }
            }
            let pause = if failed { wait(failures) } else { LOOK_EVERY };
            failures = if failed { failures.saturating_add(1) } else { 0 };
            tokio::time::sleep(pause).await;
        }
    }

    /// As [`Self::look_after`], again and again while the authority only finds that it doesn't know the number that a message carries.
    async fn patiently(&self, names: &[String]) -> anyhow::Result<()> {
        let mut times = 0;
        loop {
            match self.look_after(names).await {
                Err(error) if times < LIGHTLY && is_only_a_stale_nonce(&error) => {
                    times += 1;
                    tracing::info!(names = names.join(", "), "the authority asks to be asked again");
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                done => return done,
            }
        }
    }

    /// Orders one certificate if it is due.
    async fn look_after(&self, names: &[String]) -> anyhow::Result<()> {
        let first = names.first().context("a certificate without names")?;
        let key = Key::new(Kind::Ssl, format!("acme-{first}"));
        let stored = self.service.get(&self.who, &key).await?;
        let (known, revision) = match stored {
            Some(stored) => (Some(stored.value), Some(stored.modified)),
            None => (None, None),
        };
        if let Some(value) = &known
            && label(value) != Some(LABEL.1)
        {
            bail!(
                "{key} was not made by ACME, so it is left alone; delete it, or give it the label {}: {}",
                LABEL.0,
                LABEL.1
            );
        }
        let Due::Now(reason) = due(known.as_ref(), names, now()) else { return Ok(()) };
        tracing::info!(
            names = names.join(", "),
            reason,
            directory = self.settings.directory,
            "a certificate is ordered"
        );
        let http = far::Far::new(self.settings.ca_file.as_deref())?;
        let account = account::open(&self.settings, &self.folder, http).await?;
        let signed = order::order(&account, names, self.settings.challenge, &self.proofs).await?;
        let wanted = Wanted {
            edits: vec![Edit { key: key.clone(), after: Some(object(known, names, &signed)) }],
            intent: Some(format!("a certificate for {}: {reason}", names.join(", "))),
            expect: vec![(key.clone(), revision)],
            ..Wanted::default()
        };
        self.service.write(&self.who, wanted).await?;
        tracing::info!(names = names.join(", "), object = %key, "a new certificate is served");
        Ok(())
    }
}

/// Whether an error says nothing of the order: the client library tries such a message three times, then gives up.
fn is_only_a_stale_nonce(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<instant_acme::Error>()).any(|cause| {
        matches!(cause, instant_acme::Error::Api(problem) if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:badNonce"))
    })
}

fn label(value: &Value) -> Option<&str> {
    value.get("labels")?.get(LABEL.0)?.as_str()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn wait(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_WAIT)
}

/// Whether an object needs a new certificate: a third of its time is left, as authorities ask for.
fn due(known: Option<&Value>, names: &[String], now: i64) -> Due {
    let Some(pem) = known.and_then(|value| value.get("cert")).and_then(Value::as_str) else {
        return Due::Now("there is none yet");
    };
    let Ok(certificate) = Certificate::read(pem) else {
        return Due::Now("the one that is there can't be read");
    };
    if !names.iter().all(|name| certificate.covers(name)) {
        return Due::Now("the one that is there is for other names");
    }
    let lifetime = certificate.not_after.saturating_sub(certificate.not_before);
    if certificate.not_after.saturating_sub(now) < lifetime / 3 {
        return Due::Now("the one that is there ends soon");
    }
    Due::Later
}

/// The object to write: what people added to the one that is there stays.
fn object(known: Option<Value>, names: &[String], signed: &order::Signed) -> Value {
    let mut object = match known {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    };
    for given_by_usher in ["id", "create_time", "update_time", "validity_start", "validity_end", "sni"] {
        object.remove(given_by_usher);
    }
    object.insert("snis".to_owned(), json!(names));
    object.insert("cert".to_owned(), json!(signed.chain));
    object.insert("key".to_owned(), json!(signed.key.expose()));
    let labels = object.entry("labels").or_insert_with(|| json!({}));
    if let Value::Object(labels) = labels {
        labels.insert(LABEL.0.to_owned(), json!(LABEL.1));
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use serde_json::json;

    use super::{Due, due, is_only_a_stale_nonce, wait};

    #[test]
    fn a_certificate_is_due_when_a_third_of_its_time_is_left() {
        let names = vec!["a.test".to_owned(), "b.test".to_owned()];
        assert!(matches!(due(None, &names, 0), Due::Now(reason) if reason.contains("none yet")));
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 4, 1);
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let object = json!({ "cert": pem });
        let day = |number: i64| 1_767_225_600 + number * 86_400;
        assert_eq!(due(Some(&object), &names, day(1)), Due::Later);
        assert_eq!(due(Some(&object), &names, day(59)), Due::Later);
        assert!(
            matches!(due(Some(&object), &names, day(61)), Due::Now(reason) if reason.contains("ends soon"))
        );
        let more = vec!["a.test".to_owned(), "c.test".to_owned()];
        assert!(
            matches!(due(Some(&object), &more, day(1)), Due::Now(reason) if reason.contains("other names"))
        );
    }

    #[test]
    fn failures_are_waited_for_longer_each_time() {
        assert_eq!(wait(0), Duration::from_secs(60));
        assert_eq!(wait(3), Duration::from_secs(480));
        assert_eq!(wait(40), Duration::from_secs(6 * 3600));
    }

    #[test]
    fn a_stale_nonce_is_told_from_a_refusal() {
        let refused = |kind: &str| {
            let problem: instant_acme::Problem = serde_json::from_value(json!({
                "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": "no", "status": 400,
            }))
            .unwrap();
            anyhow::Error::new(instant_acme::Error::Api(problem)).context("the authority takes no order")
        };
        assert!(is_only_a_stale_nonce(&refused("badNonce")));
        assert!(!is_only_a_stale_nonce(&refused("rateLimited")));
        assert!(!is_only_a_stale_nonce(&anyhow::anyhow!("badNonce")));
    }
}
