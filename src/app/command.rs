//! Every command: its name, title, help text and the scopes it works in. Hints, help and palette are made from here.

use crate::app::action::Action;

/// Where a key binding counts. A key is looked up in the scope of the pane, then (for panes with a cursor) in
/// [`Scope::List`], then in [`Scope::Global`]. Text inputs look only into their own scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Global,
    /// Everything with a cursor.
    List,
    Collections,
    Records,
    Record,
    Outbox,
    Connectivity,
    Sync,
    Conflicts,
    Log,
    Sessions,
    Vault,
    Drafts,
    Editor,
    /// The editor while keys choose between versions of a draft whose record moved.
    Merge,
    /// One-line inputs: filter, palette, help search.
    Input,
    Help,
    Recovery,
}

impl Scope {
    pub const ALL: [Scope; 18] = [
        Self::Global,
        Self::List,
        Self::Collections,
        Self::Records,
        Self::Record,
        Self::Outbox,
        Self::Connectivity,
        Self::Sync,
        Self::Conflicts,
        Self::Log,
        Self::Sessions,
        Self::Vault,
        Self::Drafts,
        Self::Editor,
        Self::Merge,
        Self::Input,
        Self::Help,
        Self::Recovery,
    ];

    /// The table of `keymap.toml`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::List => "list",
            Self::Collections => "collections",
            Self::Records => "records",
            Self::Record => "record",
            Self::Outbox => "outbox",
            Self::Connectivity => "connectivity",
            Self::Sync => "sync",
            Self::Conflicts => "conflicts",
            Self::Log => "log",
            Self::Sessions => "sessions",
            Self::Vault => "vault",
            Self::Drafts => "drafts",
            Self::Editor => "editor",
            Self::Merge => "merge",
            Self::Input => "input",
            Self::Help => "help",
            Self::Recovery => "recovery",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.word() == word)
    }
}

/// One command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command {
    pub action: Action,
    /// The name of keymap and configuration: `sync_now`.
    pub name: &'static str,
    /// A word or two for the hints row: `sync`.
    pub hint: &'static str,
    /// The name in the palette: `sync now`.
    pub title: &'static str,
    /// What it does, for palette and help: `pull and push everything`.
    pub help: &'static str,
    pub scopes: &'static [Scope],
    /// What it may be followed by in the palette, e.g. `<collection>/<id>`.
    pub argument: Option<&'static str>,
    /// Only in `ebbtide demo`.
    pub demo: bool,
}

use Scope::{
    Conflicts, Connectivity, Drafts, Editor, Global, Help, Input, List, Merge, Outbox, Record, Records, Recovery,
    Sessions, Sync, Vault,
};

macro_rules! command {
    ($action:ident, $name:literal, $hint:literal, $title:literal, $help:literal, [$($scope:ident),*]) => {
        Command { action: Action::$action, name: $name, hint: $hint, title: $title, help: $help,
            scopes: &[$($scope),*], argument: None, demo: false }
    };
    ($action:ident, $name:literal, $hint:literal, $title:literal, $help:literal, [$($scope:ident),*], $argument:literal) => {
        Command { action: Action::$action, name: $name, hint: $hint, title: $title, help: $help,
            scopes: &[$($scope),*], argument: Some($argument), demo: false }
    };
    ($action:ident, $name:literal, $hint:literal, $title:literal, $help:literal, [$($scope:ident),*], demo) => {
        Command { action: Action::$action, name: $name, hint: $hint, title: $title, help: $help,
            scopes: &[$($scope),*], argument: None, demo: true }
    };
}

