//! A handful of samples in one line.

/// Minimum, median, 99th percentile and maximum of some samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub min: f64,
    pub median: f64,
    pub p99: f64,
    pub max: f64,
    pub count: usize,
}

impl Summary {
    /// `None` when there are no samples.
    pub fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        let (min, max) = (*samples.first()?, *samples.last()?);
        let p99 = samples[(samples.len() * 99 / 100).min(samples.len() - 1)];
        Some(Self { min, median: samples[samples.len() / 2], p99, max, count: samples.len() })
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2}, p99 {:.2}, n={})", self.median, self.min, self.max, self.p99, self.count)
    }
}
