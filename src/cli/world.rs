//! What every command starts from: the places, the clock, the configuration, the store.

use std::sync::Arc;

use super::{args::Globals, output::talk, report::Failure};
use crate::{
    config::{self, Config, Paths},
    model::{
        activity::Severity,
        ids::{CollectionKey, SourceName},
        source::{CollectionSpec, SourceSpec},
        time::{At, Clock, Timestamp},
    },
    runtime::clock::SystemClock,
    store::{OpenMode, Reader, Store, StoreError},
};

pub(super) struct World {
    pub paths: Paths,
    pub json: bool,
    pub offline: bool,
    pub clock: Arc<dyn Clock>,
    read_only: bool,
    /// The configuration was named: then it is there.
    is_named: bool,
}

impl World {
    pub fn new(globals: &Globals) -> Result<Self, Failure> {
        Ok(Self {
            paths: Paths::find(globals.config.clone(), globals.data_dir.clone())?,
            json: globals.json,
            offline: globals.offline,
            clock: Arc::new(SystemClock::new()),
            read_only: globals.read_only,
            is_named: globals.config.as_ref().is_some_and(|path| !path.as_os_str().is_empty()),
        })
    }

    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    pub fn at(&self) -> At {
        self.clock.at()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.at().wall
    }

    pub fn config(&self) -> Result<Config, Failure> {
        let path = &self.paths.config;
        if self.is_named && matches!(path.try_exists(), Ok(false)) {
            return Err(Failure::usage(format!("there is no configuration `{}`", path.display()))
                .hint("name another file, or let `ebbtide init URL --kind firebase` write this one"));
        }
        Ok(config::load(&self.paths.config)?)
    }

    /// The store, to change something.
    pub fn store(&self) -> Result<Store, Failure> {
        if self.read_only {
            return Err(Failure::store("could not change anything", StoreError::ReadOnly));
        }
        self.open(OpenMode::ReadWrite).map_err(|error| Failure::store(&self.intent(), error))
    }

    /// The store, to look at it. A data dir that cannot be written, has no room, or is a newer version's, is read as a copy.
    pub fn reader(&self) -> Result<Reader, Failure> {
        let mode = if self.read_only { OpenMode::ReadOnly } else { OpenMode::ReadWrite };
        let store = match self.open(mode) {
            Err(StoreError::NotWritable { .. } | StoreError::DiskFull { .. })
                if self.paths.data_dir.join("journal.db").exists() =>
            {
                self.open(OpenMode::ReadOnly)
            }
            Err(newer @ StoreError::TooNew { .. }) => {
                if !self.json {
                    talk(&format!("note: {newer}; a copy is read, nothing can be changed"));
                }
                self.open(OpenMode::ReadOnly)
            }
            opened => opened,
        };
        let store = store.map_err(|error| Failure::store(&self.intent(), error))?;
        Ok(store.reader()?)
    }

    fn intent(&self) -> String {
        format!("could not open the data in `{}`", self.paths.data_dir.display())
    }

    fn open(&self, mode: OpenMode) -> Result<Store, StoreError> {
        let store = Store::open(&self.paths.data_dir, mode, self.clock.clone())?;
        for note in store.take_notes().iter().filter(|note| note.severity >= Severity::Warning) {
            talk(&format!("warning: {}", note.text));
            note.hint.iter().for_each(|hint| talk(&format!("hint: {hint}")));
        }
        Ok(store)
    }
}

/// A collection as it is configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'c> {
    pub source: &'c SourceSpec,
    pub collection: &'c CollectionSpec,
}

impl Target<'_> {
    pub fn key(&self) -> CollectionKey {
        CollectionKey { source: self.source.name.clone(), collection: self.collection.name.clone() }
    }

    /// Refuses edits of a read-only source, before anything is queued.
    pub fn check_writable(&self) -> Result<(), Failure> {
        match self.source.read_only {
            false => Ok(()),
            true => Err(Failure::usage(format!("the source `{}` is read-only", self.source.name))
                .hint("remove `read_only = true` from its configuration to edit it")),
        }
    }
}

/// Finds `collection` or `source/collection`. The error names the nearest one there is.
pub(super) fn find<'c>(config: &'c Config, name: &str) -> Result<Target<'c>, Failure> {
    let all = || {
        config
            .sources
            .iter()
            .flat_map(|source| source.collections.iter().map(move |c| Target { source, collection: c }))
    };
    let matches = |target: &Target<'_>| match name.split_once('/') {
        Some((source, collection)) => {
            target.source.name.as_str() == source && target.collection.name.as_str() == collection
        }
        None => target.collection.name.as_str() == name,
    };
    let found: Vec<Target<'c>> = all().filter(matches).collect();
    match found.as_slice() {
        [only] => Ok(*only),
        [] => Err(unknown(name, &all().map(|target| target.key()).collect::<Vec<_>>())),
        several => {
            let names: Vec<String> = several.iter().map(|target| format!("`{}`", target.key())).collect();
            Err(Failure::usage(format!("there are {} collections named `{name}`", several.len()))
                .hint(format!("say which one: {}", names.join(", "))))
        }
    }
}

fn unknown(name: &str, known: &[CollectionKey]) -> Failure {
    let failure = Failure::usage(format!("there is no collection `{name}`"));
    if known.is_empty() {
        return failure.because("no collection is configured").hint(NOTHING_CONFIGURED);
    }
    let full: Vec<String> = known.iter().map(CollectionKey::to_string).collect();
    let short = known.iter().map(|key| key.collection.as_str());
    match config::nearest(name, short.chain(full.iter().map(String::as_str))) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => {
            let names: Vec<String> = known.iter().map(|key| format!("`{}`", key.collection)).collect();
            failure.hint(format!("there are {}", names.join(", ")))
        }
    }
}

pub(super) const NOTHING_CONFIGURED: &str =
    "`ebbtide init URL --kind firebase --collection NAME` configures a backend; `ebbtide demo` needs none";

/// Finds a source by name.
pub(super) fn find_source<'c>(config: &'c Config, name: &SourceName) -> Option<&'c SourceSpec> {
    config.sources.iter().find(|source| source.name == *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = "[[source]]\nname='a'\nkind='firebase'\nurl='https://a.example'\ncollection=[{name='tasks'},\
                    {name='people'}]\n[[source]]\nname='b'\nkind='firebase'\nurl='https://b.example'\n\
                    collection=[{name='tasks'}]\n";
        config::parse(text, "c".as_ref()).unwrap()
    }

    #[test]
    fn a_collection_is_found_by_its_name_or_with_its_source() {
        let config = config();
        assert_eq!(find(&config, "people").unwrap().key().to_string(), "a/people");
        assert_eq!(find(&config, "b/tasks").unwrap().key().to_string(), "b/tasks");
        assert!(find(&config, "tasks").is_err());
        assert!(find(&config, "peple").is_err());
    }
}