/// In the order help shows them.
pub const COMMANDS: &[Command] = &[
    command!(MoveDown, "move_down", "down", "move down", "next row", [List, Input, Merge]),
    command!(MoveUp, "move_up", "up", "move up", "previous row", [List, Input, Merge]),
    command!(First, "first", "first", "go to the first", "first row", [List]),
    command!(Last, "last", "last", "go to the last", "last row", [List]),
    command!(HalfPageDown, "half_page_down", "half page", "half a page down", "half a page down", [List, Input]),
    command!(HalfPageUp, "half_page_up", "half page up", "half a page up", "half a page up", [List, Input]),
    command!(Open, "open", "open", "open", "open what is selected", [List, Input]),
    command!(Expand, "expand", "expand", "expand", "expand, or open", [List]),
    command!(Collapse, "collapse", "collapse", "collapse", "collapse, or go back", [List]),
    command!(Back, "back", "back", "back", "close, clear, or go back; never quits", [Global, Input, Help, Merge]),
    command!(ScrollRight, "scroll_right", "right", "scroll right", "show the columns to the right", [Records]),
    command!(ScrollLeft, "scroll_left", "left", "scroll left", "show the columns to the left", [Records]),
    command!(
        NextTab,
        "next_tab",
        "next tab",
        "next tab",
        "next tab of the pane",
        [Outbox, Conflicts, Vault, Input, Help]
    ),
    command!(
        PreviousTab,
        "previous_tab",
        "previous tab",
        "previous tab",
        "previous tab of the pane",
        [Outbox, Conflicts, Vault, Input, Help]
    ),
    command!(Filter, "filter", "filter", "filter", "show only what matches", [Records, Vault], "<text>"),
    command!(ClearFilter, "clear_filter", "clear filter", "clear the filter", "show everything again", [Records]),
    command!(Sort, "sort", "sort", "sort by the next column", "sort by the next column", [Records], "<column>"),
    command!(ReverseSort, "reverse_sort", "reverse", "reverse the order", "reverse the order", [Records]),
    command!(Mark, "mark", "mark", "mark the row", "mark the row for a common action", [Records, Outbox]),
    command!(MarkRange, "mark_range", "mark range", "mark a range", "mark up to the last marked row", [Records]),
    command!(ClearMarks, "clear_marks", "unmark", "clear the marks", "unmark all rows", [Records]),
    command!(AddRecord, "add_record", "add", "add a record", "write a new record as JSON", [Records, Record], "<id>"),
    command!(EditRecord, "edit_record", "edit", "edit the record", "edit the whole record as JSON", [Records, Record]),
    command!(EditField, "edit_field", "edit field", "edit the field", "edit just this field in place", [Record]),
    command!(
        EditExternally,
        "edit_externally",
        "$EDITOR",
        "edit in $EDITOR",
        "edit the whole record in your own editor",
        [Records, Record, Conflicts]
    ),
    command!(
        DeleteRecord,
        "delete_record",
        "delete",
        "delete...",
        "delete the record or the field (asks)",
        [Records, Record]
    ),
    command!(
        ToggleServerCopy,
        "toggle_server_copy",
        "server copy",
        "show the server copy",
        "show what the server last had",
        [Record]
    ),
    command!(Undo, "undo", "undo", "undo", "take back the last edit or outbox step not sent", [Global, Merge]),
    command!(CopyRecord, "copy_record", "record", "copy the record", "the whole record as JSON", [Records, Record]),
    command!(
        CopyPath,
        "copy_path",
        "path",
        "copy the path",
        "source, collection, id and field",
        [Records, Record, Outbox]
    ),
    command!(
        CopyJson,
        "copy_json",
        "JSON",
        "copy the value",
        "the selected value as JSON",
        [Record, Outbox, Vault, Drafts]
    ),
    command!(CopyId, "copy_id", "id", "copy the id", "the id of the record", [Records, Record, Outbox]),
    command!(CopyCurl, "copy_curl", "curl", "copy as curl", "the request as a command, without the token", [Outbox]),
    command!(RetryOp, "retry_op", "retry", "retry the op", "send it again now", [Outbox]),
    command!(HoldOp, "hold_op", "hold", "hold or release the op", "keep it back, or let it go", [Outbox]),
    command!(
        DiscardOp,
        "discard_op",
        "discard",
        "discard the op...",
        "take it out of the outbox (asks; kept in the vault)",
        [Outbox]
    ),
    command!(SendOp, "send_op", "send now", "send the op now", "before all others, whatever it waits for", [Outbox]),
    command!(EditOp, "edit_op", "edit", "edit the op", "change what it will send, or repair it", [Outbox]),
    command!(
        SplitOp,
        "split_op",
        "split",
        "split a field out...",
        "choose fields that wait while the rest goes",
        [Outbox]
    ),
    command!(
        RetryAllFailed,
        "retry_all_failed",
        "retry all",
        "retry all rejected",
        "send all rejected ops again",
        [Outbox]
    ),
    command!(
        ResolveConflict,
        "resolve_conflict",
        "resolve",
        "resolve the conflict",
        "compare both versions and choose",
        [Outbox, Records, Record]
    ),
    command!(
        OpenTarget,
        "open_target",
        "go to record",
        "open the record of the op",
        "show the record this op changes",
        [Outbox, Conflicts, Vault, Drafts]
    ),
    command!(NextView, "next_view", "view", "next outbox view", "all, queued, held, rejected, conflict", [Outbox]),
    command!(SyncNow, "sync_now", "sync", "sync now", "pull and push everything", [Global]),
    command!(Probe, "probe", "probe now", "probe now", "check the connection at once", [Connectivity]),
    command!(PauseSync, "pause_sync", "pause", "pause or resume sync", "stop sync until you resume it", [Global]),
    command!(
        ForceOffline,
        "force_offline",
        "offline",
        "go offline or online",
        "act as if there were no network",
        [Global]
    ),
    command!(
        ConfirmAuthor,
        "confirm_author",
        "confirm account",
        "send edits of another account...",
        "let who is signed in send what somebody else made (asks)",
        [Outbox, Connectivity]
    ),
    command!(
        AcceptDeletion,
        "accept_deletion",
        "accept",
        "accept the deletion",
        "delete here what is gone there (the vault keeps it)",
        [Sync]
    ),
    command!(Reupload, "reupload", "reupload", "upload again", "put back there what is here", [Sync]),
    command!(
        Detach,
        "detach",
        "detach",
        "detach, attach again",
        "leave both as they are, stop pulling; again: pull it",
        [Sync]
    ),
    command!(TakeMine, "take_mine", "mine", "take mine", "my value at this field", [Conflicts, Merge]),
    command!(
        TakeTheirs,
        "take_theirs",
        "theirs",
        "take theirs",
        "the server's value at this field",
        [Conflicts, Merge]
    ),
    command!(
        TakeBase,
        "take_base",
        "base",
        "take the base",
        "what both sides started from, at this field",
        [Conflicts, Merge]
    ),
    command!(TypeValue, "type_value", "type", "type a value", "another value for this field, as JSON", [Conflicts]),
    command!(
        TakeAllMine,
        "take_all_mine",
        "all mine",
        "take all mine",
        "mine wherever a decision is needed; again: everywhere",
        [Conflicts, Merge]
    ),
    command!(
        TakeAllTheirs,
        "take_all_theirs",
        "all theirs",
        "take all theirs",
        "theirs wherever a decision is needed; again: everywhere",
        [Conflicts, Merge]
    ),
    command!(
        RedoMerge,
        "redo_merge",
        "redo merge",
        "redo the automatic merge",
        "put aside what was chosen, back to what merged by itself",
        [Conflicts]
    ),
    command!(
        ToggleUnchanged,
        "toggle_unchanged",
        "unchanged",
        "show unchanged fields",
        "also the fields that are the same on all sides",
        [Conflicts]
    ),
    command!(
        MakeRule,
        "make_rule",
        "rule",
        "make the choice a rule",
        "asks first, with what the rule would make of the open conflicts; it goes into the configuration",
        [Conflicts]
    ),
    command!(
        DropMine,
        "drop_mine",
        "drop mine",
        "drop my change...",
        "leave the server's version (asks; kept in the vault)",
        [Conflicts]
    ),
    command!(QueueResult, "queue_result", "queue", "queue the result", "send what was chosen", [Conflicts]),
    command!(
        NextUndecided,
        "next_undecided",
        "next",
        "next undecided field",
        "next field, or conflict, that needs you",
        [Conflicts, Merge]
    ),
    command!(
        PreviousUndecided,
        "previous_undecided",
        "previous undecided",
        "previous undecided field",
        "previous field, or conflict, that needs you",
        [Conflicts]
    ),
    command!(
        QueueDraft,
        "queue_draft",
        "queue",
        "queue the draft",
        "save it and put it in the outbox",
        [Editor, Merge, Drafts]
    ),
    command!(
        CloseEditor,
        "close_editor",
        "close, keep draft",
        "close the editor",
        "leave; the text is kept as it is",
        [Editor]
    ),
    command!(
        OpenEditorProgram,
        "open_editor_program",
        "open in $EDITOR",
        "continue in $EDITOR",
        "continue in your own editor",
        [Editor]
    ),
    command!(NextProblem, "next_problem", "next problem", "next problem", "go to the next problem", [Editor]),
    command!(EditorUndo, "editor_undo", "undo", "undo typing", "take back the last typing", [Editor]),
    command!(EditorRedo, "editor_redo", "redo", "redo typing", "do it again", [Editor]),
    command!(FormatText, "format_text", "format", "format the JSON", "lay the JSON out evenly", [Editor]),
    command!(
        FindInText,
        "find_in_text",
        "find",
        "find in the text",
        "enter goes to the next place, up to the one before",
        [Editor]
    ),
    command!(
        ReadOtherwise,
        "read_otherwise",
        "text or JSON",
        "text or JSON",
        "read what is typed into a field as a text, or as JSON",
        [Editor]
    ),
    command!(
        MergeDraft,
        "merge_draft",
        "merge",
        "merge what changed meanwhile",
        "put into the text what changed in the record since it was begun",
        [Editor, Merge]
    ),
    command!(
        DropDraft,
        "drop_draft",
        "discard draft",
        "discard the draft...",
        "end it without queueing (asks; kept in the vault)",
        [Editor, Drafts]
    ),
    command!(
        DeleteSession,
        "delete_session",
        "delete",
        "delete the session...",
        "forget a saved screen and its history (asks)",
        [Sessions]
    ),
    command!(
        NewSession,
        "new_session",
        "new",
        "begin a session...",
        "a fresh screen under a name of its own, on the same data",
        [Sessions]
    ),
    command!(
        RenameSession,
        "rename_session",
        "rename",
        "rename the session...",
        "give a saved screen another name",
        [Sessions]
    ),
    command!(
        CopySession,
        "copy_session",
        "copy",
        "copy the session...",
        "a second one that begins as this one is",
        [Sessions]
    ),
    command!(
        UsePreviousScreen,
        "use_previous_screen",
        "previous good screen",
        "use the previous good screen",
        "bring the newest earlier screen back that can be read",
        [Recovery]
    ),
    command!(
        ShowKeptCopy,
        "show_kept_copy",
        "where it is kept",
        "show where the unusable copy is kept",
        "the screen that could not be used is kept in the journal",
        [Recovery]
    ),
    command!(
        RestoreVersion,
        "restore_version",
        "restore",
        "restore the version",
        "make the record what it was, as an edit like any other",
        [Vault]
    ),
    command!(
        VersionsOfRecord,
        "versions_of_record",
        "kept versions",
        "show the kept versions of the record",
        "what the vault keeps of this record",
        [Records, Record]
    ),
    command!(FocusCollections, "focus_collections", "collections", "go to collections", "pane 1", [Global]),
    command!(FocusRecords, "focus_records", "records", "go to records", "pane 2", [Global]),
    command!(FocusRecord, "focus_record", "record", "go to the record", "pane 3", [Global]),
    command!(FocusOutbox, "focus_outbox", "outbox", "go to the outbox", "pane 4", [Global]),
    command!(FocusConnectivity, "focus_connectivity", "connectivity", "go to connectivity", "pane 5", [Global]),
    command!(FocusSync, "focus_sync", "sync pane", "go to sync", "pane 6", [Global]),
    command!(NextPane, "next_pane", "next pane", "next pane", "focus the next pane", [Global]),
    command!(PreviousPane, "previous_pane", "previous pane", "previous pane", "focus the previous pane", [Global]),
    command!(Zoom, "zoom", "zoom", "zoom the pane", "give the pane the whole screen, and back", [Global]),
    command!(Grow, "grow", "grow", "grow the pane", "make the pane wider", [Global]),
    command!(Shrink, "shrink", "shrink", "shrink the pane", "make the pane narrower", [Global]),
    command!(ResetView, "reset_view", "reset view", "reset this view", "no filter, default order, no zoom", [Global]),
    command!(Goto, "goto", "go to", "go to...", "a record, a collection, a pane", [Global], "<collection>/<id>"),
    command!(
        GotoCollection,
        "goto_collection",
        "collection",
        "go to a collection",
        "choose a collection by name",
        [List],
        "<collection>"
    ),
    command!(
        GotoRecord,
        "goto_record",
        "record id",
        "go to a record by id",
        "choose a record by its id",
        [List],
        "<id>"
    ),
    command!(
        GotoOutbox,
        "goto_outbox",
        "outbox",
        "go to the outbox, full screen",
        "the outbox with its inspector",
        [List]
    ),
    command!(GotoLog, "goto_log", "log", "go to the log", "the activity log", [List]),
    command!(OpenConflicts, "open_conflicts", "conflicts", "open the conflicts", "what needs your decision", [Global]),
    command!(OpenLog, "open_log", "log", "open the activity log", "what happened, newest first", [Global]),
    command!(OpenSessions, "open_sessions", "sessions", "open the sessions", "saved screens by name", [Global]),
    command!(
        OpenHistory,
        "open_history",
        "history",
        "step back in this session",
        "where was I? earlier screens, and back to one of them",
        [Global]
    ),
    command!(
        OpenVault,
        "open_vault",
        "vault",
        "open the vault",
        "versions that lost: see, compare, restore",
        [Global],
        "<collection>/<id>"
    ),
    command!(
        OpenDrafts,
        "open_drafts",
        "drafts",
        "open the drafts",
        "what was typed and not queued: go on, queue or discard it",
        [Global]
    ),
    command!(
        OpenWelcome,
        "open_welcome",
        "welcome",
        "open the welcome screen",
        "how to start, and where things are kept",
        [Global]
    ),
    command!(OpenPalette, "open_palette", "commands", "commands", "every command, searchable", [Global]),
    command!(
        OpenHelp,
        "open_help",
        "help",
        "help",
        "the keys of this pane, and what the marks mean",
        [Global, Editor, Merge]
    ),
    command!(
        CutNetwork,
        "cut_network",
        "cut network",
        "cut network",
        "demo: take the network away",
        [Global, Editor],
        demo
    ),
    command!(
        RestoreNetwork,
        "restore_network",
        "restore network",
        "restore network",
        "demo: give the network back",
        [Global, Editor],
        demo
    ),
    command!(
        SomebodyEdits,
        "somebody_edits",
        "somebody edits",
        "somebody else edits now",
        "demo: another client changes a few records",
        [Global, Editor],
        demo
    ),
    command!(Redraw, "redraw", "redraw", "redraw the screen", "paint everything again", [Global]),
    command!(Suspend, "suspend", "suspend", "suspend", "back to the shell; `fg` returns", [Global]),
    command!(Quit, "quit", "quit", "quit", "all is saved: you come back to this screen", [Global]),
];

impl Action {
    pub fn command(self) -> &'static Command {
        COMMANDS
            .iter()
            .find(|command| command.action == self)
            .expect("every action is in the table; a test counts them")
    }
}

/// The command with this written name.
pub fn by_name(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}
