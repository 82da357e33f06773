//! The results of several rounds: the median and the range.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The median of several figures, the smallest and the largest.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Returns the spread of the figures; zeros if there are none.
    pub(crate) fn from_figures(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or_default();
        let middle = figures.len() / 2;
        let median = if figures.len() % 2 == 1 {
            at(middle)
        } else {
            f64::midpoint(at(middle.saturating_sub(1)), at(middle))
        };
        Self {
            median,
            min: at(0),
            max: at(figures.len().saturating_sub(1)),
        }
    }
}

/// Formats it as `4.52 (4.40–4.71)`, with the requested number of decimals.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = f.precision().unwrap_or(2);
        write!(
            f,
            "{:.decimals$} ({:.decimals$}–{:.decimals$})",
            self.median, self.min, self.max
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn median_is_middle_or_mean() {
        assert_eq!(
            format!("{:.1}", Spread::from_figures([3.0, 1.0, 2.0])),
            "2.0 (1.0–3.0)"
        );
        assert_eq!(
            format!("{:.1}", Spread::from_figures([4.0, 1.0, 2.0, 3.0])),
            "2.5 (1.0–4.0)"
        );
        assert_eq!(format!("{:.0}", Spread::from_figures([])), "0 (0–0)");
    }
}
