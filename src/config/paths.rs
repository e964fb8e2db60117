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
            ("log", self.log_dir()),
            ("emergency", inside("emergency")),
            ("demo", self.demo_dir()),
        ]
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
}
