//! Checks one resource by itself, for whoever only wants to know: what it refers to, and what refers to it, isn't looked at.

use serde_json::Value;
use usher_model::kind::Key;
use usher_model::mask::stand_in;

use super::super::request::Wanted;
use super::super::wish::Wish;
use super::super::{Service, ServiceError};
use super::object;

/// The same for what is stored already, with its secrets sealed.
///
/// # Errors
/// The first rule it breaks.
pub(in crate::service) fn as_stored(service: &Service, key: &Key, value: Value) -> Result<(), ServiceError> {
    object::check(service, &Wish::exact(Vec::new(), false), key, None, value).map(drop)
}

impl Service {
    /// Whether a resource could be stored, as far as it stands by itself: schema, meaning, plugins, nodes. Masks are taken for what is stored.
    ///
    /// # Errors
    /// The first rule it breaks, or the store can't be read.
    pub async fn check_alone(&self, key: &Key, value: Value) -> Result<(), ServiceError> {
        let wish = Wish::of(Wanted { keep_times: true, ..Wanted::default() });
        let before = self.held(key).await?;
        object::check(self, &wish, key, before.as_ref(), value).map(drop)
    }

    /// The same where nothing is stored that a mask could stand for, such as for a masked export: the masks are passed over, and counted.
    ///
    /// # Errors
    /// As for [`Service::check_alone`].
    pub async fn check_masked(&self, key: &Key, mut value: Value) -> Result<usize, ServiceError> {
        let masks = stand_in(&mut value);
        self.check_alone(key, value).await.map(|()| masks)
    }
}
