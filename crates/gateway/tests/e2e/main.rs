//! The real binary, on loopback and free ports, as users run it.
#![cfg(test)]

mod acme;
mod admin;
mod apisix_store;
mod attempt;
mod batch;
mod bench;
mod chat;
mod cli;
mod conformance;
mod console;
mod console_login;
mod control;
mod conversation;
mod counterparts;
mod demo;
mod deploy;
mod differential;
mod edges;
mod ends;
mod etcd;
mod examples;
mod file_store;
mod grpc;
mod identity;
mod keyless;
mod keyring;
mod limits;
mod merging;
mod models;
mod oauth;
mod openapi;
mod openid_connect;
mod operation;
mod publish;
pub mod replayed;
mod roles;
mod serve;
#[path = "../../../plugins/tests/every_plugin/counterparts.rs"]
mod stated;
mod support;
mod surface;
mod tls;
mod traffic;
mod upgrade;
mod ways_in;
mod wire;
