//! Whether an engine across a network is still there.
//!
//! ```text
//!  something was heard ──QUIET, and somebody looks──▶ one `_ping` ──an answer, an event──▶ from the start
//!                                                       │ late: `says(true)`; nothing ends, the wait goes on
//!                                                       ├──an answer after all──▶ `says(false)`, from the start
//!                                                       └──ANSWER_WITHIN──▶ lost: what is open through it ends
//! ```
//!
//! A socket of this computer ends with its engine; but a connection whose path was cut says nothing at all, for hours. So while a
//! window looks, and nothing was heard for [`QUIET`], a ping goes out on a connection that stays open. Somebody who waits for a
//! picture to move is told within two seconds; nothing is taken from them for it, for the engine may only be slow. An end comes
//! later, and over ssh, which watches its own connection, from ssh. While nobody looks nothing goes out: the first thing that
//! happens when somebody does again is a ping.

use std::future::Future;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::engine::line::Line;
use crate::schema::{AppError, ErrorCode, Looking, Stream, StreamItem};

/// With the next one, how late it is said at most that no answer comes. Two seconds is what people were promised: the rest is for a
/// computer that is busy.
const QUIET: Duration = Duration::from_millis(400);
const SOON: Duration = Duration::from_millis(800);
/// A packet that is lost is sent again after 0.2, 0.4, 0.8, 1.6 s: all of that fits. Source: Linux, `TCP_RTO_MIN`.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Of those, for an engine that is always slow: its answers are waited for twice as long as the last one took.
const LATE_AT_MOST: Duration = Duration::from_secs(4);
/// That nobody was told of yet: one takes seconds.
const LOSSES: usize = 16;

/// What is asked.
pub(super) trait Heart: Send {
    /// Absent a connection the next beat makes one, which takes its time: a login, over ssh.
    fn is_open(&self) -> bool;
    /// Whether an answer came. Waits for as long as one may still come.
    fn beats(&mut self) -> impl Future<Output = bool> + Send;
}

impl Heart for Line {
    fn is_open(&self) -> bool {
        Line::is_open(self)
    }

    /// Twice: a connection that was kept may have been closed over there, which says nothing about the way.
    async fn beats(&mut self) -> bool {
        self.ping().await.is_ok() || self.ping().await.is_ok()
    }
}

/// One engine, for as long as it is connected.
pub(super) struct Watched<H> {
    heart: H,
    /// What is open through it ends without us: see [`Endpoint::ends_by_itself`](crate::engine::endpoint::Endpoint::ends_by_itself).
    ends_by_itself: bool,
    /// When an answer is late.
    late_after: Duration,
}

impl<H: Heart> Watched<H> {
    pub fn new(heart: H, ends_by_itself: bool) -> Self {
        Self { heart, ends_by_itself, late_after: SOON }
    }

    /// One beat. `false`: lost. What is heard meanwhile is as good as an answer, and the one that was asked for is still awaited:
    /// its connection stays.
    async fn answers(&mut self, heard: &mut watch::Receiver<()>, says: &impl Fn(bool)) -> bool {
        let logs_in = self.ends_by_itself && !self.heart.is_open();
        let late_after = if logs_in { ANSWER_WITHIN } else { self.late_after };
        let asked_at = Instant::now();
        let (mut since, mut silent) = (asked_at, false);
        let answered = {
            let mut asked = std::pin::pin!(self.heart.beats());
            loop {
                tokio::select! {
                    biased;
                    answered = &mut asked => break answered,
                    () = next(heard) => {
                        says(false);
                        (since, silent) = (Instant::now(), false);
                    }
                    () = sleep_until(since + late_after), if !silent => {
                        says(true);
                        silent = true;
                    }
                    () = sleep_until(since + ANSWER_WITHIN), if !self.ends_by_itself => break false,
                }
            }
        };
        says(!answered);
        if answered {
            // Slowly less: one quick answer among late ones is no reason to blink.
            self.late_after = (asked_at.elapsed() * 2).max(self.late_after / 2).clamp(SOON, LATE_AT_MOST);
        }
        answered
    }
}

