//! Embeds migrations at compile time.

/// Embeds files when the program is compiled. Paths are relative to the source file. Returns what
/// [`Migrations::parse`](crate::Migrations::parse) does.
///
/// ```text
/// let migrations = dsql_migrate::migrations![
///     "../migrations/0001_games.sql",
///     "../migrations/0002_titles.sql",
/// ]?;
/// ```
///
/// To test that no file was forgotten, compare with
/// [`Migrations::from_folder`](crate::Migrations::from_folder).
#[macro_export]
macro_rules! migrations {
    ($($path:literal),* $(,)?) => {
        $crate::Migrations::parse::<&str, &str>([$(($path, ::core::include_str!($path))),*])
    };
}
