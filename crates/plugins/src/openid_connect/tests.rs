//! What clients, the provider and the upstream see of `openid-connect`.
#![cfg(test)]

mod bearer;
mod kept;
mod login;
mod proving;
mod standin;
