//! Messages as they stand on the wire: one program, because each costs its linking.
#![cfg(test)]

mod corpus;
mod differential;
mod familiar;
mod heads;
mod properties;
mod replay;
