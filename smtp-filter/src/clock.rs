//! The two clocks: events carry nanoseconds since boot, people read the time of day.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot (CLOCK_BOOTTIME), as the datapath counts.
pub fn since_boot() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let nanoseconds = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    u64::try_from(nanoseconds).unwrap_or(0)
}

/// When the machine was booted by the clock on the wall, as of now.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    boot: SystemTime,
}

impl WallClock {
    /// Reads both clocks.
    pub fn now() -> Self {
        let since_boot = Duration::from_nanos(since_boot());
        Self { boot: SystemTime::now().checked_sub(since_boot).unwrap_or(SystemTime::UNIX_EPOCH) }
    }

    /// A clock of a machine that was booted then.
    pub const fn booted(boot: SystemTime) -> Self {
        Self { boot }
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
        let clock = WallClock::booted(SystemTime::UNIX_EPOCH);
        assert_eq!(clock.rfc3339(1_123_456_789), "1970-01-01T00:00:01.123456789Z");
    }
}
