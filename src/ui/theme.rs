//! Themes: from what a thing means to how it is coloured.
//!
//! The default theme keeps the terminal's own foreground and background and uses the sixteen named colours, so that it
//! fits whatever palette the user chose; true colour is only in themes that ask for it. Colour never carries a meaning
//! alone: every state has its mark and its word.
//!
//! ## Why `NO_COLOR` is not a theme file
//!
//! It must hold for every theme, and crossterm's own handling of it wipes reverse and bold (trap 1). So a theme loaded
//! without colours maps every role to the terminal's default and keeps only the modifiers of the table in
//! [`Role::plain`].

use std::{collections::BTreeMap, fmt};

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

use crate::app::settings::Glyphs;

/// What a piece of the screen means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Text,
    Dim,
    Accent,
    Title,
    Border,
    BorderFocused,
    Selected,
    Changed,
    Created,
    Deleted,
    Draft,
    Queued,
    Sending,
    Retrying,
    Held,
    Blocked,
    InDoubt,
    AuthState,
    Sent,
    Conflict,
    Rejected,
    Online,
    Degraded,
    Offline,
    Auth,
    Paused,
    Problem,
    Key,
    String,
    Number,
    Literal,
    Hint,
    HintKey,
    Match,
    Overlay,
}

impl Role {
    pub const ALL: [Role; 35] = [
        Self::Text,
        Self::Dim,
        Self::Accent,
        Self::Title,
        Self::Border,
        Self::BorderFocused,
        Self::Selected,
        Self::Changed,
        Self::Created,
        Self::Deleted,
        Self::Draft,
        Self::Queued,
        Self::Sending,
        Self::Retrying,
        Self::Held,
        Self::Blocked,
        Self::InDoubt,
        Self::AuthState,
        Self::Sent,
        Self::Conflict,
        Self::Rejected,
        Self::Online,
        Self::Degraded,
        Self::Offline,
        Self::Auth,
        Self::Paused,
        Self::Problem,
        Self::Key,
        Self::String,
        Self::Number,
        Self::Literal,
        Self::Hint,
        Self::HintKey,
        Self::Match,
        Self::Overlay,
    ];

    /// What is left of the role without colours (page 5, colour and marks).
    fn plain(self) -> Modifier {
        match self {
            Self::Selected | Self::Conflict | Self::Rejected | Self::Match => Modifier::REVERSED,
            Self::BorderFocused
            | Self::Title
            | Self::Accent
            | Self::Changed
            | Self::Created
            | Self::InDoubt
            | Self::Offline
            | Self::Problem
            | Self::HintKey => Modifier::BOLD,
            Self::Deleted => Modifier::CROSSED_OUT,
            Self::Draft => Modifier::UNDERLINED,
            Self::Dim | Self::Held | Self::Sent | Self::Border => Modifier::DIM,
            _ => Modifier::empty(),
        }
    }
}

/// One style per role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theme {
    name: String,
    styles: [Style; Role::ALL.len()],
}

/// How to draw: the theme and the set of signs, passed down to every pane.
#[derive(Debug, Clone, Copy)]
pub struct Look<'t> {
    pub theme: &'t Theme,
    pub glyphs: Glyphs,
}

impl Look<'_> {
    pub fn style(&self, role: Role) -> Style {
        self.theme.style(role)
    }
}

/// The built-in themes by name.
const BUILT_IN: [(&str, &str); 4] = [
    ("default", include_str!("../../assets/themes/default.toml")),
    ("light", include_str!("../../assets/themes/light.toml")),
    ("high-contrast", include_str!("../../assets/themes/high-contrast.toml")),
    ("harbour", include_str!("../../assets/themes/harbour.toml")),
];

/// Why a theme could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThemeError {
    #[error("there is no theme `{name}`; the themes are {}", Listed(.known))]
    Unknown { name: String, known: Vec<&'static str> },
    #[error("theme `{name}`: {reason}")]
    Invalid { name: String, reason: String },
}

struct Listed<'l>(&'l [&'static str]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted: Vec<String> = self.0.iter().map(|name| format!("`{name}`")).collect();
        f.write_str(&quoted.join(", "))
    }
}

impl Theme {
    /// The names of the built-in themes, the default first.
    pub fn names() -> Vec<&'static str> {
        BUILT_IN.iter().map(|(name, _)| *name).collect()
    }

    /// A built-in theme; with `no_color` only its modifiers are left.
    pub fn load(name: &str, no_color: bool) -> Result<Self, ThemeError> {
        let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) else {
            return Err(ThemeError::Unknown { name: name.to_owned(), known: Self::names() });
        };
        Self::parse(name, text, no_color)
    }

    /// Reads a theme's TOML: `role = { fg = "blue", bg = "#102030", modifiers = ["bold"] }`, all optional. A role that
    /// is not named has the terminal's own colours.
    pub fn parse(name: &str, text: &str, no_color: bool) -> Result<Self, ThemeError> {
        let invalid = |reason: String| ThemeError::Invalid { name: name.to_owned(), reason };
        let entries: BTreeMap<Role, Entry> = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        let mut theme = Self { name: name.to_owned(), styles: [Style::new(); Role::ALL.len()] };
        for role in Role::ALL {
            let read = match entries.get(&role) {
                Some(entry) => entry.style().map_err(invalid)?,
                None => Style::new(),
            };
            theme.styles[role as usize] = if no_color { without_colour(role) } else { read };
        }
        Ok(theme)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn style(&self, role: Role) -> Style {
        self.styles[role as usize]
    }
}

