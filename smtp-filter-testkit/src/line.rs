//! A bad line: what one namespace sends to another passes through this process, which loses packets, puts them out of
//! order, each one of its own choice, and may take its time.
//!
//! Both ends are tun devices: a sender's large segments are cut to the line's size before, so that what is lost is a
//! segment as on a wire, and nothing merges them again behind.

use std::{
    collections::VecDeque,
    ffi::c_void,
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    ioctl::{Ioctl, IoctlOutput, Opcode, ioctl},
};

use crate::namespace::Namespace;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Pass,
    /// It is lost.
    Lose,
    /// It goes on behind so many of its followers, or when none follows.
    Behind(u32),
}

/// How many packets came out in a way they went not in.
#[derive(Debug, Default)]
pub struct Damage {
    /// Lost.
    pub lost: AtomicU64,
    /// Overtaken by at least one other.
    pub overtaken: AtomicU64,
}

/// A line between two namespaces. It is cut on drop.
#[derive(Debug)]
pub struct Line {
    stop: Arc<AtomicBool>,
    damage: [Arc<Damage>; 2],
    rate: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// Who says what becomes of each packet of a direction: it gets the IP datagram.
pub type Judge = Box<dyn FnMut(&[u8]) -> Fate + Send>;

/// How long a packet waits at most for a line with a limited rate. Longer queues would hide from a sender what is lost.
const QUEUE: Duration = Duration::from_millis(10);
/// How often is looked whether the line is cut.
const TURN: Duration = Duration::from_millis(50);
/// Largest packet.
const ROOM: usize = 65_536;

impl Line {
    /// Makes a device called `name` in either namespace and joins them. Addresses are the caller's to give. The first
    /// judge is asked about what the first one sends. A packet that is kept back waits so long for followers: longer
    /// than a sender's burst, shorter than what it takes to be missed.
    pub fn new(name: &str, ends: [&Namespace; 2], judges: [Judge; 2], patience: Duration) -> Result<Self> {
        Self::slow(name, ends, judges, patience, Duration::ZERO)
    }