pub(super) struct Pulse {
    lookers: watch::Sender<usize>,
    /// Addresses of engines.
    losses: broadcast::Sender<String>,
}

impl Pulse {
    pub fn new() -> Self {
        Self { lookers: watch::channel(0).0, losses: broadcast::channel(LOSSES).0 }
    }

    /// A window looks, until what this returns is dropped.
    pub fn looking(&self) -> Looking {
        Looking::counted(&self.lookers)
    }

    /// Tells what is open through an engine that it is lost. What is open through others goes on: a terminal outlives the choice
    /// of another engine.
    pub fn lose(&self, address: &str) {
        // Nobody listening: nothing is open.
        let _ = self.losses.send(address.to_owned());
    }

    /// Returns when the engine is lost, having told so to what is open. `heard` changes with whatever is heard of it; `says` is
    /// told that an answer is late, and that it came after all.
    pub async fn silence(
        &self,
        address: &str,
        watched: &mut Watched<impl Heart>,
        mut heard: watch::Receiver<()>,
        says: impl Fn(bool),
    ) {
        let mut lookers = self.lookers.subscribe();
        loop {
            // The first comes at once: it makes the connection.
            if lookers.wait_for(|lookers| *lookers > 0).await.is_err() {
                return std::future::pending().await;
            }
            if watched.answers(&mut heard, &says).await {
                while timeout(QUIET, next(&mut heard)).await.is_ok() {}
                continue;
            }
            if !watched.ends_by_itself {
                tracing::info!(address, "the engine fell silent");
                self.lose(address);
                return;
            }
            // Each try is a login over there.
            sleep(ANSWER_WITHIN).await;
        }
    }

    /// `work`, or that the engine at `address` was lost meanwhile.
    pub async fn or_lost<T>(
        &self,
        address: &str,
        work: impl Future<Output = Result<T, AppError>>,
    ) -> Result<T, AppError> {
        let mut losses = self.losses.subscribe();
        tokio::select! {
            biased;
            done = work => done,
            () = loss_of(&mut losses, address) => Err(lost()),
        }
    }

    /// The same of a stream, which ends as broken.
    pub fn until_lost(&self, address: String, mut source: Stream) -> Stream {
        let mut losses = self.losses.subscribe();
        let (items, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            let carry = async {
                while let Some(item) = source.recv().await {
                    if items.send(item).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = carry => {}
                // Whoever looked at it left, while nothing came.
                () = items.closed() => {}
                () = loss_of(&mut losses, &address) => drop(items.send(StreamItem::Broken { error: lost() }).await),
            }
        });
        stream
    }
}

/// Something more is heard.
async fn next(heard: &mut watch::Receiver<()>) {
    if heard.changed().await.is_err() {
        std::future::pending().await
    }
}

