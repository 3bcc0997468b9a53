//! What a sentence wants, before anything is known about the gateway: names are as they were said.

use serde_json::Value;
use usher_model::kind::Kind;
use usher_model::secret::Secret;

/// A sentence that was understood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) intent: Intent,
    /// The sentence as it may be kept: without keys.
    pub(crate) sentence: String,
}

/// What a sentence wants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Intent {
    Ask(Question),
    Undo {
        revision: Option<u64>,
    },
    Create {
        kind: Kind,
        wish: Box<Wish>,
    },
    Change {
        target: Target,
        alteration: Alteration,
    },
    /// The weight of a node; without an upstream the one that has such a node is meant.
    Weigh {
        node: Node,
        upstream: Option<Reference>,
    },
    Delete(Vec<Reference>),
}

impl Intent {
    /// Whether it does more than look.
    pub(crate) fn acts(&self) -> bool {
        match self {
            Self::Ask(Question::Probe(asked)) => !SAFE.contains(&asked.method.as_str()),
            Self::Ask(_) => false,
            _ => true,
        }
    }
}

/// Methods that only read.
pub(crate) const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// What is asked without changing anything.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Question {
    Help,
    Overview,
    List {
        kind: Kind,
        filter: Filter,
    },
    Show(Reference),
    Plugins,
    Plugin(String),
    History {
        of: Option<Reference>,
        last: Option<u64>,
        since: Option<Since>,
    },
    /// What was served.
    Served(Served),
    /// The last requests, one by one.
    Requests {
        of: Option<Reference>,
        status: Option<String>,
        last: Option<u64>,
    },
    /// Which nodes are down.
    Health,
    Explain(Asked),
    Probe(Asked),
    /// Whether an object is in service, or has a plugin.
    Has {
        of: Reference,
        plugin: Option<String>,
        serves: bool,
    },
    /// A question whether to change something; the order that would do it.
    Order(String),
    Bye,
}

/// A question about what was served.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Served {
    /// What rows are told apart by.
    pub(crate) by: &'static str,
    pub(crate) of: Option<Reference>,
    pub(crate) status: Option<String>,
    pub(crate) sort: Option<&'static str>,
    /// Seconds back.
    pub(crate) range: u64,
    /// How many seconds earlier the time lies that it is compared with.
    pub(crate) compare: Option<u64>,
}

/// From when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// So many seconds ago.
    Secs(u64),
    /// The beginning of the day so many days ago.
    DaysAgo(i64),
    /// The beginning of the last such day, from 0 for Monday.
    Weekday(usize),
}

/// Which objects of a kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Filter {
    All,
    /// Those with this text in id, name, path, host, nodes or plugins.
    Text(String),
    /// Those with this plugin.
    Plugin(String),
    /// Routes and services to this upstream.
    Upstream(String),
    /// `key` or `key:value`.
    Label(String),
    /// Routes that are taken out.
    Disabled,
}

/// An object as somebody calls it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reference {
    pub(crate) kind: Kind,
    pub(crate) called: Called,
}

/// How an object is called.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Called {
    /// By id or name.
    Name(String),
    /// By id alone.
    Id(String),
    /// By id or name, of whatever kind.
    Anything(String),
    /// A route by what it takes.
    Path { method: Option<String>, path: String },
    /// The object that was spoken of last, of whatever kind.
    It,
    /// The object of this kind that was spoken of last.
    That,
}

/// What a change is made to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    One(Reference),
    /// Every request: a global rule.
    Everything,
}

/// A change to one object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Alteration {
    /// What was said replaces what is there.
    Set(Box<Wish>),
    /// Hosts, methods, paths and nodes are added to those that are there.
    Add(Box<Wish>),
    /// These go.
    Drop(Vec<Part>),
    /// Taken in or out of service.
    Serve(bool),
}

/// Something that can be taken from an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Plugin(String),
    /// A member such as `desc`.
    Member(&'static str),
    Node(Node),
    Host(String),
    Method(String),
}

/// A request as somebody describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) host: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) client: Option<String>,
    pub(crate) body: Option<String>,
    /// The status that somebody wonders about.
    pub(crate) status: Option<u64>,
}

/// What an object shall have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wish {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) desc: Option<String>,
    pub(crate) paths: Vec<String>,
    pub(crate) methods: Vec<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) backend: Option<Backend>,
    pub(crate) service: Option<String>,
    pub(crate) plugin_config: Option<String>,
    /// Plugins with their bodies, in the order in which they were said.
    pub(crate) plugins: Vec<(String, Value)>,
    /// The limit among them doesn't say what requests are told apart by.
    pub(crate) counts_unsaid: bool,
    /// The route's own prefix is taken off before the upstream sees the path.
    pub(crate) strips_prefix: bool,
    /// A consumer's key.
    pub(crate) key: Option<Secret<String>>,
    /// Whose credential it is.
    pub(crate) consumer: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) priority: Option<i64>,
    pub(crate) websocket: Option<bool>,
    pub(crate) timeout_secs: Option<u64>,
    pub(crate) retries: Option<u64>,
    pub(crate) disabled: bool,
    /// An object written out in JSON; nothing else is said then.
    pub(crate) written: Option<Value>,
}

impl Wish {
    /// Whether nothing was wished.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Backend {
    /// An upstream by id or name.
    Named(String),
    Nodes(Vec<Node>),
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// `host:port`.
    pub(crate) address: String,
    pub(crate) https: bool,
    /// Whether it is a name that the backend knows itself by, rather than an address.
    pub(crate) named: bool,
    pub(crate) weight: Option<u64>,
}

/// A sentence, or a part of it, that isn't understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// The part as it may be shown; empty for an empty sentence.
    pub(crate) part: String,
    /// Why, where more can be said than that.
    pub(crate) reason: Option<String>,
    /// Sentences that are near.
    pub(crate) nearest: Vec<String>,
}

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.reason, self.part.is_empty()) {
            (Some(reason), true) => write!(f, "I did not understand that: {reason}.")?,
            (Some(reason), false) => write!(f, "I did not understand \"{}\": {reason}.", self.part)?,
            (None, true) => f.write_str("I did not understand that.")?,
            (None, false) => write!(f, "I did not understand \"{}\".", self.part)?,
        }
        if !self.nearest.is_empty() {
            f.write_str(" The nearest that I know:")?;
            for sentence in &self.nearest {
                write!(f, "\n  {sentence}")?;
            }
        }
        f.write_str("\nSay `help` for all of it.")
    }
}
