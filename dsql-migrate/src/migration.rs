//! Migrations: files of SQL statements, in the order of their numbers.

mod allowed;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, fs};

use crate::error::Error;
use crate::place::Place;
use crate::problem::Problem;
use crate::statement::{self, Kind};

/// The migrations of a program: files `NNNN_name.sql`, in the order of their numbers.
///
/// A migration may have several statements. Each of them must be able to run again after an
/// interruption; loading refuses other statements and says what to write instead.
///
/// ```
/// use dsql_migrate::Migrations;
///
/// let migrations = Migrations::parse([
///     ("0001_games.sql", "CREATE TABLE IF NOT EXISTS games (id uuid PRIMARY KEY)"),
///     ("0002_title.sql", "ALTER TABLE games ADD COLUMN title text"),
/// ]);
/// assert_eq!(
///     migrations.unwrap_err().to_string(),
///     "1 statement is refused, and nothing was sent:\n\
///      0002_title.sql:1: statement 1: it fails when it runs again after an interruption \
///      [not_repeatable]; write ADD COLUMN IF NOT EXISTS ..",
/// );
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Migrations {
    pub(crate) files: Vec<Migration>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Migration {
    pub(crate) name: Arc<str>,
    /// Numbers order the files. They are compared as numbers, so that 10 comes after 9.
    pub(crate) number: u64,
    pub(crate) statements: Vec<Statement>,
    /// The names of the rules that the file allows to break.
    pub(crate) allowed: Vec<String>,
}

/// One statement of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) place: Place,
    /// The statement's text, without the spaces and comments around it.
    pub(crate) sql: String,
    pub(crate) kind: Kind,
}

impl Migrations {
    /// Reads the files `NNNN_name.sql` of a folder, when the program runs. Other files are ignored.
    ///
    /// # Errors
    ///
    /// [`Error::Folder`] if the folder or a file cannot be read, [`Error::Refused`] if a name or a
    /// statement is refused.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = folder.as_ref();
        let failed = |source| Error::Folder {
            path: folder.to_owned(),
            source,
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(".sql") && !name.starts_with('.') {
                let sql = fs::read_to_string(&path).map_err(|source| Error::Folder {
                    path: path.clone(),
                    source,
                })?;
                files.push((name.into_owned(), sql));
            }
        }
        Self::parse(files)
    }

    /// Takes files as names and texts, in any order. [`migrations!`](crate::migrations) calls it
    /// with files that were embedded when the program was compiled.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if a name or a statement is refused.
    pub fn parse<N, S>(files: impl IntoIterator<Item = (N, S)>) -> Result<Self, Error>
    where
        N: AsRef<str>,
        S: AsRef<str>,
    {
        let mut problems = Vec::new();
        let mut by_number = BTreeMap::<u64, Migration>::new();
        for (name, sql) in files {
            let file = file_name(name.as_ref());
            let stem = file.strip_suffix(".sql").unwrap_or(file);
            let mut refuse = |what: &str, remedy: String| {
                problems.push(Problem {
                    place: file_place(&stem.into()),
                    rule: "file".to_owned(),
                    what: what.to_owned(),
                    remedy,
                });
            };
            let Some(number) = number(stem) else {
                refuse(
                    "the name is not of the form 0001_name.sql",
                    "begin it with a number and `_`, in at most 200 characters".to_owned(),
                );
                continue;
            };
            if let Some(other) = by_number.get(&number) {
                refuse(
                    &format!("{}.sql has the same number", other.name),
                    "give one of them another number".to_owned(),
                );
                continue;
            }
            let migration = Migration::parse(stem.into(), number, sql.as_ref(), &mut problems);
            by_number.insert(number, migration);
        }
        if !problems.is_empty() {
            problems.sort_by(|one, other| one.place.name.cmp(&other.place.name));
            return Err(Error::Refused(problems));
        }
        Ok(Self {
            files: by_number.into_values().collect(),
        })
    }

    /// Returns the names of the migrations, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|migration| &*migration.name)
    }
}

/// The names of the migrations.
impl fmt::Debug for Migrations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Migration {
    fn parse(name: Arc<str>, number: u64, sql: &str, problems: &mut Vec<Problem>) -> Self {
        // In a checkout on Windows the same file has other line endings.
        let sql = sql.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        let line = |at: usize| 1 + sql[..at].matches('\n').count();
        let mut migration = Self {
            name: Arc::clone(&name),
            number,
            statements: Vec::new(),
            allowed: allowed::rules(&sql),
        };
        let statements = match dsql_sql::split_closed(&sql) {
            Ok(statements) => statements,
            Err(unclosed) => {
                problems.push(Problem {
                    place: Place {
                        line: line(unclosed.at),
                        ..file_place(&name)
                    },
                    rule: "file".to_owned(),
                    what: "a quote or comment begins here and is not closed".to_owned(),
                    remedy: "close it".to_owned(),
                });
                return migration;
            }
        };
        if statements.is_empty() {
            problems.push(Problem {
                place: file_place(&name),
                rule: "file".to_owned(),
                what: "the file has no statement".to_owned(),
                remedy: "write one, or remove the file".to_owned(),
            });
        }
        for (index, statement) in statements.iter().enumerate() {
            let place = Place {
                name: Arc::clone(&name),
                line: line(statement.source_at()),
                statement: index + 1,
            };
            let sql = statement.source().to_owned();
            if sql.len() > MAX_STATEMENT {
                problems.push(Problem {
                    place: place.clone(),
                    rule: "file".to_owned(),
                    what: format!("the statement has more than {MAX_STATEMENT} bytes"),
                    remedy: "write several statements".to_owned(),
                });
            }
            let kind = match statement::classify(&statement.tokens) {
                Ok(kind) => kind,
                Err(refusal) => {
                    if !refusal.can_be_allowed() || !migration.allows(refusal.rule) {
                        problems.push(Problem {
                            place: place.clone(),
                            rule: refusal.rule.to_owned(),
                            what: refusal.what,
                            remedy: refusal.remedy,
                        });
                    }
                    Kind::Definition
                }
            };
            migration.statements.push(Statement { place, sql, kind });
        }
        migration
    }

    /// Returns whether the file allows to break a rule.
    pub(crate) fn allows(&self, rule: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == rule)
    }
}

/// Returns the last part of a path: `include_str!` takes paths.
fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Returns the number that a name begins with.
fn number(stem: &str) -> Option<u64> {
    let (number, name) = stem.split_once('_')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let fits = !name.is_empty() && stem.len() <= MAX_NAME && !stem.contains('\0');
    number.parse().ok().filter(|_| is_number && fits)
}

fn file_place(name: &Arc<str>) -> Place {
    Place {
        name: Arc::clone(name),
        line: 1,
        statement: 0,
    }
}

/// The name is part of the history's key, whose size is limited: [primary key
/// columns](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html).
const MAX_NAME: usize = 200;

/// The history keeps each statement, and a value of the type `text` has at most 1 MiB:
/// [quotas](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html).
const MAX_STATEMENT: usize = 1_000_000;

#[cfg(test)]
mod tests;
