//! The file: tables of redb, one for each kind of record, with records in JSON. `docs/registry.md` describes it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{
    Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError,
};

use crate::policy::Scope;

use super::record::{
    Account, Authorizer, CaCertificate, Certificate, Policy, Thing, ThingGroup, ThingType,
};
use super::shadows::Shadow;
use super::state::{Record, State};

/// The version of the records. It rises when an older program could not read them, or would lose something.
pub(super) const FORMAT: u32 = 4;

/// What a file of redb begins with.
const MAGIC: [u8; 9] = [b'r', b'e', b'd', b'b', 0x1A, 0x0A, 0xA9, 0x0D, 0x0A];

/// Holds numbers in decimal digits: `format`, the version, and `commits`.
const META: TableDefinition<'_, &str, &str> = TableDefinition::new("roundel_registry");
const FORMAT_KEY: &str = "format";
/// Holds the number of commits: by it a commit that failed is told from one that only seemed to.
const COMMITS_KEY: &str = "commits";

const fn table(name: &str) -> TableDefinition<'_, &str, &[u8]> {
    TableDefinition::new(name)
}

/// Why there is no registry, or why it does not take a change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has it open.
    #[error("the registry `{}` is in use by another process", path.display())]
    Held {
        /// The file.
        path: PathBuf,
    },
    /// It is something else, and was left as it is.
    #[error("`{}` is no registry of roundel, and was left as it is", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version of this program wrote it.
    #[error(
        "the registry `{}` has format {found}, and this version knows none above {FORMAT}",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: String,
    },
    /// A record that cannot be understood.
    #[error("the registry `{}` is damaged: {table} `{key}`: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        table: String,
        /// Which record.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A commit that had been answered with an error turns out to have happened.
    #[error("the registry `{}` holds more than was answered; it is read again", path.display())]
    Stale {
        /// The file.
        path: PathBuf,
    },
    /// What the machine refused.
    #[error("cannot {what} the registry `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `open`, `read` or `write`.
        what: &'static str,
        /// What it said.
        source: Cause,
    },
}

/// What the database or the machine said.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Cause(Box<redb::Error>);

impl<E: Into<redb::Error>> From<E> for Cause {
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}

/// A record to write, or to delete.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) table: &'static str,
    pub(super) key: String,
    pub(super) value: Option<Vec<u8>>,
}

/// Opens the file; again, after it refused a commit.
type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send>;

/// A registry's file.
pub(super) struct Store {
    path: PathBuf,
    opener: Opener,
    /// None after a commit that failed, until it can be opened again.
    database: Option<Database>,
    /// As many commits as were answered.
    commits: u64,
    /// The file has more.
    is_stale: bool,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let is_new = match check_magic(path)? {
            Found::Registry => false,
            Found::Nothing => create(path)?,
        };
        let owned = path.to_owned();
        let opener = Box::new(move || Database::open(&owned));
        let store = Self::with_opener(path, opener)?;
        if is_new {
            // The name is to be there too after a power cut; some systems cannot do it.
            let folder = path.parent().filter(|folder| folder.as_os_str() != "");
            let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|f| f.sync_all());
        }
        Ok(store)
    }

    /// A store in whatever this opens.
    pub(super) fn with_opener(path: &Path, opener: Opener) -> Result<Self, StoreError> {
        let mut store = Self {
            path: path.to_owned(),
            opener,
            database: None,
            commits: 0,
            is_stale: false,
        };
        store.commits = store.connect()?;
        Ok(store)
    }

    fn io(&self, what: &'static str, error: impl Into<Cause>) -> StoreError {
        io_error(&self.path, what, error.into())
    }

    /// Opens the file; the number of its commits.
    fn connect(&mut self) -> Result<u64, StoreError> {
        let database = (self.opener)().map_err(|error| self.io("open", error))?;
        check_format(&self.path, &database)?;
        let commits = meta(&database, COMMITS_KEY).map_err(|error| self.io("read", error))?;
        self.database = Some(database);
        Ok(commits.and_then(|n| n.parse().ok()).unwrap_or(0))
    }

    /// Opens the file again if it has to be.
    fn reconnect(&mut self) -> Result<(), StoreError> {
        if self.database.is_none() {
            let commits = self.connect()?;
            self.is_stale |= commits != self.commits;
            self.commits = commits;
        }
        Ok(())
    }

    /// Writes all of it in one transaction, durably.
    ///
    /// # Errors
    ///
    /// If it may not be in the file. [`Self::reload`] knows more.
    pub(super) fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        self.reconnect()?;
        let path = self.path.clone();
        let Some(database) = self.database.as_ref().filter(|_| !self.is_stale) else {
            return Err(StoreError::Stale { path });
        };
        match write(database, writes, self.commits + 1) {
            Ok(()) => self.commits += 1,
            Err(error) => {
                // It takes nothing more until it is opened again.
                self.database = None;
                return Err(self.io("write", error));
            }
        }
        Ok(())
    }

    /// What is in the file after a commit failed, if that is more than what was answered.
    pub(super) fn reload(&mut self, scope: Scope) -> Option<State> {
        self.reconnect().ok()?;
        if !self.is_stale {
            return None;
        }
        let state = self.load(scope).ok()?;
        self.is_stale = false;
        Some(state)
    }

    /// Everything in the file.
    pub(super) fn load(&self, scope: Scope) -> Result<State, StoreError> {
        let mut state = State::new(scope);
        self.load_table::<Thing>(&mut state)?;
        self.load_table::<ThingType>(&mut state)?;
        self.load_table::<ThingGroup>(&mut state)?;
        self.load_table::<Certificate>(&mut state)?;
        self.load_table::<CaCertificate>(&mut state)?;
        self.load_table::<Policy>(&mut state)?;
        self.load_table::<Account>(&mut state)?;
        self.load_table::<Shadow>(&mut state)?;
        self.load_table::<Authorizer>(&mut state)?;
        Ok(state)
    }

    fn load_table<R: Record>(&self, state: &mut State) -> Result<(), StoreError> {
        let Some(database) = &self.database else {
            return Ok(()); // it is open
        };
        let read = |error: Cause| self.io("read", error);
        let transaction = database.begin_read().map_err(|error| read(error.into()))?;
        let table = match transaction.open_table(table(R::TABLE)) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(read(error.into())),
        };
        for entry in table.iter().map_err(|error| read(error.into()))? {
            let (key, value) = entry.map_err(|error| read(error.into()))?;
            let damaged = |reason: String| StoreError::Damaged {
                path: self.path.clone(),
                table: R::TABLE.to_owned(),
                key: key.value().to_owned(),
                reason,
            };
            let record: R = serde_json::from_slice(value.value())
                .map_err(|error| damaged(error.to_string()))?;
            if record.key() != key.value() {
                return Err(damaged(format!("it is `{}`", record.key())));
            }
            if let Some(fault) = record.fault() {
                return Err(damaged(fault));
            }
            state.set(key.value(), Some(Arc::new(record)));
        }
        Ok(())
    }
}

