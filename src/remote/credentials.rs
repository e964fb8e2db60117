//! Credentials: read when first needed, kept in memory, never in an error, a log, a hash or a shown URL.
//!
//! ## Where the token goes
//!
//! Google's REST API takes Firebase ID tokens (a JWT) and legacy database secrets (40 letters and digits) only as the
//! query parameter `auth=`, and OAuth2 access tokens and the emulator's `owner` as `Authorization: Bearer`. A header is
//! the safer place, so everything that is not plainly one of the first two goes there. The parameter is added to the
//! URL at the moment of sending and exists nowhere else.

use std::{
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::Engine as _;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

use crate::model::{source::AuthSpec, wire::TokenPlace};

/// How long a credentials command may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Credentials {
    spec: AuthSpec,
    cached: Mutex<Option<Token>>,
    /// One reading at a time: a burst of requests runs the command once.
    reading: tokio::sync::Mutex<()>,
}

/// A token ready to be placed. Prints as `[redacted]`.
#[derive(Clone)]
pub(crate) struct Token(Arc<SecretString>);

impl Credentials {
    /// Checks what can be checked without reading anything.
    pub(crate) fn new(spec: AuthSpec) -> Result<Self, String> {
        if let AuthSpec::Command(command) = &spec {
            match shell_words::split(command) {
                Ok(words) if words.is_empty() => return Err("the command is empty".to_owned()),
                Ok(_) => {}
                Err(_) => return Err("the command has an open quote".to_owned()),
            }
        }
        Ok(Self { spec, cached: Mutex::new(None), reading: tokio::sync::Mutex::new(()) })
    }

    /// Where the credentials come from, without any secret; empty where there are none.
    pub(crate) fn name(&self) -> String {
        match &self.spec {
            AuthSpec::None => String::new(),
            AuthSpec::Env(name) => format!("env:{name}"),
            AuthSpec::File(path) => format!("file:{}", path.display()),
            AuthSpec::Command(command) => format!("command:{}", program(command)),
        }
    }

    /// Where the token will go, as far as can be told without running anything; `None` without credentials. A copied
    /// command takes it from the variable it is configured with, or from `EBBTIDE_TOKEN`.
    pub(crate) fn place(&self) -> Option<TokenPlace> {
        let (variable, known) = match &self.spec {
            AuthSpec::None => return None,
            AuthSpec::Env(name) => (name.clone(), std::env::var(name).ok()),
            AuthSpec::File(path) => ("EBBTIDE_TOKEN".to_owned(), std::fs::read_to_string(path).ok()),
            AuthSpec::Command(_) => ("EBBTIDE_TOKEN".to_owned(), None),
        };
        let known = known.and_then(|text| Token::checked(SecretString::from(text)).ok());
        let in_query = self.cached().or(known).is_some_and(|token| token.goes_into_query());
        Some(TokenPlace { variable, in_query })
    }

    /// The token, read on first use. The error is in words for a person and holds nothing of the secret.
    pub(crate) async fn token(&self) -> Result<Option<Token>, String> {
        if self.spec == AuthSpec::None {
            return Ok(None);
        }
        if let Some(token) = self.cached() {
            return Ok(Some(token));
        }
        let _reading = self.reading.lock().await;
        if let Some(token) = self.cached() {
            return Ok(Some(token));
        }
        let token = Token::checked(self.read().await?)?;
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(Some(token))
    }

    /// Who the token read last is for, as far as it tells; see [`Token::subject`].
    pub(crate) fn subject(&self) -> Option<String> {
        self.cached()?.subject()
    }

    pub(crate) fn forget(&self) {
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn cached(&self) -> Option<Token> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self) -> Result<SecretString, String> {
        match &self.spec {
            AuthSpec::None => Err("no credentials are configured".to_owned()),
            AuthSpec::Env(name) => match std::env::var(name) {
                Ok(text) => Ok(SecretString::from(text)),
                Err(std::env::VarError::NotPresent) => Err(format!("the environment variable `{name}` is not set")),
                Err(std::env::VarError::NotUnicode(_)) => {
                    Err(format!("the environment variable `{name}` is not valid text"))
                }
            },
            AuthSpec::File(path) => match tokio::fs::read_to_string(path).await {
                Ok(text) => Ok(SecretString::from(text)),
                Err(error) => Err(format!("`{}` cannot be read: {}", path.display(), error.kind())),
            },
            AuthSpec::Command(command) => run(command).await,
        }
    }
}

