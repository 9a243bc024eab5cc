//! Medians and spreads: what survives a noisy machine.

/// The middle of a set of samples and how far they spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// The 50th percentile.
    pub median: f64,
    /// The 10th percentile.
    pub p10: f64,
    /// The 90th percentile.
    pub p90: f64,
}

impl Summary {
    /// Sums up `samples`; `None` if there are none.
    pub fn of(samples: &[f64]) -> Option<Summary> {
        let sorted = sorted(samples);
        Some(Summary {
            median: quantile(&sorted, 0.5)?,
            p10: quantile(&sorted, 0.1)?,
            p90: quantile(&sorted, 0.9)?,
        })
    }
}

/// The samples in ascending order.
pub fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The `q`-th quantile (0 to 1) of ascending samples, interpolated between neighbours; `None` if
/// there are no samples.
pub fn quantile(ascending: &[f64], q: f64) -> Option<f64> {
    let last = ascending.len().checked_sub(1)?;
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = ascending[place.floor() as usize];
    let above = ascending[place.ceil() as usize];
    Some(below + (above - below) * place.fract())
}

/// `ours / theirs`, where less is better and nothing at all is best: 1 if both are zero, 0 if only
/// ours is, infinite if only theirs is.
///
/// Readings below `floor` count as `floor`: a difference that small cannot be told from zero.
pub fn ratio(ours: f64, theirs: f64, floor: f64) -> f64 {
    let (ours, theirs) = (ours.max(floor), theirs.max(floor));
    if ours == theirs { 1.0 } else { ours / theirs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_ignores_order_and_outliers() {
        let summary = Summary::of(&[5.0, 1.0, 3.0, 2.0, 1000.0]).unwrap();
        assert_eq!(summary.median, 3.0);
        assert!((summary.p10 - 1.4).abs() < 1e-9);
        assert!((summary.p90 - 602.0).abs() < 1e-9);
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn quantiles_interpolate_between_neighbours() {
        let samples = [10.0, 20.0, 30.0, 40.0];
        assert_eq!(quantile(&samples, 0.0), Some(10.0));
        assert_eq!(quantile(&samples, 0.5), Some(25.0));
        assert_eq!(quantile(&samples, 1.0), Some(40.0));
        assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
    }

    #[test]
    fn a_ratio_survives_zeros() {
        assert_eq!(ratio(3.0, 2.0, 0.0), 1.5);
        assert_eq!(ratio(0.0, 2.0, 0.0), 0.0);
        assert_eq!(ratio(0.0, 0.0, 0.0), 1.0);
        assert_eq!(ratio(2.0, 0.0, 0.0), f64::INFINITY);
    }

    #[test]
    fn a_ratio_of_readings_below_the_floor_is_one() {
        assert_eq!(ratio(-0.3, 0.01, 0.05), 1.0);
        assert_eq!(ratio(-0.3, 1.0, 0.05), 0.05);
    }
}
