//! CPU time and memory of the broker (a process and all its children) from /proc.

use std::fs;

pub fn now_ns() -> u64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `t` is a valid timespec to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Fields of /proc/PID/stat after the command name: state is index 0.
fn stat(pid: i32) -> Option<Vec<String>> {
    let s = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = &s[s.rfind(')')? + 2..];
    Some(rest.split(' ').map(str::to_owned).collect())
}

/// The process and its living descendants.
fn tree(root: i32) -> Vec<i32> {
    let mut all: Vec<(i32, i32)> = Vec::new();
    for e in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(pid) = e.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) {
            if let Some(f) = stat(pid) {
                all.push((pid, f[1].parse().unwrap_or(0)));
            }
        }
    }
    let mut out = vec![root];
    let mut i = 0;
    while i < out.len() {
        let p = out[i];
        out.extend(all.iter().filter(|(_, pp)| *pp == p).map(|(c, _)| *c));
        i += 1;
    }
    out
}

#[derive(Clone, Copy, Default)]
pub struct Usage {
    pub cpu_s: f64,
    pub rss: u64,
    pub pss: u64,
}

pub fn usage(root: i32) -> Usage {
    // SAFETY: sysconf has no preconditions.
    let hz = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    let mut u = Usage::default();
    for pid in tree(root) {
        let Some(f) = stat(pid) else { continue };
        let n = |i: usize| f.get(i).and_then(|x| x.parse::<f64>().ok()).unwrap_or(0.0);
        // utime, stime, and those of reaped children
        u.cpu_s += (n(11) + n(12) + n(13) + n(14)) / hz;
        let field = |path: &str, key: &str| -> u64 {
            fs::read_to_string(path)
                .ok()
                .and_then(|s| {
                    let l = s.lines().find(|l| l.starts_with(key))?.to_owned();
                    l.split_whitespace().nth(1)?.parse::<u64>().ok()
                })
                .unwrap_or(0)
                * 1024
        };
        u.rss += field(&format!("/proc/{pid}/status"), "VmRSS:");
        u.pss += field(&format!("/proc/{pid}/smaps_rollup"), "Pss:");
    }
    u
}

/// CPU seconds of this process.
pub fn self_cpu() -> f64 {
    // SAFETY: rusage is plain data, and getrusage fills it.
    unsafe {
        let mut r: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut r);
        let t = |v: libc::timeval| v.tv_sec as f64 + v.tv_usec as f64 / 1e6;
        t(r.ru_utime) + t(r.ru_stime)
    }
}