/// Runs the command without a shell; the first line of its output is the token. The last line of its error output is
/// repeated without whatever may be a secret.
async fn run(command: &str) -> Result<SecretString, String> {
    let words = shell_words::split(command).map_err(|_| "the command has an open quote".to_owned())?;
    let (program, arguments) = words.split_first().ok_or("the command is empty")?;
    let mut child = tokio::process::Command::new(program);
    child.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = match tokio::time::timeout(COMMAND_DEADLINE, child.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("`{program}` could not be run: {}", error.kind())),
        Err(_) => return Err(format!("`{program}` gave no answer within {} s", COMMAND_DEADLINE.as_secs())),
    };
    if !output.status.success() {
        let said = harmless(&String::from_utf8_lossy(&output.stderr), &String::from_utf8_lossy(&output.stdout));
        let said = if said.is_empty() { said } else { format!(" ({said})") };
        return Err(format!("`{program}` failed: {}{said}", output.status));
    }
    let text = String::from_utf8(output.stdout).map_err(|_| format!("the output of `{program}` is not text"))?;
    Ok(SecretString::from(text))
}

/// The last line a failed command said, at most 160 characters: long words, values after `=` or `:`, and everything it
/// also printed as its result are left out.
fn harmless(errors: &str, output: &str) -> String {
    const LONGEST_WORD: usize = 24;
    let Some(line) = errors.lines().rev().map(str::trim).find(|line| !line.is_empty()) else { return String::new() };
    let secret = |word: &str| {
        let word = word.trim_matches(|letter: char| !letter.is_alphanumeric());
        word.len() > LONGEST_WORD
            || (!word.is_empty() && output.split_whitespace().any(|printed| printed.contains(word)))
    };
    let mut after_label = false;
    let words = line.split_whitespace().map(|word| {
        let hide = after_label || secret(word) || word.contains('=');
        let label = word.trim_end_matches([':', '=']).to_ascii_lowercase();
        after_label = word.ends_with([':', '='])
            && ["token", "password", "secret", "key", "authorization", "bearer"].contains(&label.as_str())
            || word.eq_ignore_ascii_case("bearer");
        if hide { "[redacted]" } else { word }
    });
    words.collect::<Vec<_>>().join(" ").chars().filter(|letter| !letter.is_control()).take(160).collect()
}

fn program(command: &str) -> String {
    shell_words::split(command).ok().and_then(|words| words.into_iter().next()).unwrap_or_default()
}

impl Token {
    /// The first line, trimmed.
    fn checked(text: SecretString) -> Result<Self, String> {
        let line = text.expose_secret().lines().next().unwrap_or("").trim();
        if line.is_empty() {
            return Err("the credentials are empty".to_owned());
        }
        if line.bytes().any(|byte| !(0x21..=0x7e).contains(&byte)) {
            return Err("the credentials hold characters that no token has".to_owned());
        }
        Ok(Self(Arc::new(SecretString::from(line.to_owned()))))
    }