    /// The same, where every packet is under way for so long.
    pub fn slow(
        name: &str,
        ends: [&Namespace; 2],
        judges: [Judge; 2],
        patience: Duration,
        delay: Duration,
    ) -> Result<Self> {
        let [one, other] = ends;
        let (one, other) = (tun(one, name)?, tun(other, name)?);
        let stop = Arc::new(AtomicBool::new(false));
        let damage = [Arc::<Damage>::default(), Arc::default()];
        let rate = Arc::<AtomicU64>::default();
        let [first, second] = judges;
        let mut ways = [(first, 0), (second, 1)].map(|(judge, end)| Way {
            judge,
            damage: Arc::clone(&damage[end]),
            rate: Arc::clone(&rate),
            free: Instant::now(),
            delay,
            kept: VecDeque::new(),
            due: VecDeque::new(),
        });
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let waits = ways.iter().any(|way| !way.kept.is_empty());
                let due = ways.iter().filter_map(Way::next).min();
                let rest = due.map(|due| due.saturating_duration_since(Instant::now()));
                let idle = if waits { patience } else { TURN };
                let wait = rest.unwrap_or(idle).min(idle);
                let wait = Timespec::try_from(wait).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
                let mut ends = [PollFd::new(&one, PollFlags::IN), PollFd::new(&other, PollFlags::IN)];
                let ready = poll(&mut ends, Some(&wait));
                let [from, to] = &mut ways;
                from.arrive(&other);
                to.arrive(&one);
                if ready == Ok(0) && rest.is_none_or(|rest| rest > idle) {
                    from.let_go(&other);
                    to.let_go(&one);
                }
                from.carry(&one, &other);
                to.carry(&other, &one);
            }
        });
        Ok(Self { stop, damage, rate, thread: Some(thread) })
    }

    /// From now on each direction carries so many bytes a second, and no more than a short queue waits for it; 0: as
    /// many as come.
    pub fn limit(&self, rate: u64) {
        self.rate.store(rate, Ordering::Relaxed);
    }

    /// What happened to the packets of the first end, or of the second one.
    pub fn damage(&self, end: usize) -> (u64, u64) {
        let Damage { lost, overtaken } = &*self.damage[end & 1];
        (lost.load(Ordering::Relaxed), overtaken.load(Ordering::Relaxed))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One direction.
struct Way {
    judge: Judge,
    damage: Arc<Damage>,
    delay: Duration,
    /// Bytes a second, or 0.
    rate: Arc<AtomicU64>,
    /// When the line has carried what it was given.
    free: Instant,
    /// What is kept back, and behind how many it goes.
    kept: VecDeque<(u32, Vec<u8>)>,
    /// What is under way, and when it arrives.
    due: VecDeque<(Instant, Vec<u8>)>,
}

impl Way {
    /// When the next packet arrives.
    fn next(&self) -> Option<Instant> {
        self.due.front().map(|(due, _)| *due)
    }

    /// Hands over what has arrived.
    fn arrive(&mut self, to: &File) {
        let now = Instant::now();
        while self.next().is_some_and(|due| due <= now) {
            if let Some((_, packet)) = self.due.pop_front() {
                self.hand_over(&packet, to);
            }
        }
    }

    fn carry(&mut self, mut from: &File, to: &File) {
        let mut packet = vec![0; ROOM];
        loop {
            self.arrive(to);
            match from.read(&mut packet) {
                Ok(length) => self.decide(&packet[..length], to),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn decide(&mut self, packet: &[u8], to: &File) {
        match (self.judge)(packet) {
            Fate::Lose => {
                self.damage.lost.fetch_add(1, Ordering::Relaxed);
            }
            Fate::Behind(followers) if followers > 0 => self.kept.push_back((followers, packet.to_vec())),
            _ => {
                self.send(packet, to);
                for (followers, _) in &mut self.kept {
                    *followers -= 1;
                }
                while let Some(at) = self.kept.iter().position(|(followers, _)| *followers == 0) {
                    if let Some((_, late)) = self.kept.remove(at) {
                        self.damage.overtaken.fetch_add(1, Ordering::Relaxed);
                        self.send(&late, to);
                    }
                }
            }
        }
    }

    /// Nothing follows: what is kept back goes on.
    fn let_go(&mut self, to: &File) {
        while let Some((_, packet)) = self.kept.pop_front() {
            self.send(&packet, to);
        }
    }

    fn send(&mut self, packet: &[u8], to: &File) {
        let rate = self.rate.load(Ordering::Relaxed);
        if rate == 0 && self.delay.is_zero() {
            self.hand_over(packet, to);
            return;
        }
        let now = Instant::now();
        let mut leaves = now;
        let nanoseconds = packet.len() as u64 * 1_000_000_000;
        if let Some(takes) = nanoseconds.checked_div(rate) {
            leaves = self.free.max(now);
            if leaves > now + QUEUE {
                self.damage.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            leaves += Duration::from_nanos(takes);
            self.free = leaves;
        }
        self.due.push_back((leaves + self.delay, packet.to_vec()));
    }

    fn hand_over(&self, packet: &[u8], mut to: &File) {
        if to.write(packet).is_err() {
            self.damage.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// `struct ifreq` as far as it counts.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// `TUNSETIFF`.
struct MakeTun(Request);

// SAFETY: the operation reads a `struct ifreq`, which `Request` is as long as; it writes the name into it.
unsafe impl Ioctl for MakeTun {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        rustix::ioctl::opcode::write::<i32>(b'T', 202)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(&mut self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// `IFF_TUN | IFF_NO_PI`.
const PLAIN_TUN: u16 = 0x1001;

/// A tun device, up, with room for a burst: nothing is to be lost that nobody has chosen.
fn tun(namespace: &Namespace, name: &str) -> Result<File> {
    let file = make_tun(namespace, name)?;
    namespace.ip(&[&format!("link set {name} txqueuelen 20000 up")])?;
    Ok(file)
}

/// A device that says to have a link layer of this kind (ARPHRD_*, linux/if_arp.h); down, and gone with the file.
pub fn device_of_kind(namespace: &Namespace, name: &str, kind: u16) -> Result<File> {
    /// `TUNSETLINK`, which takes the number itself.
    const SET_LINK: Opcode = rustix::ioctl::opcode::write::<i32>(b'T', 205);
    let file = make_tun(namespace, name)?;
    // SAFETY: the operation reads no memory.
    unsafe { ioctl(file.as_fd(), rustix::ioctl::IntegerSetter::<SET_LINK>::new_usize(usize::from(kind))) }
        .with_context(|| format!("give {name} a link layer of kind {kind}"))?;
    Ok(file)
}

fn make_tun(namespace: &Namespace, name: &str) -> Result<File> {
    let mut request = Request { name: [0; 16], flags: PLAIN_TUN, rest: [0; 22] };
    let length = name.len().min(15);
    request.name[..length].copy_from_slice(&name.as_bytes()[..length]);
    let open = move || -> Result<OwnedFd> {
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits())?;
        let file = OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open("/dev/net/tun")?;
        // SAFETY: as `MakeTun` says.
        unsafe { ioctl(file.as_fd(), MakeTun(request)) }?;
        Ok(file.into())
    };
    let file = namespace.enter(open)?.with_context(|| format!("make the tun device {name}"))?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn packets_are_lost_and_overtaken_as_chosen() -> Result<()> {
        let (one, other) = (Namespace::new("one")?, Namespace::new("other")?);
        let mut number = 0;
        let judge = move |packet: &[u8]| {
            if packet[0] >> 4 != 4 {
                return Fate::Lose;
            }
            number += 1;
            match number {
                2 => Fate::Lose,
                3 => Fate::Behind(2),
                _ => Fate::Pass,
            }
        };
        let line = Line::new(
            "line",
            [&one, &other],
            [Box::new(judge), Box::new(|_: &[u8]| Fate::Pass)],
            Duration::from_secs(5),
        )?;
        one.ip(&["address add 203.0.113.1/24 dev line"])?;
        other.ip(&["address add 203.0.113.2/24 dev line"])?;
        let receiver = other.enter(|| UdpSocket::bind("203.0.113.2:7"))??;
        receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
        let sender = one.enter(|| UdpSocket::bind("203.0.113.1:7"))??;
        for number in 1..=6_u8 {
            sender.send_to(&[number], "203.0.113.2:7")?;
        }
        let mut seen = Vec::new();
        while seen.len() < 5 {
            let mut byte = [0];
            receiver.recv(&mut byte)?;
            seen.push(byte[0]);
        }
        assert_eq!(seen, [1, 4, 5, 3, 6]);
        assert_eq!(line.damage(0).1, 1);
        Ok(())
    }

    #[test]
    fn packets_of_a_slow_line_take_their_time() -> Result<()> {
        const DELAY: Duration = Duration::from_millis(40);
        let (one, other) = (Namespace::new("one")?, Namespace::new("other")?);
        let straight = || -> Judge { Box::new(|_: &[u8]| Fate::Pass) };
        let _line = Line::slow("line", [&one, &other], [straight(), straight()], Duration::ZERO, DELAY)?;
        one.ip(&["address add 203.0.113.1/24 dev line"])?;
        other.ip(&["address add 203.0.113.2/24 dev line"])?;
        let receiver = other.enter(|| UdpSocket::bind("203.0.113.2:7"))??;
        receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
        let sender = one.enter(|| UdpSocket::bind("203.0.113.1:7"))??;
        let start = Instant::now();
        for number in 1..=3_u8 {
            sender.send_to(&[number], "203.0.113.2:7")?;
        }
        for number in 1..=3_u8 {
            let mut byte = [0];
            receiver.recv(&mut byte)?;
            assert_eq!(byte[0], number);
        }
        assert!(start.elapsed() >= DELAY);
        Ok(())
    }
}
