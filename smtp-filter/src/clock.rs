//! The two clocks: events carry nanoseconds since boot, people read the time of day.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot (CLOCK_BOOTTIME), as the datapath counts.
pub fn since_boot() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let nanoseconds = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    u64::try_from(nanoseconds).unwrap_or(0)
}

/// Two looks at the clocks that differ by less than this have found the same time of boot: no clock was set meanwhile.
const SAME: Duration = Duration::from_millis(1);

/// When the machine was booted by the clock on the wall. The same events get the same time from all who start from
/// the same first look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    boot: SystemTime,
}

impl WallClock {
    /// Reads both clocks.
    pub fn now() -> Self {
        let since_boot = Duration::from_nanos(since_boot());
        Self { boot: SystemTime::now().checked_sub(since_boot).unwrap_or(SystemTime::UNIX_EPOCH) }
    }

    /// A clock of a machine that was booted so many nanoseconds after 1970.
    pub fn booted(boot: u64) -> Self {
        Self { boot: SystemTime::UNIX_EPOCH + Duration::from_nanos(boot) }
    }

    /// When the machine was booted: nanoseconds after 1970.
    pub fn boot(self) -> u64 {
        let boot = self.boot.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(boot.as_nanos()).unwrap_or(u64::MAX)
    }

    /// This clock, unless the clock on the wall was set since: then one of now, to the millisecond, so that everybody
    /// who looks finds the same one.
    pub fn or_now(self) -> Self {
        self.or(Self::now())
    }

    fn or(self, now: Self) -> Self {
        let (earlier, later) = (self.boot.min(now.boot), self.boot.max(now.boot));
        if later.duration_since(earlier).is_ok_and(|apart| apart < SAME) {
            return self;
        }
        let milliseconds = (now.boot() + 500_000) / 1_000_000;
        Self::booted(milliseconds * 1_000_000)
    }

    /// The time of day of an event, in UTC with nanoseconds.
    pub fn rfc3339(self, since_boot: u64) -> String {
        let time = self.boot.checked_add(Duration::from_nanos(since_boot)).unwrap_or(self.boot);
        humantime::format_rfc3339_nanos(time).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_now_shows_the_time_of_day() {
        let shown = WallClock::now().rfc3339(since_boot());
        let shown = humantime::parse_rfc3339(&shown).unwrap();
        let off = shown.duration_since(SystemTime::now()).unwrap_or_else(|error| error.duration());
        assert!(off < Duration::from_secs(5), "{off:?}");
    }

    #[test]
    fn nanoseconds_are_kept() {
        let clock = WallClock::booted(0);
        assert_eq!(clock.rfc3339(1_123_456_789), "1970-01-01T00:00:01.123456789Z");
    }

    #[test]
    fn two_readers_say_the_same_time() {
        let first = WallClock::booted(1_000_000_000_000_000_123);
        let (one, other) = (WallClock::booted(first.boot() + 800), WallClock::booted(first.boot() - 900));
        assert_eq!((first.or(one), first.or(other)), (first, first));
        // The clock is set by an hour.
        let (one, other) =
            (WallClock::booted(one.boot() + 3_600_000_000_000), WallClock::booted(other.boot() + 3_600_000_000_000));
        assert_eq!(first.or(one), first.or(other));
        assert_eq!(first.or(one).boot(), 1_000_003_600_000_000_000);
    }
}
