//! Properties of the state machine, against itself and against noise.

use proptest::prelude::*;

use super::*;

const PORTS: Ports = Ports { guest: 10, host: 20 };

/// What one side wants to do next.
#[derive(Clone, Debug)]
enum Act {
    Write(u16),
    Consume(u16),
    FinishSending,
    Deliver(u8),
}

fn act() -> impl Strategy<Value = (bool, Act)> {
    let act = prop_oneof![
        5 => (1..4000u16).prop_map(Act::Write),
        4 => (1..4000u16).prop_map(Act::Consume),
        1 => Just(Act::FinishSending),
        8 => (1..6u8).prop_map(Act::Deliver),
    ];
    (any::<bool>(), act)
}

/// One end of a connection with its queues: packets on the way to it, bytes waiting on both sides of it.
struct End {
    connection: Connection,
    inbox: std::collections::VecDeque<Header>,
    to_send: usize,
    finishing: bool,
    unconsumed: usize,
    sent: usize,
    heard: usize,
    heard_end: bool,
    reset: bool,
}

impl End {
    fn new(connection: Connection) -> End {
        End {
            connection,
            inbox: Default::default(),
            to_send: 0,
            finishing: false,
            unconsumed: 0,
            sent: 0,
            heard: 0,
            heard_end: false,
            reset: false,
        }
    }

    /// Everything this side can say now.
    fn speak(&mut self) -> Vec<Header> {
        let mut packets = Vec::new();
        loop {
            if let Some(header) = self.connection.next_control(3) {
                packets.push(header);
                continue;
            }
            let n = self.connection.credit().min(self.to_send).min(1500);
            if n > 0 {
                self.to_send -= n;
                self.sent += n;
                packets.push(self.connection.data(3, n as u32));
                continue;
            }
            if self.finishing && self.to_send == 0 && self.connection.may_send() {
                self.connection.finish_sending();
                continue;
            }
            return packets;
        }
    }

    fn hear(&mut self, header: Header) {
        let op = Op::from_raw(header.op).expect("we only say what exists");
        match self.connection.receive(op, &header) {
            Event::Data => {
                assert!(!self.heard_end, "data after the end");
                self.unconsumed += header.len as usize;
                self.heard += header.len as usize;
                assert!(self.unconsumed <= BUF_ALLOC as usize, "more than was granted");
            }
            Event::GuestShut => self.heard_end |= self.connection.guest_sends_no_more(),
            Event::Reset { .. } => self.reset = true,
            Event::Violation => panic!("an honest side was accused: {header:?}"),
            Event::Noted | Event::Connected | Event::Discard => {}
        }
    }

    fn consume(&mut self, n: usize) {
        let n = n.min(self.unconsumed);
        self.unconsumed -= n;
        self.connection.forward(n as u32);
    }
}

fn pair() -> [End; 2] {
    let mut caller = Connection::dial(PORTS);
    let request = caller.next_control(3).unwrap();
    let mut callee = End::new(Connection::accept(PORTS, &request));
    let mut caller = End::new(caller);
    for header in callee.speak() {
        caller.hear(header);
    }
    [caller, callee]
}

fn exchange(ends: &mut [End; 2], from: usize) -> bool {
    let packets = ends[from].speak();
    let any = !packets.is_empty();
    ends[1 - from].inbox.extend(packets);
    any
}

fn deliver(ends: &mut [End; 2], to: usize, n: usize) -> bool {
    let mut any = false;
    for _ in 0..n {
        let Some(header) = ends[to].inbox.pop_front() else { break };
        ends[to].hear(header);
        any = true;
    }
    any
}

proptest! {
    /// Two honest ends, any schedule: nobody is ever accused, credit is kept, and once both are done everything has
    /// arrived and the connection is gone on both sides.
    #[test]
    fn honest_ends_lose_nothing(acts in proptest::collection::vec(act(), 0..200)) {
        let mut ends = pair();
        for (second, act) in acts {
            let i = usize::from(second);
            match act {
                Act::Write(n) if !ends[i].finishing => ends[i].to_send += n as usize,
                Act::Write(_) => {}
                Act::Consume(n) => ends[i].consume(n as usize),
                Act::FinishSending => ends[i].finishing = true,
                Act::Deliver(n) => {
                    deliver(&mut ends, i, n as usize);
                }
            }
            exchange(&mut ends, i);
        }
        ends[0].finishing = true;
        ends[1].finishing = true;
        for _ in 0..10_000 {
            let mut progress = false;
            for i in 0..2 {
                ends[i].consume(usize::MAX);
                progress |= deliver(&mut ends, i, usize::MAX);
                progress |= exchange(&mut ends, i);
            }
            if !progress {
                break;
            }
        }
        for i in 0..2 {
            prop_assert_eq!(ends[i].to_send, 0);
            prop_assert_eq!(ends[i].sent, ends[1 - i].heard);
            prop_assert!(ends[i].heard_end);
            prop_assert!(ends[i].connection.is_closed(), "{:?}", ends[i].connection);
        }
    }

    /// Noise from the guest: no panic, no credit beyond what the guest promised, silence after the end, and never
    /// more data accepted than was granted.
    #[test]
    fn noise_is_survived(
        dialled in any::<bool>(),
        noise in proptest::collection::vec((1..8u16, any::<u32>(), 0..400_000u32, any::<u32>(), any::<u32>()), 0..100),
    ) {
        let first = Header { buf_alloc: 1000, ..Header::default() };
        let mut connection = if dialled { Connection::dial(PORTS) } else { Connection::accept(PORTS, &first) };
        let mut buffered = 0u32;
        for (op, flags, len, buf_alloc, fwd_cnt) in noise {
            let header = Header { op, flags, len, buf_alloc, fwd_cnt, ..Header::default() };
            let closed = connection.is_closed();
            match connection.receive(Op::from_raw(op).unwrap(), &header) {
                Event::Data => {
                    buffered += len;
                    prop_assert!(buffered <= BUF_ALLOC);
                    connection.forward(len / 2);
                    buffered -= len / 2;
                }
                event => prop_assert!(!closed || event == Event::Discard),
            }
            prop_assert!(connection.credit() <= buf_alloc as usize || closed);
            if connection.is_closed() {
                prop_assert_eq!(connection.credit(), 0);
                prop_assert_eq!(connection.next_control(3), None);
            }
            // At most one packet of each kind is ever pending.
            let mut said = 0;
            while connection.next_control(3).is_some() {
                said += 1;
                prop_assert!(said <= 6);
            }
        }
    }
}

#[test]
fn a_dial_that_nobody_heard_of_ends_silently() {
    let mut connection = Connection::dial(PORTS);
    connection.give_up();
    assert!(connection.is_closed());
    let mut connection = Connection::dial(PORTS);
    connection.next_control(3).unwrap();
    connection.give_up();
    assert_eq!(connection.next_control(3).map(|header| header.op), Some(Op::Rst as u16));
}
