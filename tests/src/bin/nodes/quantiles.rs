//! Quantiles of small sets of values, all of which are kept.

use serde::Serialize;

/// The quantiles of one measurement.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Quantiles {
    /// Returns the quantiles by the nearest rank; zeros if there are no values.
    pub(crate) fn from_values(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let at = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100).max(1) - 1;
            values.get(rank).copied().unwrap_or_default()
        };
        Self {
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_observed_values() {
        let quantiles = Quantiles::from_values((1..=200).rev().map(f64::from).collect());
        assert_eq!(
            (quantiles.p50, quantiles.p99, quantiles.max),
            (100.0, 198.0, 200.0)
        );
        assert_eq!(Quantiles::from_values(vec![3.0]).p99, 3.0);
        assert_eq!(Quantiles::from_values(Vec::new()).max, 0.0);
    }
}
