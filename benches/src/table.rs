//! A table of contenders, as printed.

use std::fmt;

use crate::stats::Summary;

/// What the contenders of a contest read for one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Above the table.
    pub title: String,
    /// Of the figures.
    pub unit: &'static str,
    /// One per contender.
    pub rows: Vec<Row>,
}

/// One contender's figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The contender.
    pub name: String,
    /// Its figures.
    pub summary: Summary,
    /// Its median over the best peer's.
    pub ratio: Option<f64>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.rows.iter().map(|row| row.name.chars().count());
        let width = names.max().unwrap_or(0).max("contender".len());
        writeln!(f, "{} [{}]", self.title, self.unit)?;
        writeln!(
            f,
            "  {:width$} {:>11} {:>11} {:>11} {:>7}",
            "contender", "median", "p10", "p90", "/best"
        )?;
        for Row {
            name,
            summary,
            ratio,
        } in &self.rows
        {
            let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
            writeln!(
                f,
                "  {name:width$} {:>11} {:>11} {:>11} {ratio:>7}",
                figure(summary.median),
                figure(summary.p10),
                figure(summary.p90),
            )?;
        }
        Ok(())
    }
}

/// A figure with as many decimals as its size deserves.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_names() {
        let row = |name: &str, median: f64, ratio| Row {
            name: name.to_owned(),
            summary: Summary {
                median,
                p10: 0.5,
                p90: 12345.6,
            },
            ratio,
        };
        let table = Table {
            title: "deque: pair".to_owned(),
            unit: "ns",
            rows: vec![
                row("crossbeam-deque fifo", 12.34, Some(1.0)),
                row("st3", 234.56, None),
            ],
        };
        let expected = "\
deque: pair [ns]
  contender                 median         p10         p90   /best
  crossbeam-deque fifo       12.34        0.50       12346    1.00
  st3                        234.6        0.50       12346       -
";
        assert_eq!(table.to_string(), expected);
    }
}
