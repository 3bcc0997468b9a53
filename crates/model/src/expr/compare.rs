//! One comparison: a variable against what is wanted of it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::Value;

use super::BadExpr;
use super::parse::bad;
use super::pattern::Pattern;
use crate::variables::Variables;

/// What is wanted of a variable.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Equal(Wanted),
    Differ(Wanted),
    Order(Order, f64),
    Matches(Arc<Pattern>),
    In(Vec<Wanted>),
    Has(String),
    Within(Vec<IpNet>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Above,
    AtLeast,
    Below,
    AtMost,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    Absent,
    Text(String),
    Number(f64),
}

impl Test {
    pub(super) fn new(operator: &str, value: &Value) -> Result<Self, BadExpr> {
        let order = |order| match number(value) {
            Some(number) => Ok(Self::Order(order, number)),
            None => {
                Err(bad(format!("invalid value for operator '{operator}': expected a number, got {value}")))
            }
        };
        match operator.to_lowercase().as_str() {
            "==" => Ok(Self::Equal(wanted(value)?)),
            "~=" => Ok(Self::Differ(wanted(value)?)),
            ">" => order(Order::Above),
            ">=" => order(Order::AtLeast),
            "<" => order(Order::Below),
            "<=" => order(Order::AtMost),
            "~~" | "~*" => {
                let text =
                    value.as_str().ok_or_else(|| bad(format!("invalid regex {value}: expected a string")))?;
                Ok(Self::Matches(Pattern::shared(text, operator == "~*")?))
            }
            "in" => {
                let items = value.as_array().ok_or_else(|| bad("the operator 'in' expects an array"))?;
                Ok(Self::In(items.iter().map(wanted).collect::<Result<_, _>>()?))
            }
            "has" => match value {
                Value::String(text) => Ok(Self::Has(text.clone())),
                Value::Number(number) => Ok(Self::Has(number.to_string())),
                other => Err(bad(format!("the operator 'has' expects a string, got {other}"))),
            },
            "ipmatch" => {
                let items = match value {
                    Value::Array(items) => items.as_slice(),
                    one => std::slice::from_ref(one),
                };
                Ok(Self::Within(items.iter().map(network).collect::<Result<_, _>>()?))
            }
            _ => Err(bad(format!("invalid operator '{operator}'"))),
        }
    }

    pub(super) fn holds(&self, name: &str, variables: &dyn Variables) -> bool {
        if let Self::Has(wanted) = self {
            return variables
                .list(name)
                .is_some_and(|items| items.iter().any(|item| **item == *wanted.as_bytes()));
        }
        let found = variables.variable(name);
        let found = found.as_deref();
        match self {
            Self::Equal(wanted) => wanted.equals(found),
            Self::Differ(wanted) => !wanted.equals(found),
            Self::Order(order, wanted) => found.and_then(as_number).is_some_and(|found| match order {
                Order::Above => found > *wanted,
                Order::AtLeast => found >= *wanted,
                Order::Below => found < *wanted,
                Order::AtMost => found <= *wanted,
            }),
            Self::Matches(pattern) => found.is_some_and(|found| pattern.is_match(found)),
            Self::In(items) => items.iter().any(|item| item.equals(found)),
            Self::Has(_) => false,
            Self::Within(networks) => {
                found.and_then(|found| std::str::from_utf8(found).ok()?.parse::<IpAddr>().ok()).is_some_and(
                    |address| networks.iter().any(|network| network.contains(&address.to_canonical())),
                )
            }
        }
    }
}

impl Wanted {
    fn equals(&self, found: Option<&[u8]>) -> bool {
        match (self, found) {
            (Self::Absent, found) => found.is_none(),
            (_, None) => false,
            (Self::Text(text), Some(found)) => text.as_bytes() == found,
            (Self::Number(number), Some(found)) => as_number(found) == Some(*number),
        }
    }
}

fn wanted(value: &Value) -> Result<Wanted, BadExpr> {
    Ok(match value {
        Value::Null => Wanted::Absent,
        Value::Bool(truth) => Wanted::Text(truth.to_string()),
        Value::Number(_) => Wanted::Number(number(value).unwrap_or(f64::NAN)),
        Value::String(text) => Wanted::Text(text.clone()),
        Value::Array(_) | Value::Object(_) => {
            return Err(bad(format!("invalid value {value}: expected a string or number")));
        }
    })
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => as_number(text.as_bytes()),
        _ => None,
    }
}

fn as_number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

fn network(value: &Value) -> Result<IpNet, BadExpr> {
    let text = value.as_str().unwrap_or_default();
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    parsed.map_err(|_| bad(format!("invalid ip address or network: {value}")))
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal(wanted) => write!(f, "{wanted}"),
            Self::Differ(wanted) => write!(f, "other than {wanted}"),
            Self::Order(order, number) => {
                let sign = match order {
                    Order::Above => ">",
                    Order::AtLeast => ">=",
                    Order::Below => "<",
                    Order::AtMost => "<=",
                };
                write!(f, "{sign} {number}")
            }
            Self::Matches(pattern) => write!(f, "a match of {}", pattern.as_str()),
            Self::In(items) => {
                let all: Vec<String> = items.iter().map(ToString::to_string).collect();
                write!(f, "one of {}", all.join(", "))
            }
            Self::Has(text) => write!(f, "a list with {text}"),
            Self::Within(networks) => {
                let all: Vec<String> = networks.iter().map(ToString::to_string).collect();
                write!(f, "an address in {}", all.join(", "))
            }
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}
