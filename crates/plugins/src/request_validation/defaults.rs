//! Members that a JSON body leaves out and for which its schema has a `default`: they are filled in, so that the upstream finds them.
//!
//! APISIX's validator does so while it judges. Here the body is judged first, as it was sent: a default makes no body pass that wouldn't without it.

use serde_json::{Map, Value};

/// The defaults of a schema, taken out of it once.
#[derive(Default)]
pub(crate) struct Defaults {
    members: Vec<Member>,
    items: Option<Box<Self>>,
}

struct Member {
    name: String,
    /// What is filled in, with its length in JSON.
    default: Option<(Value, usize)>,
    below: Defaults,
}

/// More would be filled in than there is room for.
pub(crate) struct NoRoom;

impl Defaults {
    /// Those of `properties`, of `items` that are all alike, and of what `allOf` adds to them. Those behind a `$ref` are not followed.
    pub(crate) fn of(schema: &Map<String, Value>) -> Self {
        let mut found = Self::default();
        found.read(schema);
        found
    }

    /// Whether there are none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.members.is_empty() && self.items.is_none()
    }

    fn read(&mut self, schema: &Map<String, Value>) {
        for (name, member) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let Some(member) = member.as_object() else { continue };
            let default = member.get("default").filter(|default| !default.is_null());
            let default = default.map(|default| (default.clone(), default.to_string().len() + name.len()));
            let below = Self::of(member);
            if default.is_some() || !below.is_empty() {
                self.members.push(Member { name: name.clone(), default, below });
            }
        }
        if let Some(items) = schema.get("items").and_then(Value::as_object).map(Self::of)
            && !items.is_empty()
        {
            self.items = Some(Box::new(items));
        }
        let also = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
        also.filter_map(Value::as_object).for_each(|schema| self.read(schema));
    }

    /// Fills in what `value` leaves out, at most `room` bytes of JSON, and says whether that was anything.
    ///
    /// # Errors
    /// There is more of it; a list of empty objects would grow without end.
    pub(crate) fn fill(&self, value: &mut Value, room: &mut usize) -> Result<bool, NoRoom> {
        let mut filled = false;
        match value {
            Value::Object(members) => {
                for member in &self.members {
                    if let Some(sent) = members.get_mut(&member.name) {
                        filled |= member.below.fill(sent, room)?;
                    } else if let Some((default, length)) = &member.default {
                        *room = room.checked_sub(*length).ok_or(NoRoom)?;
                        members.insert(member.name.clone(), default.clone());
                        filled = true;
                    }
                }
            }
            Value::Array(items) => {
                if let Some(below) = &self.items {
                    for item in items {
                        filled |= below.fill(item, room)?;
                    }
                }
            }
            _ => {}
        }
        Ok(filled)
    }
}
