//! What a store promises to whoever uses it: one program, because each costs its linking.
#![cfg(test)]

mod archive;
mod conformance;
mod damage;
mod file;
mod leases;
mod released;
pub mod replayed;
