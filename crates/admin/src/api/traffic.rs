//! `traffic`: what was served, second by second or hour by hour, from the gateway's own time series.

use std::time::{SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use usher_model::traffic::{Ask, By, LONGEST_SECS, Latency, Measure, Only, Order, Row, span};

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::refusal::Refusal;
use super::requests::status;
use crate::service::{Gateways, Missing};

/// The most rows of one answer.
const MOST_ROWS: usize = 100;
/// The most points of one row.
const MOST_POINTS: usize = 1_500;

/// Which traffic is wanted.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Asked {
    /// How far back, such as `10m`, `24h` or `30d`. Default `1h`. Not beside `from`.
    range: Option<String>,
    /// From when on, in seconds since 1970.
    from: Option<u64>,
    /// Up to when, in seconds since 1970. Default: now.
    to: Option<u64>,
    /// Seconds of one point; made a multiple of what is kept of that time (1, 60 or 3600). Default: so that there are at most `points`.
    step: Option<u64>,
    /// The most points of a series, 0 to 1500; 0: sums alone. Default 120.
    points: Option<usize>,
    /// What series are told apart by, with commas: `route`, `service`, `consumer`, `status`, `class`, `cause`, `plugin`, `client`. Default: one
    /// series of everything.
    group: Option<String>,
    /// Only requests of the route of this id; empty: of none.
    route: Option<String>,
    /// Only requests of the service of this id.
    service: Option<String>,
    /// Only requests of this consumer; empty: of nobody known.
    consumer: Option<String>,
    /// Only answers to this client of 400 and above: others are not kept by client.
    client: Option<String>,
    /// Only answers of this status, such as `404`, of this class, such as `5xx`, or between two, such as `400-499`.
    status: Option<String>,
    /// Only requests that the gateway answered by itself for this cause, such as `connect-timeout`.
    cause: Option<String>,
    /// Only requests that this plugin answered.
    plugin: Option<String>,
    /// The most series, 1 to 100. Default 10.
    limit: Option<usize>,
    /// Which come first: `requests` (the usual), `errors`, `refused`, `slowest` or `bytes`.
    sort: Option<String>,
    /// How much earlier the time lies that it is compared with, such as `1d`.
    compare: Option<String>,
}

/// What was served.
#[derive(Serialize, JsonSchema)]
pub(super) struct TrafficShape {
    /// The first second, since 1970.
    from: u64,
    /// The second behind the last.
    to: u64,
    /// Seconds of one point.
    step: u64,
    /// The oldest second that anything is kept of; null where nothing is.
    since: Option<u64>,
    /// What series are told apart by.
    group: Vec<&'static str>,
    /// Everything that was asked for.
    total: MeasureShape,
    /// The same of the time that it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<MeasureShape>,
    /// The series, in the order asked for.
    series: Vec<SeriesShape>,
    /// How many series there are beside those.
    more: usize,
    /// Of how many gateways all of it is; left out where the settings name no others, so that it is of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    gateways: Option<GatewaysShape>,
}

/// Of how many gateways figures are.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Gateways")]
struct GatewaysShape {
    /// Those that are in the figures, this one among them.
    counted: usize,
    /// Those that are not.
    missing: Vec<MissingShape>,
}

/// A gateway whose traffic is in no figure.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MissingGateway")]
struct MissingShape {
    /// As `gateways.others` of the settings names it.
    gateway: String,
    /// Why it is missing.
    reason: String,
}

