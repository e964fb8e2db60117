//! Where things are: the configured URL, checked once, and the paths below it.
//!
//! A path is built from segments that were encoded one by one, so that no id can climb out of its collection; an id
//! that is empty or breaks the key rules has no address at all (`DELETE c/.json` would be the whole collection).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::{
    model::{rtdb, source::SourceSpec},
    remote::{RemoteError, http::is_loopback},
};

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');
const QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~').remove(b'.').remove(b'$').remove(b':');

#[derive(Debug, Clone)]
pub(crate) struct Address {
    /// Scheme, host, port and base path; no query.
    base: Url,
    namespace: Option<String>,
}

impl Address {
    pub(crate) fn new(spec: &SourceSpec) -> Result<Self, RemoteError> {
        let refuse = |reason: &str| RemoteError::Url { url: shown(&spec.url), reason: reason.to_owned() };
        let url = Url::parse(spec.url.trim()).map_err(|error| refuse(&error.to_string()))?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) || spec.allow_plain => {}
            "http" => {
                return Err(refuse("plain `http` is for this computer only; use `https`, or set `allow_plain = true`"));
            }
            _ => return Err(refuse("it must begin with `https://`, or `http://` for this computer")),
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(refuse("it names no host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("it holds user information; give credentials by `auth`, never in the URL"));
        }
        if url.fragment().is_some() {
            return Err(refuse("it has a `#` part, which no server sees"));
        }
        if url.path().ends_with(".json") {
            return Err(refuse("leave `.json` away; it is added to every request"));
        }
        let mut namespace = None;
        for (name, value) in url.query_pairs() {
            match &*name {
                "ns" => namespace = Some(value.into_owned()),
                "auth" | "access_token" => {
                    return Err(refuse("it holds a secret; give credentials by `auth`, never in the URL"));
                }
                _ => return Err(refuse("of its query only `ns` can be kept")),
            }
        }
        let mut base = url;
        base.set_query(None);
        let address = Self { base, namespace };
        for collection in &spec.collections {
            let refuse = |reason: String| RemoteError::Url {
                url: format!("{}/{}", address.shown(), collection.path.trim_matches('/')),
                reason: format!("the path of `{}`: {reason}", collection.name),
            };
            for segment in segments(&collection.path) {
                rtdb::check_key(segment).map_err(refuse)?;
            }
        }
        Ok(address)
    }

    /// Scheme, host and path, for people.
    pub(crate) fn shown(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The URL of a collection.
    pub(crate) fn collection(&self, path: &str, parameters: &[(&str, &str)]) -> Url {
        self.build(segments(path), parameters)
    }

    /// The URL of a record; an error in words where the id cannot be one.
    pub(crate) fn record(&self, path: &str, id: &str) -> Result<Url, String> {
        rtdb::check_key(id)?;
        Ok(self.build(segments(path).chain([id]), &[]))
    }

    fn build<'a>(&self, segments: impl Iterator<Item = &'a str>, parameters: &[(&str, &str)]) -> Url {
        let mut path = self.base.path().trim_end_matches('/').to_owned();
        let mut any = false;
        for segment in segments {
            path.push('/');
            path.extend(utf8_percent_encode(segment, SEGMENT));
            any = true;
        }
        path.push_str(if any || !path.is_empty() { ".json" } else { "/.json" });
        let namespace = self.namespace.as_deref().map(|name| ("ns", name));
        let query: Vec<String> = parameters
            .iter()
            .copied()
            .chain(namespace)
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY)))
            .collect();
        let mut url = self.base.clone();
        url.set_path(&path);
        url.set_query((!query.is_empty()).then(|| query.join("&")).as_deref());
        url
    }
}

pub(crate) fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// A URL that was refused, without whatever it may hold between `//` and `@` or behind `?`.
fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or("");
    match (text.split_once("//"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}//…@{host}"),
        (None, Some((_, host))) => format!("…@{host}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        rules::ConflictRules,
        source::{AuthSpec, CollectionSpec, PullMode, SourceKind},
    };

    fn spec(url: &str, path: &str) -> SourceSpec {
        SourceSpec {
            name: "office".into(),
            kind: SourceKind::Firebase,
            url: url.to_owned(),
            auth: AuthSpec::None,
            read_only: false,
            allow_plain: false,
            user: None,
            collections: vec![CollectionSpec {
                name: "tasks".into(),
                path: path.to_owned(),
                columns: Vec::new(),
                title: None,
                pull: PullMode::Auto,
                updated_at: None,
                conflicts: ConflictRules::default(),
            }],
        }
    }

    #[test]
    fn paths_are_encoded_segment_by_segment_and_the_namespace_is_kept() {
        let address = Address::new(&spec("http://127.0.0.1:9000/?ns=demo", "teams/7/täsks")).unwrap();
        let url = address.record("teams/7/täsks", "a b?c%2f").unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:9000/teams/7/t%C3%A4sks/a%20b%3Fc%252f.json?ns=demo");
        let url = address.collection("tasks", &[("orderBy", "\"$key\""), ("startAt", "\"a&b\"")]);
        assert_eq!(url.as_str(), "http://127.0.0.1:9000/tasks.json?orderBy=%22$key%22&startAt=%22a%26b%22&ns=demo");
        assert_eq!(address.collection("", &[]).as_str(), "http://127.0.0.1:9000/.json?ns=demo");
        let below = Address::new(&spec("https://x.test/deep/", "tasks")).unwrap();
        assert_eq!(below.collection("tasks", &[]).as_str(), "https://x.test/deep/tasks.json");
        assert_eq!(below.collection("", &[]).as_str(), "https://x.test/deep.json");
    }

    #[test]
    fn an_id_that_would_be_the_collection_or_leave_it_has_no_address() {
        let address = Address::new(&spec("https://x.test", "tasks")).unwrap();
        for id in ["", "a/b", "..", ".", "a.b", "$key", "a#b", "a[0]", "a\nb"] {
            assert!(address.record("tasks", id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn urls_that_cannot_work_are_refused_with_a_reason_and_without_their_secrets() {
        for (url, path, reason) in [
            ("ftp://x.test", "t", "must begin with"),
            ("http://x.test", "t", "plain `http`"),
            ("https://user:canary@x.test", "t", "user information"),
            ("https://x.test#canary", "t", "`#`"),
            ("https://x.test?auth=canary", "t", "secret"),
            ("https://x.test?print=pretty", "t", "only `ns`"),
            ("https://x.test/a.json", "t", ".json"),
            ("nonsense", "t", "URL"),
            ("https://x.test", "a/../b", "the path of `tasks`"),
        ] {
            let error = Address::new(&spec(url, path)).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