fn write(database: &Database, writes: &[Write], commits: u64) -> Result<(), Cause> {
    let transaction = database.begin_write()?;
    let mut meta = transaction.open_table(META)?;
    meta.insert(COMMITS_KEY, commits.to_string().as_str())?;
    // What is written may need a later version than what was there.
    meta.insert(FORMAT_KEY, FORMAT.to_string().as_str())?;
    drop(meta);
    // A table is opened once, and only one at a time.
    let mut tables: Vec<&str> = writes.iter().map(|write| write.table).collect();
    tables.sort_unstable();
    tables.dedup();
    for name in tables {
        let mut table = transaction.open_table(table(name))?;
        for write in writes.iter().filter(|write| write.table == name) {
            match &write.value {
                Some(value) => table.insert(write.key.as_str(), value.as_slice())?,
                None => table.remove(write.key.as_str())?,
            };
        }
    }
    transaction.commit()?;
    Ok(())
}

fn io_error(path: &Path, what: &'static str, source: Cause) -> StoreError {
    let path = path.to_owned();
    match *source.0 {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            StoreError::Held { path }
        }
        _ => StoreError::Io { path, what, source },
    }
}

enum Found {
    Nothing,
    Registry,
}

/// Looks whether there is a file, and whether it can be a registry at all. Nothing is locked or changed.
fn check_magic(path: &Path) -> Result<Found, StoreError> {
    let io = |error: io::Error| io_error(path, "open", error.into());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(io(error)),
    };
    let mut start = Vec::new();
    file.take(MAGIC.len() as u64)
        .read_to_end(&mut start)
        .map_err(io)?;
    match start == MAGIC {
        true => Ok(Found::Registry),
        false => Err(StoreError::Foreign {
            path: path.to_owned(),
        }),
    }
}

/// Makes an empty registry under another name and gives it this one, so that nobody finds half of one; false
/// if somebody else was faster.
fn create(path: &Path) -> Result<bool, StoreError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let made = empty(&temporary).and_then(|()| match fs::hard_link(&temporary, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // Some file systems have no links.
        Err(_) => Ok(fs::rename(&temporary, path).map(|()| true)?),
    });
    let _ = fs::remove_file(&temporary); // it has the other name, or is of no use
    made.map_err(|error| io_error(path, "create", error))
}

/// An empty registry.
fn empty(path: &Path) -> Result<(), Cause> {
    // Without the leftovers of a process of the same number.
    let _ = fs::remove_file(path);
    let database = Database::create(path)?;
    initialise(&database)?;
    Ok(())
}

/// Writes what makes a database a registry.
pub(super) fn initialise(database: &Database) -> Result<(), Cause> {
    let transaction = database.begin_write()?;
    let mut meta = transaction.open_table(META)?;
    meta.insert(FORMAT_KEY, FORMAT.to_string().as_str())?;
    drop(meta);
    transaction.commit()?;
    Ok(())
}

fn check_format(path: &Path, database: &Database) -> Result<(), StoreError> {
    let foreign = || StoreError::Foreign {
        path: path.to_owned(),
    };
    let found = meta(database, FORMAT_KEY).map_err(|error| match *error.0 {
        redb::Error::TableDoesNotExist(_) | redb::Error::TableTypeMismatch { .. } => foreign(),
        _ => io_error(path, "read", error),
    })?;
    let found = found.ok_or_else(foreign)?;
    match found.parse::<u32>() {
        Ok(1..=FORMAT) => Ok(()),
        _ => Err(StoreError::Newer {
            path: path.to_owned(),
            found,
        }),
    }
}

fn meta(database: &Database, key: &str) -> Result<Option<String>, Cause> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let value = meta.get(key)?;
    Ok(value.map(|value| value.value().to_owned()))
}
