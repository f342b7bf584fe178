//! `state.db`: one transactional home for every object the engine knows.
//!
//! SQLite in WAL mode with `synchronous=NORMAL`: a commit survives the death of the process at once and a power cut
//! up to the last checkpointed commits, always consistent, without an fsync on the container's start path.
//! Objects are rows of (kind, id, JSON): their shape is versioned by the code that owns the kind.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Serialize, de::DeserializeOwned};

/// Schema version this code writes. A newer database is refused: downgrading must not damage it.
const VERSION: i32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("state database failed")]
    Database(#[from] rusqlite::Error),
    #[error("{kind} {id} in the state database is not readable")]
    Corrupt {
        kind: String,
        id: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the state database has version {found}, newer than this engine's {VERSION}: use the newer engine")]
    TooNew { found: i32 },
    #[error("object could not be encoded")]
    Encode(#[source] serde_json::Error),
}

/// Readable objects with their ids, and what was wrong with the others.
pub type Objects<T> = (Vec<(String, T)>, Vec<StateError>);

/// An object on its way into the store.
#[derive(Debug)]
pub struct Row {
    kind: &'static str,
    id: String,
    json: Vec<u8>,
}

impl Row {
    pub fn new<T: Serialize>(kind: &'static str, id: impl Into<String>, object: &T) -> Result<Self, StateError> {
        Ok(Self { kind, id: id.into(), json: serde_json::to_vec(object).map_err(StateError::Encode)? })
    }
}

/// The store. Calls are short (tens of microseconds, no fsync) and may be made from async code.
pub struct State {
    connection: Mutex<Connection>,
}

impl State {
    /// Opens or creates the database at `path`.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let found: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if found > VERSION {
            return Err(StateError::TooNew { found });
        }
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS object (
                 kind TEXT NOT NULL, id TEXT NOT NULL, json BLOB NOT NULL, PRIMARY KEY (kind, id)
             ) WITHOUT ROWID;",
        )?;
        connection.pragma_update(None, "user_version", VERSION)?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StateError>) -> Result<T, StateError> {
        work(&self.connection.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn put<T: Serialize>(&self, kind: &str, id: &str, object: &T) -> Result<(), StateError> {
        let json = serde_json::to_vec(object).map_err(StateError::Encode)?;
        self.with(|db| {
            db.prepare_cached("INSERT INTO object VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET json = ?3")?
                .execute(params![kind, id, json])?;
            Ok(())
        })
    }

    /// Several objects at once: after a crash all of them are there or none.
    pub fn put_all(&self, rows: &[Row]) -> Result<(), StateError> {
        self.with(|db| {
            let transaction = db.unchecked_transaction()?;
            for Row { kind, id, json } in rows {
                transaction
                    .prepare_cached("INSERT INTO object VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET json = ?3")?
                    .execute(params![kind, id, json])?;
            }
            Ok(transaction.commit()?)
        })
    }

    pub fn fetch<T: DeserializeOwned>(&self, kind: &str, id: &str) -> Result<Option<T>, StateError> {
        let json: Option<Vec<u8>> = self.with(|db| {
            Ok(db
                .prepare_cached("SELECT json FROM object WHERE kind = ?1 AND id = ?2")?
                .query_row(params![kind, id], |row| row.get(0))
                .optional()?)
        })?;
        json.map(|json| decode(kind, id, &json)).transpose()
    }

    /// True when there was such an object.
    pub fn delete(&self, kind: &str, id: &str) -> Result<bool, StateError> {
        self.with(|db| {
            Ok(db.prepare_cached("DELETE FROM object WHERE kind = ?1 AND id = ?2")?.execute(params![kind, id])? > 0)
        })
    }

    /// Every object of a kind with its id; unreadable ones are reported beside the good ones, never dropped silently.
    pub fn all<T: DeserializeOwned>(&self, kind: &str) -> Result<Objects<T>, StateError> {
        let rows: Vec<(String, Vec<u8>)> = self.with(|db| {
            let mut statement = db.prepare_cached("SELECT id, json FROM object WHERE kind = ?1")?;
            let rows = statement.query_map(params![kind], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })?;
        let (mut good, mut bad) = (Vec::with_capacity(rows.len()), Vec::new());
        for (id, json) in rows {
            match decode(kind, &id, &json) {
                Ok(object) => good.push((id, object)),
                Err(error) => bad.push(error),
            }
        }
        Ok((good, bad))
    }
}

fn decode<T: DeserializeOwned>(kind: &str, id: &str, json: &[u8]) -> Result<T, StateError> {
    serde_json::from_slice(json).map_err(|source| StateError::Corrupt {
        kind: kind.to_owned(),
        id: id.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_survive_reopening_and_a_newer_database_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        State::open(&path).unwrap().put("volume", "a", &vec![1, 2]).unwrap();
        let state = State::open(&path).unwrap();
        assert_eq!(state.fetch::<Vec<i32>>("volume", "a").unwrap(), Some(vec![1, 2]));
        assert!(state.delete("volume", "a").unwrap());
        assert!(!state.delete("volume", "a").unwrap());
        state.with(|db| Ok(db.pragma_update(None, "user_version", VERSION + 1)?)).unwrap();
        drop(state);
        assert!(matches!(State::open(&path), Err(StateError::TooNew { .. })));
    }

    #[test]
    fn objects_that_belong_together_are_put_together() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(&dir.path().join("state.db")).unwrap();
        state.put_all(&[Row::new("a", "1", &1).unwrap(), Row::new("b", "2", &2).unwrap()]).unwrap();
        assert_eq!((state.fetch::<i32>("a", "1").unwrap(), state.fetch::<i32>("b", "2").unwrap()), (Some(1), Some(2)));
    }

    #[test]
    fn an_unreadable_object_is_reported_beside_the_good_ones() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(&dir.path().join("state.db")).unwrap();
        state.put("volume", "good", &1).unwrap();
        state.put("volume", "bad", &"text").unwrap();
        let (good, bad) = state.all::<i32>("volume").unwrap();
        assert_eq!(good, [("good".to_owned(), 1)]);
        assert_eq!(bad.len(), 1);
    }
}
