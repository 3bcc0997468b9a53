//! The real binary, on loopback and free ports, as users run it.
#![cfg(test)]

mod admin;
mod apisix_store;
mod chat;
mod cli;
mod control;
mod demo;
mod file_store;
mod keyless;
mod limits;
mod roles;
mod serve;
mod support;
mod tls;
mod wire;
