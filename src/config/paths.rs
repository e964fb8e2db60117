//! Where things are kept.

use std::path::PathBuf;

use etcetera::BaseStrategy as _;

/// Where things are kept. Built from the command line, the environment and the XDG rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    pub config: PathBuf,
    /// Holds `journal.db`, `mirror.db`, `search.db`, locks, `log/` and `emergency/`.
    pub data_dir: PathBuf,
}

/// Neither the environment nor the command line says where.
#[derive(Debug, thiserror::Error)]
#[error("the home directory is not known")]
pub struct HomeUnknown;

impl Paths {
    /// What was given wins; the rest follows the XDG rules. An empty path counts as not given.
    pub fn find(config: Option<PathBuf>, data_dir: Option<PathBuf>) -> Result<Self, HomeUnknown> {
        let given = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        match (given(config), given(data_dir)) {
            (Some(config), Some(data_dir)) => Ok(Self { config, data_dir }),
            (config, data_dir) => {
                let base = etcetera::base_strategy::Xdg::new().map_err(|_| HomeUnknown)?;
                Ok(Self {
                    config: config.unwrap_or_else(|| base.config_dir().join("ebbtide").join("config.toml")),
                    data_dir: data_dir.unwrap_or_else(|| base.data_dir().join("ebbtide")),
                })
            }
        }
    }

    /// Everything that may be there, as `paths` lists it: (what, path).
    pub fn all(&self) -> Vec<(&'static str, PathBuf)> {
        let inside = |name: &str| self.data_dir.join(name);
        vec![
            ("config", self.config.clone()),
            ("data_dir", self.data_dir.clone()),
            ("journal", inside("journal.db")),
            ("mirror", inside("mirror.db")),
            ("search", inside("search.db")),
            ("backups", inside("backups")),
            ("log", self.log_dir()),
            ("emergency", inside("emergency")),
            ("demo", self.demo_dir()),
        ]
    }

    /// A command line on the same files, for a hint: `ebbtide`, with the options it needs where these are not the places
    /// that `ebbtide` would find by itself.
    pub fn command(&self) -> String {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let usual = Self::find(variable("EBBTIDE_CONFIG"), variable("EBBTIDE_DATA_DIR"));
        self.command_beside(usual.ok().as_ref())
    }

    fn command_beside(&self, usual: Option<&Self>) -> String {
        let mut words = vec!["ebbtide".to_owned()];
        let places = [
            ("--config", &self.config, usual.map(|usual| &usual.config)),
            ("--data-dir", &self.data_dir, usual.map(|usual| &usual.data_dir)),
        ];
        for (option, place, usual) in places {
            if Some(place) != usual {
                let place = std::path::absolute(place).unwrap_or_else(|_| place.clone());
                words.extend([option.to_owned(), place.to_string_lossy().into_owned()]);
            }
        }
        shell_words::join(words)
    }

    pub fn log_dir(&self) -> PathBuf {
        self.data_dir.join("log")
    }

    /// The demo never shares a data dir with anything real: `demo --reset` empties it.
    pub fn demo_dir(&self) -> PathBuf {
        self.data_dir.join("demo")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_wins_and_an_empty_path_is_not_given() {
        let given = Paths::find(Some("c.toml".into()), Some("data".into())).unwrap();
        assert_eq!(given, Paths { config: "c.toml".into(), data_dir: "data".into() });
        let found = Paths::find(Some("c.toml".into()), Some("".into())).unwrap();
        assert!(found.data_dir.ends_with("ebbtide"), "{found:?}");
    }

    #[test]
    fn a_command_names_the_places_that_are_not_the_usual_ones() {
        let paths = |config: &str, data_dir: &str| Paths { config: config.into(), data_dir: data_dir.into() };
        let usual = paths("/h/config.toml", "/h/data");
        assert_eq!(usual.command_beside(Some(&usual)), "ebbtide");
        let other = paths("/h/config.toml", "/h/my data");
        assert_eq!(other.command_beside(Some(&usual)), "ebbtide --data-dir '/h/my data'");
        let demo = paths("/d/config.toml", "/d");
        assert_eq!(demo.command_beside(None), "ebbtide --config /d/config.toml --data-dir /d");
    }
}