async fn loss_of(losses: &mut broadcast::Receiver<String>, address: &str) {
    loop {
        match losses.recv().await {
            Ok(lost) if lost != address => {}
            // Whoever missed what was lost may be the one.
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}

/// Nobody is told of it once for each thing that was open: that the engine is away is shown by itself.
fn lost() -> AppError {
    AppError {
        code: ErrorCode::MachineOff,
        title: "The engine cannot be reached".into(),
        detail: "it stopped answering; the way to it may be cut".into(),
        remedy: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_open_ends_when_the_engine_is_lost() {
        let pulse = Pulse::new();
        let (items, source) = mpsc::channel(1);
        let mut stream = pulse.until_lost("tcp://a:1".into(), source);
        let (_other, elsewhere) = mpsc::channel::<StreamItem>(1);
        let mut elsewhere = pulse.until_lost("tcp://b:1".into(), elsewhere);
        items.send(StreamItem::Bytes(vec![1])).await.unwrap();
        assert!(matches!(stream.recv().await, Some(StreamItem::Bytes(_))));
        let call = pulse.or_lost("tcp://a:1", std::future::pending::<Result<(), AppError>>());
        let lose = async {
            tokio::task::yield_now().await;
            pulse.lose("tcp://a:1");
        };
        let (called, ()) = tokio::join!(call, lose);
        assert!(called.is_err());
        assert!(matches!(stream.recv().await, Some(StreamItem::Broken { .. })));
        assert!(stream.recv().await.is_none());
        items.closed().await;
        assert!(elsewhere.try_recv().is_err() && !_other.is_closed(), "what goes through another one goes on");
    }

    #[tokio::test]
    async fn a_stream_that_nobody_takes_any_more_is_closed_at_its_source() {
        let (items, source) = mpsc::channel(1);
        drop(Pulse::new().until_lost(String::new(), source));
        items.closed().await;
    }

    /// Answers after as long as it is told to, if ever; counts.
    struct Played {
        after: watch::Receiver<Option<Duration>>,
        beats: watch::Sender<u32>,
    }

    impl Heart for Played {
        fn is_open(&self) -> bool {
            *self.beats.borrow() > 0
        }

        async fn beats(&mut self) -> bool {
            self.beats.send_modify(|beats| *beats += 1);
            let mut after = self.after.clone();
            loop {
                let now = *after.borrow_and_update();
                match now {
                    Some(pause) => {
                        sleep(pause).await;
                        return true;
                    }
                    None => drop(after.changed().await),
                }
            }
        }
    }

    struct Scene {
        after: watch::Sender<Option<Duration>>,
        beats: watch::Receiver<u32>,
        watched: Watched<Played>,
        /// What was said, and when.
        said: std::sync::Mutex<Vec<(Duration, bool)>>,
        began: Instant,
    }

    fn scene(answers_after: Option<Duration>, ends_by_itself: bool) -> Scene {
        let (after, played) = watch::channel(answers_after);
        let (beats, counted) = watch::channel(0);
        let watched = Watched::new(Played { after: played, beats }, ends_by_itself);
        Scene { after, beats: counted, watched, said: std::sync::Mutex::default(), began: Instant::now() }
    }

    /// Changes of what is said.
    fn note(said: &std::sync::Mutex<Vec<(Duration, bool)>>, began: Instant) -> impl Fn(bool) {
        move |silent| {
            let mut said = said.lock().unwrap();
            if said.last().map_or(silent, |last| last.1 != silent) {
                said.push((began.elapsed(), silent));
            }
        }
    }

    /// No event comes.
    fn nothing() -> watch::Receiver<()> {
        watch::channel(()).1
    }

    const QUICK: Duration = Duration::from_millis(5);

    #[tokio::test(start_paused = true)]
    async fn a_cut_is_said_well_within_two_seconds_and_is_a_loss_only_later() {
        let pulse = Pulse::new();
        let _looking = pulse.looking();
        let Scene { after, mut beats, mut watched, said, began } = scene(Some(QUICK), false);
        let (items, source) = mpsc::channel(1);
        let mut open = pulse.until_lost("tcp://a:1".into(), source);
        let silence = pulse.silence("tcp://a:1", &mut watched, nothing(), note(&said, began));
        let cut = async {
            beats.wait_for(|beats| *beats == 3).await.unwrap();
            // The third is answered yet; nothing is from then on.
            sleep(QUICK * 2).await;
            after.send_replace(None);
            let cut = began.elapsed();
            beats.changed().await.unwrap();
            sleep(SOON * 2).await;
            assert!(open.try_recv().is_err() && !items.is_closed(), "what is open stays open");
            cut
        };
        let ((), cut) = tokio::join!(silence, cut);
        let said = said.lock().unwrap().clone();
        assert!(matches!(said[..], [(at, true)] if at - cut < Duration::from_millis(1500)), "{said:?} after {cut:?}");
        assert!(began.elapsed() - cut >= ANSWER_WITHIN, "lost as late as ever");
        assert!(matches!(open.recv().await, Some(StreamItem::Broken { .. })), "and what was open ended with it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_engine_is_said_once_and_loses_nothing() {
        let pulse = Pulse::new();
        let _looking = pulse.looking();
        let Scene { mut beats, mut watched, said, began, .. } = scene(Some(Duration::from_millis(1500)), false);
        let silence = pulse.silence("tcp://a:1", &mut watched, nothing(), note(&said, began));
        let enough = async {
            beats.wait_for(|beats| *beats == 20).await.unwrap();
        };
        tokio::select! {
            () = silence => panic!("it answers"),
            () = enough => {}
        }
        let said: Vec<bool> = said.lock().unwrap().iter().map(|said| said.1).collect();
        assert_eq!(said, [true, false], "the first answer told what to expect");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_said_and_taken_back() {
        let pulse = Pulse::new();
        let _looking = pulse.looking();
        let Scene { after, mut beats, mut watched, said, began } = scene(Some(QUICK), false);
        let silence = pulse.silence("tcp://a:1", &mut watched, nothing(), note(&said, began));
        let pause = async {
            beats.wait_for(|beats| *beats == 2).await.unwrap();
            after.send_replace(None);
            // The second is answered yet.
            sleep(QUIET + Duration::from_millis(1500)).await;
            after.send_replace(Some(QUICK));
            beats.wait_for(|beats| *beats == 9).await.unwrap();
        };
        tokio::select! {
            () = silence => panic!("it answers"),
            () = pause => {}
        }
        let said: Vec<bool> = said.lock().unwrap().iter().map(|said| said.1).collect();
        assert_eq!(said, [true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn over_ssh_it_is_said_and_the_end_is_left_to_ssh() {
        let pulse = Pulse::new();
        let _looking = pulse.looking();
        let Scene { after, mut beats, mut watched, said, began } = scene(Some(QUICK), true);
        let silence = pulse.silence("tcp://a:1", &mut watched, nothing(), note(&said, began));
        let cut = async {
            beats.wait_for(|beats| *beats == 2).await.unwrap();
            after.send_replace(None);
            sleep(ANSWER_WITHIN * 20).await;
            assert_eq!(*beats.borrow(), 3, "the second is answered yet, and one that waits is enough");
            after.send_replace(Some(QUICK));
            beats.wait_for(|beats| *beats == 5).await.unwrap();
        };
        tokio::select! {
            () = silence => panic!("that is for ssh to say"),
            () = cut => {}
        }
        let said: Vec<bool> = said.lock().unwrap().iter().map(|said| said.1).collect();
        assert_eq!(said, [true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_heard_meanwhile_is_as_good_as_an_answer() {
        let pulse = Pulse::new();
        let _looking = pulse.looking();
        let Scene { after, mut beats, mut watched, said, began } = scene(Some(QUICK), false);
        let (events, heard) = watch::channel(());
        let silence = pulse.silence("tcp://a:1", &mut watched, heard, note(&said, began));
        let busy = async {
            beats.wait_for(|beats| *beats == 2).await.unwrap();
            after.send_replace(None);
            for _ in 0..30 {
                sleep(SOON / 2).await;
                events.send_replace(());
            }
            assert!(*beats.borrow() <= 3, "one that waits is enough");
        };
        tokio::select! {
            () = silence => panic!("it is heard of"),
            () = busy => {}
        }
        assert!(said.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_goes_out_while_nobody_looks() {
        let pulse = Pulse::new();
        let Scene { mut beats, mut watched, said, began, .. } = scene(Some(QUICK), false);
        let silence = pulse.silence("tcp://a:1", &mut watched, nothing(), note(&said, began));
        let hidden = async {
            sleep(Duration::from_secs(3600)).await;
            assert_eq!(*beats.borrow(), 0);
            let _looking = pulse.looking();
            beats.changed().await.unwrap();
        };
        tokio::select! {
            () = silence => panic!("it answers"),
            () = hidden => {}
        }
    }

    #[tokio::test]
    async fn who_looks_is_counted() {
        let pulse = Pulse::new();
        let (one, two) = (pulse.looking(), pulse.looking());
        assert_eq!(*pulse.lookers.borrow(), 2);
        drop((one, two));
        assert_eq!(*pulse.lookers.borrow(), 0);
    }
}
