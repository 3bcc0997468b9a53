//! A backup of everything that the store holds, resources and Usher's own records alike.

use usher_model::change::{Principal, Role};
use usher_store::archive::{self, ArchiveError, Pieces};

use super::{Service, ServiceError};

impl Service {
    /// The whole store as an archive ([`usher_store::archive`]), piece by piece. Secrets in it stay sealed; the digests of tokens and passwords are in
    /// it, so only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], or the store.
    pub async fn backup(&self, who: &Principal) -> Result<Pieces, ServiceError> {
        if who.role != Role::Admin || !who.scope.is_all() {
            return Err(ServiceError::Forbidden(
                "only an admin of the whole configuration may make a backup".to_owned(),
            ));
        }
        match archive::pieces(self.store()).await {
            Ok(pieces) => {
                tracing::info!(principal = %who.name, revision = pieces.info().revision, "a backup is given out");
                Ok(pieces)
            }
            Err(ArchiveError::Store(error)) => Err(error.into()),
            Err(error) => Err(ServiceError::Damaged(error.to_string())),
        }
    }
}
