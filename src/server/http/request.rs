//! What a request asks for: its place, its parameters, its verb.

use std::time::Duration;

use axum::http::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;

use super::answer::{self, Answer};
use crate::model::rtdb::{MAX_DEPTH, check_key};
use crate::server::store::{PARAMETERS, Query};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    Data(Vec<String>),
    /// `….priority.json`
    Priority(Vec<String>),
    Stats,
    Rules,
}

impl Target {
    pub(super) fn read(uri: &Uri) -> Result<Self, Answer> {
        let Some(path) = uri.path().strip_suffix(".json") else {
            let hint = "Append `.json` to the path to use the REST interface";
            return Err(answer::error(axum::http::StatusCode::NOT_FOUND, hint));
        };
        match path {
            "/.ebbtide/stats" => return Ok(Self::Stats),
            "/.settings/rules" => return Ok(Self::Rules),
            _ => {}
        }
        let mut keys = Vec::new();
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            let key = percent_decode_str(segment)
                .decode_utf8()
                .map_err(|_| answer::bad_request("Invalid path: it is not UTF-8"))?;
            keys.push(key.into_owned());
        }
        let priority = keys.pop_if(|last| last == ".priority").is_some();
        check_path(&keys).map_err(|reason| answer::bad_request(&format!("Invalid path: {reason}")))?;
        Ok(if priority { Self::Priority(keys) } else { Self::Data(keys) })
    }
}

/// Every key allowed, and not too many of them.
pub(super) fn check_path(keys: &[String]) -> Result<(), String> {
    if keys.len() > MAX_DEPTH {
        return Err(format!("it is deeper than the limit of {MAX_DEPTH} levels"));
    }
    keys.iter().try_for_each(|key| check_key(key))
}

/// The verb after `X-HTTP-Method-Override`, which counts on POST only.
pub(super) fn method(method: &Method, headers: &HeaderMap) -> Method {
    let named = headers.get("x-http-method-override").and_then(|name| name.to_str().ok());
    match named {
        Some(name) if method == Method::POST => {
            Method::from_bytes(name.trim().to_ascii_uppercase().as_bytes()).unwrap_or(Method::TRACE)
        }
        _ => method.clone(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Print {
    Compact,
    Pretty,
    Silent,
}

/// The query string. Unknown names are ignored, as `ns` is: there is one database.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn read(uri: &Uri) -> Self {
        Self(url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()).into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn print(&self) -> Result<Print, Answer> {
        match self.get("print") {
            None => Ok(Print::Compact),
            Some("pretty") => Ok(Print::Pretty),
            Some("silent") => Ok(Print::Silent),
            Some(_) => Err(answer::bad_request("print must be `pretty` or `silent`")),
        }
    }

    pub(super) fn query(&self) -> Result<Option<Query>, Answer> {
        Query::read(|name| self.get(name)).map_err(|error| answer::bad_request(&error.0))
    }

    pub(super) fn is_export(&self) -> Result<bool, Answer> {
        match self.get("format") {
            None => Ok(false),
            Some("export") => Ok(true),
            Some(_) => Err(answer::bad_request("format must be `export`")),
        }
    }

    /// `shallow=true`, which goes with no parameter that shapes the answer.
    pub(super) fn is_shallow(&self) -> Result<bool, Answer> {
        if self.get("shallow") != Some("true") {
            return Ok(false);
        }
        if PARAMETERS.iter().chain(&["format"]).any(|name| self.get(name).is_some()) {
            return Err(answer::bad_request("Mixing 'shallow' and querying parameters is not supported"));
        }
        Ok(true)
    }

    /// `timeout=3ms|3s|3min`, at most a quarter of an hour.
    pub(super) fn timeout(&self) -> Result<Option<Duration>, Answer> {
        let Some(text) = self.get("timeout") else { return Ok(None) };
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
        let millis = match (text[..text.len() - unit.len()].parse::<u64>(), unit) {
            (Ok(count), "ms") => count,
            (Ok(count), "s") => count.saturating_mul(1000),
            (Ok(count), "min") => count.saturating_mul(60_000),
            _ => return Err(answer::bad_request("timeout is a number with `ms`, `s` or `min`")),
        };
        if millis > 15 * 60_000 {
            return Err(answer::bad_request("timeout must be no more than 15min"));
        }
        Ok(Some(Duration::from_millis(millis)))
    }

    /// Bytes a write may have. The documented sizes are times (1, 10, 30, 60 s); here they are what a slow disk writes in
    /// them.
    pub(super) fn write_limit(&self) -> Result<usize, Answer> {
        match self.get("writeSizeLimit") {
            Some("tiny") => Ok(1 << 20),
            Some("small") => Ok(10 << 20),
            Some("medium") => Ok(32 << 20),
            Some("large") => Ok(64 << 20),
            None | Some("unlimited") => Ok(super::write::MAX_BODY),
            Some(_) => {
                Err(answer::bad_request("writeSizeLimit must be `tiny`, `small`, `medium`, `large` or `unlimited`"))
            }
        }
    }
}
