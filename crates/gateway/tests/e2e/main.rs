//! The real binary, on loopback and free ports, as users run it.
#![cfg(test)]

mod admin;
mod chat;
mod demo;
mod limits;
mod serve;
mod support;
mod wire;
