//! What clients, the provider and the upstream see of `openid-connect`.
#![cfg(test)]

mod bearer;
mod login;
mod proving;
mod standin;
