//! What VALUE on the command line stands for.

use crate::failure::Failure;
use serde_json::Value;

/// A value to be stored.
pub(crate) enum Given {
    /// A str in Python.
    Text(String),
    /// An int.
    Integer(i128),
    /// What JSON can say.
    Json(Value),
}

impl Given {
    /// Reads the text as it is, as an integer, or as JSON. The text is not repeated in an error.
    pub(crate) fn read(text: &str, int: bool, json: bool) -> Result<Self, Failure> {
        if int {
            let number = text.parse().map_err(|_| {
                Failure::usage("VALUE is no integer of up to 128 bits", "Leave --int out to store it as text")
            })?;
            return Ok(Self::Integer(number));
        }
        if json {
            return serde_json::from_str(text).map(Self::Json).map_err(|error| {
                let place = format!("VALUE is no JSON (line {}, column {})", error.line(), error.column());
                Failure::usage(place, "A text in JSON has double quotes; leave --json out to store VALUE as text")
            });
        }
        Ok(Self::Text(text.to_owned()))
    }
}
