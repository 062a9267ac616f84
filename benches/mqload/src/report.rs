//! A flat JSON object printed on one line.

use std::fmt::Write;

#[derive(Default)]
pub struct Json(String);

impl Json {
    fn key(&mut self, k: &str) -> &mut String {
        if !self.0.is_empty() {
            self.0.push_str(", ");
        }
        let _ = write!(self.0, "\"{k}\": ");
        &mut self.0
    }
    pub fn str(&mut self, k: &str, v: &str) -> &mut Self {
        let esc: String = v
            .chars()
            .flat_map(|c| {
                if c == '"' || c == '\\' {
                    vec!['\\', c]
                } else {
                    vec![c]
                }
            })
            .collect();
        let _ = write!(self.key(k), "\"{esc}\"");
        self
    }
    pub fn int(&mut self, k: &str, v: u64) -> &mut Self {
        let _ = write!(self.key(k), "{v}");
        self
    }
    pub fn num(&mut self, k: &str, v: f64) -> &mut Self {
        if v.is_finite() {
            let _ = write!(self.key(k), "{v:.4}");
        } else {
            self.key(k).push_str("null");
        }
        self
    }
    pub fn bool(&mut self, k: &str, v: bool) -> &mut Self {
        let _ = write!(self.key(k), "{v}");
        self
    }
    pub fn print(&self) {
        println!("{{{}}}", self.0);
    }
}

/// p50, p99, p99.9 and max of nanosecond samples, as microseconds.
pub fn percentiles(j: &mut Json, prefix: &str, mut ns: Vec<u64>) {
    if ns.is_empty() {
        return;
    }
    ns.sort_unstable();
    let at = |p: f64| ns[((ns.len() as f64 * p) as usize).min(ns.len() - 1)] as f64 / 1e3;
    j.num(&format!("{prefix}p50_us"), at(0.5));
    j.num(&format!("{prefix}p99_us"), at(0.99));
    j.num(&format!("{prefix}p999_us"), at(0.999));
    j.num(&format!("{prefix}max_us"), *ns.last().unwrap() as f64 / 1e3);
}
