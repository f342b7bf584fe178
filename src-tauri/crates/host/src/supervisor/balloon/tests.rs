//! The policy against a guest that is arithmetic, on a clock that is passed in; the task against one that is played.

use super::*;

const GIB: u64 = 1 << 30;
const MEMORY: u64 = 8 * GIB;
/// What its kernel keeps for itself.
const RESERVED: u64 = 100 * MIB;

/// A guest whose balloon takes what is asked for, `pace` at most between two looks.
struct Simulated {
    policy: Policy,
    now: Instant,
    target: u64,
    balloon: u64,
    pace: u64,
    /// Whether its total tells of the balloon.
    honest: bool,
    used: u64,
    running: u32,
    quiet: Duration,
}

impl Simulated {
    fn new() -> Simulated {
        let now = Instant::now();
        Simulated {
            policy: Policy::new(MEMORY, now),
            now,
            target: MEMORY,
            balloon: 0,
            pace: MEMORY,
            honest: true,
            used: GIB / 2,
            running: 0,
            quiet: Duration::from_secs(60),
        }
    }

    fn available(&self) -> u64 {
        (MEMORY - RESERVED).saturating_sub(self.balloon + self.used)
    }

    /// One look later.
    fn turn(&mut self) {
        self.now += self.policy.pause();
        let whole = MEMORY - RESERVED;
        let total = if self.honest { whole - self.balloon } else { whole };
        let look = Look { total, available: self.available(), running: self.running, quiet: self.quiet };
        if let Some(target) = self.policy.decide(&look, self.now) {
            self.target = target;
        }
        self.balloon = (MEMORY - self.target).min(self.balloon + self.pace);
    }

    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.turn();
        }
    }
}

#[test]
fn an_idle_guest_keeps_a_sixteenth_and_the_rest_goes_within_ten_seconds() {
    let mut guest = Simulated::new();
    (guest.running, guest.used) = (3, 5 * GIB);
    guest.turns(20);
    assert_eq!(guest.target, MEMORY, "what they need is theirs, half of the memory is for more");
    (guest.running, guest.used, guest.quiet) = (0, GIB / 2, Duration::ZERO);
    guest.turn();
    guest.quiet = CALM;
    let stopped = guest.now;
    while guest.available() > MEMORY / 16 + CRUMBS {
        guest.turn();
    }
    assert!(guest.now - stopped <= Duration::from_secs(10), "{:?}", guest.now - stopped);
    guest.turns(50);
    assert!(guest.available() >= MEMORY / 16, "{} MiB", guest.available() / MIB);
}

#[test]
fn quiet_containers_leave_half_of_the_memory_free() {
    let mut guest = Simulated::new();
    (guest.running, guest.used) = (2, GIB);
    guest.turns(50);
    assert!(guest.target < MEMORY && guest.available() >= MEMORY / 2, "{} MiB", guest.available() / MIB);
    assert!(guest.available() < MEMORY / 2 + CRUMBS + GIB);
}

#[test]
fn a_guest_that_needs_memory_gets_all_back_at_once_and_keeps_it_for_a_while() {
    let mut guest = Simulated::new();
    (guest.running, guest.used) = (2, GIB);
    guest.turns(50);
    guest.used += GIB + GIB / 2;
    guest.turn();
    assert_eq!(guest.target, MEMORY, "it grows fast");
    let short = guest.now;
    guest.used = GIB;
    while guest.target == MEMORY {
        guest.turn();
    }
    assert!(guest.now - short >= PENANCE);
    // Slowly, until less than half of the margin is left.
    guest.turns(50);
    let mut least = u64::MAX;
    while guest.target != MEMORY {
        guest.used += GIB / 8;
        least = guest.available();
        guest.turn();
    }
    assert!((MEMORY / 4 - GIB / 8..MEMORY / 4).contains(&least), "{} MiB", least / MIB);
}

#[test]
fn a_first_container_and_anybody_who_comes_get_all() {
    let mut guest = Simulated::new();
    guest.turns(20);
    assert!(guest.target < MEMORY / 4);
    guest.running = 1;
    guest.turn();
    assert_eq!(guest.target, MEMORY);
    guest.running = 0;
    guest.turns(20);
    assert!(guest.policy.is_idle_and_holds());
    guest.quiet = Duration::from_millis(1);
    guest.turn();
    assert_eq!(guest.target, MEMORY);
    assert!(!guest.policy.is_idle_and_holds());
}

#[test]
fn a_guest_that_gives_slowly_or_tells_nothing_is_not_asked_for_more_than_it_has() {
    for honest in [true, false] {
        let mut guest = Simulated::new();
        (guest.pace, guest.honest) = (50 * MIB, honest);
        for _ in 0..500 {
            guest.turn();
            assert!(guest.available() >= MEMORY / 16, "{honest}: {} MiB", guest.available() / MIB);
        }
        assert!(guest.balloon > GIB, "{honest}: {} MiB", guest.balloon / MIB);
    }
}

struct Recorded(std::sync::Mutex<Vec<u64>>);

impl Balloon for Recorded {
    fn memory_bytes(&self) -> u64 {
        MEMORY
    }

    fn set_target(&self, bytes: u64) {
        self.0.lock().unwrap().push(bytes);
    }
}

/// Every step of the task: it asks, takes, and lets go at the first sign of a user.
#[tokio::test(start_paused = true)]
async fn the_guest_s_own_figures_decide() {
    use cubby_wire::control::{Reply, Request};
    use cubby_wire::{PROTOCOL_VERSION, frame, ports};

    let guest = crate::fake::Guest::new(|port, mut stream| async move {
        assert_eq!(port, ports::CONTROL);
        while let Ok(Some(request)) = frame::read::<Request>(&mut stream).await {
            let reply = match request {
                Request::Hello { .. } => Reply::Hello { protocol: PROTOCOL_VERSION, guest_version: "1".into() },
                _ => Reply::Figures(Figures {
                    memory_total_bytes: MEMORY - RESERVED,
                    memory_available_bytes: 7 * GIB,
                    ..Figures::default()
                }),
            };
            frame::write(&mut stream, &reply).await.unwrap();
        }
    });
    let balloon = Arc::new(Recorded(Default::default()));
    let activity = Activity::new();
    let keeping = tokio::spawn(keep(balloon.clone(), guest, Duration::from_secs(3600), activity.clone()));
    let asked = |count: usize| {
        let balloon = balloon.clone();
        async move {
            while balloon.0.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    asked(1).await;
    assert_eq!(balloon.0.lock().unwrap()[0], MEMORY / 2);
    tokio::time::sleep(Duration::from_millis(1)).await;
    activity.touch();
    let before = balloon.0.lock().unwrap().len();
    asked(before + 1).await;
    assert_eq!(balloon.0.lock().unwrap()[before], MEMORY);
    keeping.abort();
}