impl Default for Theme {
    fn default() -> Self {
        Self::load("default", false).expect("the default theme is embedded and read by a test")
    }
}

fn without_colour(role: Role) -> Style {
    Style::new().fg(Color::Reset).bg(Color::Reset).add_modifier(role.plain())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    fg: Option<String>,
    bg: Option<String>,
    #[serde(default)]
    modifiers: Vec<Named>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Named {
    Bold,
    Dim,
    Italic,
    Underlined,
    Reversed,
    CrossedOut,
}

impl Entry {
    fn style(&self) -> Result<Style, String> {
        let colour = |text: &Option<String>| match text {
            Some(text) => text.parse::<Color>().map(Some).map_err(|_| format!("`{text}` is not a colour")),
            None => Ok(None),
        };
        let mut style = Style::new();
        style.fg = colour(&self.fg)?;
        style.bg = colour(&self.bg)?;
        for named in &self.modifiers {
            style = style.add_modifier(match named {
                Named::Bold => Modifier::BOLD,
                Named::Dim => Modifier::DIM,
                Named::Italic => Modifier::ITALIC,
                Named::Underlined => Modifier::UNDERLINED,
                Named::Reversed => Modifier::REVERSED,
                Named::CrossedOut => Modifier::CROSSED_OUT,
            });
        }
        Ok(style)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_theme_reads_and_names_every_role() {
        for (name, text) in BUILT_IN {
            Theme::load(name, false).unwrap();
            let entries: BTreeMap<Role, Entry> = toml::from_str(text).unwrap();
            let missing: Vec<Role> = Role::ALL.into_iter().filter(|role| !entries.contains_key(role)).collect();
            assert!(missing.is_empty(), "{name} does not say {missing:?}");
        }
    }

    #[test]
    fn roles_are_listed_in_the_order_of_their_numbers() {
        for (number, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(role as usize, number);
        }
    }

    #[test]
    fn the_default_theme_keeps_the_terminals_colours_and_asks_for_no_rgb() {
        let theme = Theme::default();
        assert_eq!(theme.style(Role::Text), Style::new());
        for role in Role::ALL {
            let style = theme.style(role);
            for colour in [style.fg, style.bg].into_iter().flatten() {
                assert!(!matches!(colour, Color::Rgb(..) | Color::Indexed(_)), "{role:?} {colour:?}");
            }
        }
    }

    #[test]
    fn without_colour_only_modifiers_are_left_and_highlights_stay_visible() {
        for name in Theme::names() {
            let theme = Theme::load(name, true).unwrap();
            for role in Role::ALL {
                let style = theme.style(role);
                assert_eq!((style.fg, style.bg), (Some(Color::Reset), Some(Color::Reset)));
            }
            assert!(theme.style(Role::Selected).add_modifier.contains(Modifier::REVERSED));
            assert!(theme.style(Role::BorderFocused).add_modifier.contains(Modifier::BOLD));
        }
    }

    #[test]
    fn an_unknown_theme_names_those_that_exist() {
        let error = Theme::load("nord", false).unwrap_err().to_string();
        assert_eq!(error, "there is no theme `nord`; the themes are `default`, `light`, `high-contrast`, `harbour`");
    }

    /// Themes that set a background own the pair; its contrast must hold (WCAG AA for text).
    #[test]
    fn every_rgb_pair_can_be_read() {
        for name in Theme::names() {
            let theme = Theme::load(name, false).unwrap();
            let ground = theme.style(Role::Text).bg;
            for role in Role::ALL {
                let style = theme.style(role);
                let (Some(Color::Rgb(r, g, b)), Some(Color::Rgb(x, y, z))) = (style.fg, style.bg.or(ground)) else {
                    continue;
                };
                let ratio = contrast([r, g, b], [x, y, z]);
                let needed = if matches!(role, Role::Dim | Role::Border) { 3.0 } else { 4.5 };
                assert!(ratio >= needed, "{name} {role:?}: contrast {ratio:.1}, needs {needed}");
            }
        }
    }

    fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
        let light = |colour: [u8; 3]| {
            let [r, g, b] = colour.map(|part| {
                let part = f64::from(part) / 255.0;
                if part <= 0.03928 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
            });
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (a, b) = (light(a), light(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }
}
