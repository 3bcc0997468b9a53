//! The embedded store on a disk that loses its power, fails, or is full: nothing acknowledged is lost, nothing is there by half, nothing can't
//! be opened, and it goes on without a restart.
//!
//! `USHER_TORTURE_IMAGES` sets how many images of lost power are opened; with it, failures are put at every change instead of some.
#![cfg(test)]

mod errors;
mod full;
mod group;
mod power;
mod workload;

/// How many images are asked for; `None` in an ordinary run.
fn tortured() -> Option<usize> {
    std::env::var("USHER_TORTURE_IMAGES").ok()?.parse().ok()
}
