//! One order: proofs are shown, the authority looks at them, and signs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeHandle, ChallengeType, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use usher_model::secret::Secret;
use usher_proxy::proofs::{Proof, Proofs};

use crate::settings::acme::Challenge;

/// How long an authority may take to look at the proofs, and to sign.
const WITHIN: Duration = Duration::from_secs(120);

/// What came of an order.
pub(super) struct Signed {
    /// The certificate and those between it and the authority's own, in PEM.
    pub(super) chain: String,
    /// The private key, in PEM.
    pub(super) key: Secret<String>,
}

/// Orders one certificate for these names. The proofs are answered until this ends.
///
/// # Errors
/// What the authority says, or that it can't be reached.
pub(super) async fn order(
    account: &Account,
    names: &[String],
    way: Challenge,
    proofs: &Arc<Proofs>,
) -> anyhow::Result<Signed> {
    let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
    let mut order =
        account.new_order(&NewOrder::new(&identifiers)).await.context("the authority takes no order")?;
    let patience = RetryPolicy::new().timeout(WITHIN);
    let _shown = show(&mut order, way, proofs).await?;
    let ready = order.poll_ready(&patience).await;
    if !matches!(ready, Ok(OrderStatus::Ready)) {
        if let Some(reason) = refused(&mut order).await {
            bail!("the authority refuses: {reason}");
        }
        match ready {
            Ok(status) => bail!("the authority is not content: {status:?}"),
            Err(error) => return Err(error).context("the authority is not content"),
        }
    }
    let key = order.finalize().await.context("the authority refuses to sign")?;
    let chain = order.poll_certificate(&patience).await.context("the authority did not sign")?;
    Ok(Signed { chain, key: Secret::new(key) })
}

/// Shows a proof for each name that needs one, and says so.
async fn show(order: &mut Order, way: Challenge, proofs: &Arc<Proofs>) -> anyhow::Result<Vec<Proof>> {
    let mut shown = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.context("the authority asks for nothing that can be proved")?;
        match authorization.status {
            AuthorizationStatus::Pending => {}
            // Proved lately.
            AuthorizationStatus::Valid => continue,
            other => bail!("a name can't be proved any more: its state is {other:?}"),
        }
        let name = authorization.identifier().to_string();
        let wanted = match way {
            Challenge::Http => ChallengeType::Http01,
            Challenge::TlsAlpn => ChallengeType::TlsAlpn01,
        };
        let challenge = authorization.challenge(wanted);
        let mut challenge =
            challenge.with_context(|| format!("the authority doesn't take {way} as a proof for {name}"))?;
        shown.push(prove(&challenge, &name, way, proofs)?);
        challenge.set_ready().await.with_context(|| format!("the proof for {name} was not looked at"))?;
    }
    Ok(shown)
}

fn prove(
    challenge: &ChallengeHandle<'_>,
    name: &str,
    way: Challenge,
    proofs: &Arc<Proofs>,
) -> anyhow::Result<Proof> {
    let authorization = challenge.key_authorization();
    match way {
        Challenge::Http => Ok(proofs.over_http(&challenge.token, authorization.as_str())),
        Challenge::TlsAlpn => {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new([name.to_owned()])?;
            let digest = authorization.digest();
            params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
            let certificate = params.self_signed(&key)?.der().clone();
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            proofs.over_tls(name, certificate, key).context("the proof can't be shown")
        }
    }
}

/// What the authority says of the first name that it doesn't believe.
async fn refused(order: &mut Order) -> Option<String> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string();
        let Ok(state) = authorization.refresh().await else { continue };
        let error = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(error) = error {
            return Some(format!("{name}: {}", error.detail.clone().unwrap_or_else(|| error.to_string())));
        }
    }
    None
}
