//! Why an answer is the gateway's own: who failed, at what, and whether the request may be sent again.
//!
//! The client learns a status; the access log, the live tail and the metric `usher_own_answers_total` know the cause.

use std::sync::atomic::{AtomicU64, Ordering};

/// Who failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The client: its request can't be served, or it may not.
    Client,
    /// The upstream.
    Upstream,
    /// The gateway or its configuration.
    Gateway,
}

impl Who {
    /// As logs and metrics spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
        }
    }
}

/// Why an answer is the gateway's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What happened, in a few words that are the same each time.
    pub what: What,
    /// Whether the upstream has certainly not acted upon the request, so that it may be sent again.
    pub retry_safe: bool,
}

/// Every cause there is: name, who failed, and a sentence.
macro_rules! causes {
    ($($name:ident, $text:literal, $who:ident, $sentence:literal;)*) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum What {
            $(#[doc = $sentence] $name,)*
        }

        impl What {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As logs and metrics spell it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Who failed.
            #[must_use]
            pub const fn who(self) -> Who {
                match self { $(Self::$name => Who::$who,)* }
            }

            /// For people.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }
        }
    };
}

causes! {
    Malformed, "malformed-request", Client, "the request breaks the rules of HTTP";
    SlowHead, "slow-head", Client, "the request's head came too slowly";
    BodyTooLarge, "body-too-large", Client, "the request's body is larger than may be sent";
    BodyTooSlow, "body-too-slow", Client, "the request's body came too slowly";
    BodyMalformed, "body-malformed", Client, "the request's body is malformed";
    ClientGone, "client-gone", Client, "the client left before it had an answer";
    NoRoute, "no-route", Client, "no route takes the request";
    Plugin, "plugin", Client, "a plugin answered";
    PluginFailed, "plugin-failed", Gateway, "a plugin answered that something went wrong";
    Loop, "loop", Gateway, "the request came through this gateway too often";
    Overload, "overload", Gateway, "the gateway is short of memory";
    RouteUnusable, "route-unusable", Gateway, "the route can't be served as it is configured";
    NoUpstream, "no-upstream", Gateway, "the route has no upstream and no plugin chose one";
    UnknownUpstream, "unknown-upstream", Gateway, "the upstream that is referred to doesn't exist";
    NoNode, "no-node", Gateway, "the upstream has no node in use";
    Panic, "panic", Gateway, "the gateway failed";
    ConnectRefused, "connect-failed", Upstream, "no connection to a node could be made";
    ConnectTimeout, "connect-timeout", Upstream, "a node did not accept a connection in time";
    SendTimeout, "send-timeout", Upstream, "a node did not take the request in time";
    ReadTimeout, "read-timeout", Upstream, "a node did not answer in time";
    ClosedEarly, "closed-early", Upstream, "a node closed the connection without an answer";
    Broken, "broken-connection", Upstream, "the connection to a node broke";
    BadAnswer, "bad-answer", Upstream, "a node answered against the rules of HTTP";
    RetriesTimedOut, "retry-timeout", Upstream, "the time for retries was over before a node answered";
}

/// How often each cause came about, since the start.
pub struct Causes(Box<[AtomicU64]>);

impl Default for Causes {
    fn default() -> Self {
        Self(What::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl Causes {
    /// What the process keeps them by.
    pub const KEY: &'static str = "causes";

    /// It came about once more.
    pub fn count(&self, what: What) {
        if let Some(counter) = self.0.get(what as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Those that came about, with their numbers.
    pub fn counted(&self) -> impl Iterator<Item = (What, u64)> {
        let counts =
            What::ALL.iter().zip(&self.0).map(|(what, counter)| (*what, counter.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Causes, What, Who};

    #[test]
    fn every_cause_is_counted_by_its_own_name() {
        let causes = Causes::default();
        for what in What::ALL {
            causes.count(*what);
        }
        let counted: Vec<_> = causes.counted().collect();
        assert_eq!(counted.len(), What::ALL.len());
        let mut names: Vec<_> = What::ALL.iter().map(|what| what.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), What::ALL.len());
        assert_eq!(What::ReadTimeout.who(), Who::Upstream);
    }
}