/// One series: its sum, and its points as lists of the same length, the oldest first.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Series")]
struct SeriesShape {
    /// What it is told apart by: a name for each member of `group`. Empty: none, such as a request that took no route; `*`: all those that are
    /// too rare to be kept by themselves.
    key: Map<String, Value>,
    /// Its sum.
    total: MeasureShape,
    /// Its sum in the time that it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<MeasureShape>,
    /// Requests.
    requests: Vec<u64>,
    /// Answers of 500 and above.
    errors: Vec<u64>,
    /// Answers of 400 to 499.
    refused: Vec<u64>,
    /// Bytes of requests.
    received_bytes: Vec<u64>,
    /// Bytes of answers.
    sent_bytes: Vec<u64>,
    /// Milliseconds that half of the requests took at most; null where there were none.
    p50_ms: Vec<Option<f64>>,
    /// Milliseconds that 95 of a hundred took at most.
    p95_ms: Vec<Option<f64>>,
    /// Milliseconds that 99 of a hundred took at most.
    p99_ms: Vec<Option<f64>>,
}

/// What was counted.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Measure")]
struct MeasureShape {
    /// Requests.
    requests: u64,
    /// Answers of 500 and above.
    errors: u64,
    /// Answers of 400 to 499.
    refused: u64,
    /// Answers by class: 1xx, 2xx, 3xx, 4xx, 5xx.
    by_class: [u64; 5],
    /// Bytes of requests.
    received_bytes: u64,
    /// Bytes of answers.
    sent_bytes: u64,
    /// How long they took on average, in milliseconds; null where there were none.
    mean_ms: Option<f64>,
    /// Of that, what the upstream took.
    upstream_mean_ms: Option<f64>,
    /// Half of them took no longer.
    p50_ms: Option<f64>,
    /// 95 of a hundred took no longer.
    p95_ms: Option<f64>,
    /// 99 of a hundred took no longer.
    p99_ms: Option<f64>,
}

/// `GET /traffic`.
pub(super) async fn read(call: Call, asked: Asked, _: Nothing) -> Result<Answer<TrafficShape>, Refusal> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let earlier = asked.compare.as_deref().map(|text| time("compare", text)).transpose()?;
    let ask = ask(asked, now)?;
    let by = ask.by.clone();
    let found = call.service.traffic(&call.who, ask, earlier).await?;
    let compared = found.before.is_some();
    let mut before = found.rows_before.into_iter();
    let traffic = found.traffic;
    let series = traffic.rows.iter().map(|row| {
        let before = before.next().filter(|_| compared);
        SeriesShape::of(row, &by, before.as_ref())
    });
    Ok(Answer::ok(TrafficShape {
        from: traffic.from,
        to: traffic.to,
        step: traffic.step,
        since: traffic.since,
        group: by.iter().map(|by| by.name()).collect(),
        total: MeasureShape::of(&traffic.total),
        before: found.before.as_ref().map(MeasureShape::of),
        series: series.collect(),
        more: traffic.more,
        gateways: found.gateways.map(GatewaysShape::of),
    }))
}

fn ask(asked: Asked, now: u64) -> Result<Ask, Refusal> {
    let to = asked.to.unwrap_or(now + 1);
    let from = match (asked.from, asked.range.as_deref()) {
        (Some(_), Some(_)) => {
            return Err(Refusal::invalid("from and range say the same twice")
                .at("range")
                .next("leave one of them out"));
        }
        (Some(from), None) => from,
        (None, range) => to.saturating_sub(time("range", range.unwrap_or("1h"))?),
    };
    if from >= to {
        return Err(Refusal::invalid(format!("from is {from}, which is not before to, {to}")).at("from"));
    }
    let bounded = |name: &str, number: usize, least: usize, most: usize| {
        if (least..=most).contains(&number) {
            return Ok(number);
        }
        let message = format!("{name} is {number}, but has to lie between {least} and {most}");
        Err(Refusal::invalid(message).at(name))
    };
    let points = bounded("points", asked.points.unwrap_or(120), 0, MOST_POINTS)?;
    let step = asked.step.unwrap_or(0);
    if step > LONGEST_SECS || (step > 0 && (to - from) / step > MOST_POINTS as u64) {
        let message = format!(
            "a step of {step} seconds makes more than {MOST_POINTS} points of {} seconds, or none",
            to - from
        );
        return Err(Refusal::invalid(message)
            .at("step")
            .next("make the step longer or the time shorter, or leave the step out"));
    }
    Ok(Ask {
        from,
        to,
        step,
        points,
        by: group(asked.group.as_deref().unwrap_or_default())?,
        only: Only {
            route: asked.route,
            service: asked.service,
            consumer: asked.consumer,
            client: asked.client,
            status: asked.status.as_deref().map(status).transpose()?,
            cause: asked.cause,
            plugin: asked.plugin,
            routes: None,
        },
        limit: bounded("limit", asked.limit.unwrap_or(10), 1, MOST_ROWS)?,
        order: order(asked.sort.as_deref().unwrap_or("requests"))?,
    })
}

