//! Bytes of one stream from its descriptor to its log, through the journal where there is one.

use std::{io, os::fd::AsFd, sync::Arc};

use rustix::{
    buffer::spare_capacity,
    io::{Errno, read},
};

use crate::logs::{
    Source, Splitter,
    journal::{CHUNK, Journal, Slot},
};

/// See the module's documentation.
pub struct Intake {
    journal: Option<(Arc<Journal>, String, Source)>,
    /// Held while it has bytes that are not in the log.
    slot: Option<Slot>,
    buffer: Vec<u8>,
    /// A terminal cannot be spliced.
    is_pipe: bool,
}

impl Intake {
    /// Logs first what an earlier engine has read and not logged.
    pub fn new(splitter: Option<&mut Splitter>) -> Self {
        let journal = splitter.as_deref().and_then(|splitter| {
            let (log, source) = splitter.target();
            log.journal().map(|(journal, id)| (journal.clone(), id.clone(), source))
        });
        let slot = journal.as_ref().and_then(|(journal, id, source)| journal.recover(id, *source));
        let mut intake = Self { journal, slot, buffer: Vec::new(), is_pipe: true };
        if let Some(slot) = &intake.slot {
            match slot.rest() {
                Ok(rest) => intake.buffer = rest,
                Err(error) => tracing::error!(err = %error, "output of a container could not be recovered"),
            }
            intake.log(splitter);
            intake.rest();
        }
        intake
    }

    /// One read without waiting.
    pub fn read(&mut self, descriptor: &impl AsFd) -> io::Result<usize> {
        self.buffer.clear();
        self.take_slot();
        let Some(slot) = self.slot.as_mut() else { return self.read_plain(descriptor) };
        if self.is_pipe {
            match slot.fill(descriptor, &mut self.buffer) {
                Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => self.is_pipe = false,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => self.do_without(&error),
                done => return done,
            }
        }
        let count = self.read_plain(descriptor)?;
        if let Some(Err(error)) = self.slot.as_mut().map(|slot| slot.add(&self.buffer)) {
            self.do_without(&error);
        }
        Ok(count)
    }

    /// A full disk, most likely: the container's output matters more than its safety.
    fn do_without(&mut self, error: &io::Error) {
        tracing::error!(err = %error, "a container's output does without the journal");
        (self.journal, self.slot) = (None, None);
    }

    fn read_plain(&mut self, descriptor: &impl AsFd) -> io::Result<usize> {
        self.buffer.reserve(CHUNK);
        Ok(read(descriptor, spare_capacity(&mut self.buffer))?)
    }

    fn take_slot(&mut self) {
        let Some((journal, id, source)) = self.journal.as_ref().filter(|_| self.slot.is_none()) else { return };
        match journal.take(id, *source) {
            Ok(slot) => self.slot = Some(slot),
            Err(error) => self.do_without(&error),
        }
    }

    /// What the last read brought.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Gives it to the log.
    pub fn log(&mut self, splitter: Option<&mut Splitter>) {
        if let Some(splitter) = splitter {
            splitter.feed(&self.buffer, self.slot.as_mut());
        }
        self.give_slot();
    }

    /// Nothing to read for now: no memory, and a slot only with the beginning of a line.
    pub fn rest(&mut self) {
        self.buffer = Vec::new();
        self.give_slot();
    }

    /// The stream has ended, perhaps within a line.
    pub fn finish(&mut self, splitter: Option<&mut Splitter>) {
        if let Some(splitter) = splitter {
            splitter.finish(self.slot.as_mut());
        }
        self.rest();
    }

    fn give_slot(&mut self) {
        if let Some((journal, ..)) = &self.journal
            && let Some(slot) = self.slot.take_if(|slot| slot.is_empty())
        {
            journal.give(slot);
        }
    }
}
