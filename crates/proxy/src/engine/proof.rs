//! Who a client has proved to be by its certificate, and whether that is enough for a request.
//!
//! A connection is made for one name, but its requests may ask for any host. Where a host's `ssl` object asks for client certificates, it is served
//! over connections for its very name alone, and only while its rules, as they are by now, take what the client has shown.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use usher_pipeline::reply::Reply;
use usher_pipeline::secured::Secured;

use super::course::Course;
use super::errors::Failure;
use crate::config::Clients;

/// What a client has shown.
pub(super) struct Proof {
    shown: Vec<CertificateDer<'static>>,
    judged: RefCell<Option<(Arc<Clients>, bool)>>,
}

impl Proof {
    /// `rules` have judged it already, where there were some.
    pub(super) fn new(shown: Vec<CertificateDer<'static>>, rules: Option<Arc<Clients>>, taken: bool) -> Self {
        Self { shown, judged: RefCell::new(rules.map(|rules| (rules, taken))) }
    }

    /// What a client has shown on the connection that this was settled on.
    pub(super) fn of(secured: &Secured) -> Self {
        let own = Some(&secured.certificate).filter(|own| !own.is_empty());
        let shown = own.into_iter().chain(&secured.intermediates);
        Self::new(shown.map(|one| CertificateDer::from(one.to_vec())).collect(), None, false)
    }

    /// Whether these rules take it.
    fn satisfies(&self, rules: &Arc<Clients>) -> bool {
        let mut judged = self.judged.borrow_mut();
        if let Some((known, taken)) = &*judged
            && Arc::ptr_eq(known, rules)
        {
            return *taken;
        }
        let taken = rules.judge(&self.shown).is_ok();
        *judged = Some((Arc::clone(rules), taken));
        taken
    }
}

/// Whether a request may be served by what its client has shown. Costs nothing where no `ssl` object asks for certificates.
///
/// # Errors
/// 421 for a host that this connection isn't for, 400 for a client without a good certificate.
pub(super) fn check(course: &Course<'_>) -> Result<(), Failure> {
    let (client, snapshot) = (course.client, &course.view.snapshot);
    let (Some(secured), Some(proof)) = (&client.secured, &client.proof) else { return Ok(()) };
    if !snapshot.is_any_mutual() {
        return Ok(());
    }
    let request = &course.state.exchange.request;
    let Some(rules) = snapshot.ssl(request.host()).and_then(|ssl| ssl.clients.as_ref()) else {
        return Ok(());
    };
    let asked = secured.server_name.strip_suffix('.').unwrap_or(&secured.server_name);
    if !asked.eq_ignore_ascii_case(request.host()) {
        tracing::debug!(peer = %client.peer, host = request.host(), sni = asked, "refused a request for a host that asks for client certificates, over a connection for another name");
        return Err(Reply::new(421).into());
    }
    if proof.satisfies(rules) || rules.skips(request.path()) {
        return Ok(());
    }
    tracing::debug!(peer = %client.peer, host = request.host(), "refused a request without a client certificate that is taken");
    Err(Reply::new(400).into())
}