    /// `Authorization: Bearer …`, unless the token belongs into the query.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        if self.goes_into_query() {
            return None;
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0.expose_secret()))
            .expect("only visible ASCII passes the check");
        value.set_sensitive(true);
        Some(value)
    }

    /// Adds `auth=` where the token belongs into the query. The URL is for sending only.
    pub(crate) fn sign(&self, url: &mut url::Url) {
        if self.goes_into_query() {
            url.query_pairs_mut().append_pair("auth", self.0.expose_secret());
        }
    }

    /// A name for the account of a JWT that is the same for every token of it and gives nothing of it away: a hash of
    /// issuer and subject.
    fn subject(&self) -> Option<String> {
        let claims = self.0.expose_secret().split('.').nth(1).filter(|_| self.0.expose_secret().starts_with("eyJ"))?;
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
        let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
        let claim = |name: &str| claims.get(name).and_then(serde_json::Value::as_str);
        let subject = claim("sub").or_else(|| claim("user_id")).filter(|subject| !subject.is_empty())?;
        let hash = Sha256::digest(format!("{}\n{subject}", claim("iss").unwrap_or_default()));
        Some(format!("account {}", hash.iter().take(5).map(|byte| format!("{byte:02x}")).collect::<String>()))
    }

    /// Bytes it takes on the wire, its name included.
    pub(crate) fn size(&self) -> u64 {
        self.0.expose_secret().len() as u64 + 24
    }

    /// Removes every trace of the token from a text that came back from elsewhere.
    pub(crate) fn redact(&self, text: &str) -> String {
        text.replace(self.0.expose_secret(), "[redacted]")
    }

    fn goes_into_query(&self) -> bool {
        let token = self.0.expose_secret();
        let jwt = token.starts_with("eyJ") && token.split('.').count() == 3;
        let secret = token.len() == 40 && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
        jwt || secret
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Token {
        Token::checked(SecretString::from(text.to_owned())).unwrap()
    }

    #[test]
    fn id_tokens_and_database_secrets_go_into_the_query_all_others_into_the_header() {
        for text in ["eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl", &"a1".repeat(20)] {
            let mut url = url::Url::parse("https://x.test/a.json").unwrap();
            token(text).sign(&mut url);
            assert_eq!(url.query(), Some(format!("auth={text}").as_str()));
            assert!(token(text).header().is_none());
        }
        for text in ["ya29.a0Af", "owner", "canary-token"] {
            let mut url = url::Url::parse("https://x.test/a.json").unwrap();
            token(text).sign(&mut url);
            assert_eq!(url.query(), None);
            assert_eq!(token(text).header().unwrap(), format!("Bearer {text}").as_str());
            assert!(token(text).header().unwrap().is_sensitive());
        }
    }

    #[test]
    fn a_token_prints_as_redacted() {
        assert_eq!(format!("{:?}", token("canary")), "[redacted]");
    }

    #[test]
    fn only_the_first_line_counts_and_odd_characters_are_refused() {
        assert_eq!(token("  abc \nmore\n").header().unwrap(), "Bearer abc");
        for bad in ["", " \n", "a b", "a\u{7f}b", "ä"] {
            assert!(Token::checked(SecretString::from(bad.to_owned())).is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_file_is_read_once_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "one\n").unwrap();
        let credentials = Credentials::new(AuthSpec::File(path.clone())).unwrap();
        assert_eq!(credentials.token().await.unwrap().unwrap().header().unwrap(), "Bearer one");
        std::fs::write(&path, "two\n").unwrap();
        assert_eq!(credentials.token().await.unwrap().unwrap().header().unwrap(), "Bearer one");
        credentials.forget();
        assert_eq!(credentials.token().await.unwrap().unwrap().header().unwrap(), "Bearer two");
    }

    #[test]
    fn every_token_of_an_account_names_the_same_subject_and_nothing_of_it_is_given_away() {
        let jwt = |claims: &str| {
            let coded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims);
            token(&format!("eyJhbGciOiJub25lIn0.{coded}.c2ln"))
        };
        let ann = jwt(r#"{"iss":"i","sub":"ann","exp":1}"#).subject().unwrap();
        assert_eq!(jwt(r#"{"iss":"i","sub":"ann","exp":2}"#).subject().as_ref(), Some(&ann));
        assert_ne!(jwt(r#"{"iss":"i","sub":"bob"}"#).subject().as_ref(), Some(&ann));
        assert!(ann.starts_with("account ") && !ann.contains("ann"), "{ann}");
        assert_eq!(token("ya29.opaque").subject(), None);
        assert_eq!(jwt("{}").subject(), None);
    }

    #[tokio::test]
    async fn a_burst_of_requests_runs_the_command_once() {
        let dir = tempfile::tempdir().unwrap();
        let counted = dir.path().join("runs");
        let script = format!("sh -c 'echo run >> {}; echo abc'", counted.display());
        let credentials = Arc::new(Credentials::new(AuthSpec::Command(script)).unwrap());
        let asked: Vec<_> = (0..4)
            .map(|_| {
                let credentials = Arc::clone(&credentials);
                tokio::spawn(async move { credentials.token().await.unwrap().unwrap().header().unwrap() })
            })
            .collect();
        for one in asked {
            assert_eq!(one.await.unwrap(), "Bearer abc");
        }
        assert_eq!(std::fs::read_to_string(counted).unwrap(), "run\n");
    }

    #[tokio::test]
    async fn a_command_gives_its_first_line_and_its_failure_says_nothing_secret() {
        let credentials = Credentials::new(AuthSpec::Command("echo 'canary token'".to_owned())).unwrap();
        let error = credentials.token().await.unwrap_err();
        assert!(!error.contains("canary"), "{error}");
        let credentials = Credentials::new(AuthSpec::Command("printf 'abc\\nrest'".to_owned())).unwrap();
        assert_eq!(credentials.token().await.unwrap().unwrap().header().unwrap(), "Bearer abc");
        let credentials = Credentials::new(AuthSpec::Command("false".to_owned())).unwrap();
        assert!(credentials.token().await.unwrap_err().contains("`false` failed"));
        let script = "sh -c 'echo canary; echo \"login first: Bearer canary, token: s3cret, k=v\" >&2; exit 3'";
        let error = Credentials::new(AuthSpec::Command(script.to_owned())).unwrap().token().await.unwrap_err();
        assert!(error.contains("login first:") && error.contains("exit status: 3"), "{error}");
        assert!(!error.contains("canary") && !error.contains("s3cret") && !error.contains("k=v"), "{error}");
        assert!(Credentials::new(AuthSpec::Command("echo 'open".to_owned())).is_err());
    }
}