fn time(field: &str, text: &str) -> Result<u64, Refusal> {
    span(text).ok_or_else(|| {
        Refusal::invalid(format!("{text:?} is no time"))
            .at(field)
            .next("write a number and s, m, h, d or w, such as 10m, 24h or 7d; 30 days at most")
    })
}

fn group(text: &str) -> Result<Vec<By>, Refusal> {
    let mut by = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let one = By::parse(word).ok_or_else(|| {
            let names = By::ALL.map(By::name).join(", ");
            Refusal::invalid(format!("{word:?} is nothing that series are told apart by"))
                .at("group")
                .next(format!("write some of {names}, with commas"))
        })?;
        if !by.contains(&one) {
            by.push(one);
        }
    }
    Ok(by)
}

fn order(text: &str) -> Result<Order, Refusal> {
    Ok(match text {
        "requests" => Order::Requests,
        "errors" => Order::Errors,
        "refused" => Order::Refused,
        "slowest" => Order::Slowest,
        "bytes" => Order::Bytes,
        other => {
            return Err(Refusal::invalid(format!("{other:?} is nothing that series are sorted by"))
                .at("sort")
                .next("write requests, errors, refused, slowest or bytes"));
        }
    })
}

impl SeriesShape {
    fn of(row: &Row, by: &[By], before: Option<&Measure>) -> Self {
        let count = |of: fn(&Measure) -> u64| row.points.iter().map(of).collect();
        let latency =
            |of: fn(&Latency) -> f64| row.points.iter().map(|point| point.took.as_ref().map(of)).collect();
        Self {
            key: by
                .iter()
                .zip(&row.key)
                .map(|(by, name)| (by.name().to_owned(), name.clone().into()))
                .collect(),
            total: MeasureShape::of(&row.total),
            before: before.map(MeasureShape::of),
            requests: count(|point| point.requests),
            errors: count(Measure::errors),
            refused: count(Measure::refused),
            received_bytes: count(|point| point.received_bytes),
            sent_bytes: count(|point| point.sent_bytes),
            p50_ms: latency(|took| took.p50_ms),
            p95_ms: latency(|took| took.p95_ms),
            p99_ms: latency(|took| took.p99_ms),
        }
    }
}

impl GatewaysShape {
    fn of(gateways: Gateways) -> Self {
        let missing = gateways.missing.into_iter();
        let missing = missing.map(|Missing { gateway, reason }| MissingShape { gateway, reason }).collect();
        Self { counted: gateways.counted, missing }
    }
}

impl MeasureShape {
    fn of(measure: &Measure) -> Self {
        let took = |of: fn(&Latency) -> f64| measure.took.as_ref().map(of);
        Self {
            requests: measure.requests,
            errors: measure.errors(),
            refused: measure.refused(),
            by_class: measure.by_class,
            received_bytes: measure.received_bytes,
            sent_bytes: measure.sent_bytes,
            mean_ms: took(|took| took.mean_ms),
            upstream_mean_ms: took(|took| took.upstream_mean_ms),
            p50_ms: took(|took| took.p50_ms),
            p95_ms: took(|took| took.p95_ms),
            p99_ms: took(|took| took.p99_ms),
        }
    }
}
