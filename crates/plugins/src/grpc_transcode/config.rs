//! What a user writes for `grpc-transcode`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use usher_model::protobuf::{Defaults, Style, Wide};
use usher_pipeline::plugin::BuildError;

use crate::schema::Id;

/// Puts a gRPC method behind an ordinary URL.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Config {
    /// The id of the `protos` object that defines the service.
    pub(super) proto_id: Id,
    /// The service with its package, such as `helloworld.Greeter`.
    pub(super) service: String,
    /// The method, such as `SayHello`.
    pub(super) method: String,
    /// How long the upstream may take, in milliseconds, told to it as `grpc-timeout`; 0 tells nothing.
    #[serde(default)]
    deadline: f64,
    /// How the answer's messages stand in JSON: wide numbers, enums and members that a message doesn't say, each by one of its words.
    #[serde(default = "usual")]
    #[schemars(length(min = 1))]
    pb_option: Vec<Word>,
    /// Whether a failure is answered with what its `grpc-status-details-bin` says, as JSON.
    #[serde(default)]
    pub(super) show_status_in_body: bool,
    /// The message that the details of a failure are, such as `helloworld.ErrorDetail`.
    pub(super) status_detail_type: Option<String>,
    /// The largest message of an answer, in bytes, at least 1; 64 MiB where it isn't given.
    #[schemars(range(min = 1))]
    pub(super) max_resp_body_size: Option<u64>,
}

/// A word of `pb_option`.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Int64AsNumber,
    Int64AsString,
    Int64AsHexstring,
    EnumAsName,
    EnumAsValue,
    AutoDefaultValues,
    NoDefaultValues,
    UseDefaultValues,
    UseDefaultMetatable,
    EnableHooks,
    DisableHooks,
}

impl JsonSchema for Word {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Word".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "anyOf": [
                { "enum": ["int64_as_number", "int64_as_string", "int64_as_hexstring"] },
                { "enum": ["enum_as_name", "enum_as_value"] },
                { "enum": ["auto_default_values", "no_default_values", "use_default_values", "use_default_metatable"] },
                { "enum": ["enable_hooks", "disable_hooks"] }
            ]
        })
    }
}

fn usual() -> Vec<Word> {
    vec![Word::EnumAsName, Word::Int64AsNumber, Word::AutoDefaultValues, Word::DisableHooks]
}

impl Config {
    /// How messages stand in JSON. Of words about the same thing the last one counts.
    pub(super) fn style(&self) -> Style {
        let mut style = Style::default();
        for word in &self.pb_option {
            match word {
                Word::Int64AsNumber => style.wide = Wide::Number,
                Word::Int64AsString => style.wide = Wide::Text,
                Word::Int64AsHexstring => style.wide = Wide::Hex,
                Word::EnumAsName => style.enums_as_numbers = false,
                Word::EnumAsValue => style.enums_as_numbers = true,
                Word::AutoDefaultValues => style.defaults = Defaults::Proto3,
                Word::UseDefaultValues => style.defaults = Defaults::All,
                // A metatable's defaults are none of the members that are written as JSON.
                Word::NoDefaultValues | Word::UseDefaultMetatable => style.defaults = Defaults::None,
                // Hooks are functions that a program registers; nobody registers any.
                Word::EnableHooks | Word::DisableHooks => {}
            }
        }
        style
    }

    /// The deadline as gRPC writes it: at most eight digits and a unit.
    ///
    /// # Errors
    /// It is negative, or too long.
    pub(super) fn timeout(&self) -> Result<Option<String>, BuildError> {
        const MOST: f64 = 99_999_999.0;
        if self.deadline == 0.0 {
            return Ok(None);
        }
        let ms = self.deadline.ceil();
        if !(1.0..=MOST).contains(&ms) {
            return Err(BuildError::new(format!(
                "property \"deadline\" validation failed: {} is no number of milliseconds from 0 to {MOST}",
                self.deadline
            )));
        }
        Ok(Some(format!("{ms}m")))
    }
}
