//! What tokens cost, and since when.

use crate::{TeacherError, Usage};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::Path;

/// The prices that come with the program.
const BUILT_IN: &str = include_str!("../prices.toml");

/// Billionths of a dollar: a token of any price list is a whole number of them.
pub type NanoUsd = u64;

/// Dated prices of models.
#[derive(Clone, Debug)]
pub struct Prices {
    rows: Vec<Price>,
    version: String,
}

/// Dollars for a million tokens of one model, from a day on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    /// As the vendor names it.
    model: String,
    /// `YYYY-MM-DD`, which sorts as text.
    valid_from: String,
    /// Tokens that are read.
    in_usd: f64,
    /// Of these, tokens that the vendor had cached; as others where absent.
    cached_usd: Option<f64>,
    /// Tokens that are written.
    out_usd: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceFile {
    price: Vec<Price>,
}

impl Prices {
    /// The prices that come with the program, and those of a file over them.
    ///
    /// # Errors
    /// When the file cannot be read or has something else in it.
    pub fn load(file: Option<&Path>) -> Result<Prices, TeacherError> {
        let mut texts = vec![("the price table".to_owned(), BUILT_IN.to_owned())];
        if let Some(path) = file {
            let text =
                std::fs::read_to_string(path).map_err(|source| TeacherError::File { path: path.to_owned(), source })?;
            texts.push((format!("the price file {}", path.display()), text));
        }
        let (mut rows, mut hash) = (Vec::new(), Sha256::new());
        for (object, text) in texts {
            hash.update(text.as_bytes());
            let read = toml::from_str::<PriceFile>(&text).map_err(|error| error.message().to_owned());
            let read = read.and_then(|file| file.price.iter().try_for_each(Price::check).map(|()| file.price));
            // A later row of the same day wins.
            rows.extend(read.map_err(|reason| TeacherError::Config { object, reason })?);
        }
        rows.sort_by(|one, other| one.valid_from.cmp(&other.valid_from));
        Ok(Prices { rows, version: format!("{:x}", hash.finalize())[..12].to_owned() })
    }

    /// Names this table: part of every label, so that spend can be computed anew.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What `usage` costs on `day` (`YYYY-MM-DD`); nothing where there is no price.
    pub fn cost(&self, model: &str, day: &str, usage: &Usage) -> Option<NanoUsd> {
        let is_valid = |price: &&Price| price.model == model && price.valid_from.as_str() <= day;
        let price = self.rows.iter().rev().find(is_valid)?;
        let per_token = |usd: f64| (usd * 1e3).round() as u64;
        let cached = usage.tokens_cached.min(usage.tokens_in);
        Some(
            // Saturating, as the numbers are a server's.
            (usage.tokens_in - cached)
                .saturating_mul(per_token(price.in_usd))
                .saturating_add(cached.saturating_mul(per_token(price.cached_usd.unwrap_or(price.in_usd))))
                .saturating_add(usage.tokens_out.saturating_mul(per_token(price.out_usd))),
        )
    }
}

impl Price {
    fn check(&self) -> Result<(), String> {
        let day = self.valid_from.as_bytes();
        let is_day = day.len() == 10
            && day.iter().enumerate().all(|(at, byte)| match at {
                4 | 7 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        let prices = [Some(self.in_usd), self.cached_usd, Some(self.out_usd)];
        match prices.iter().flatten().all(|usd| (0.0..1e6).contains(usd)) {
            _ if !is_day => Err(format!("has valid_from {:?} for {}; write YYYY-MM-DD", self.valid_from, self.model)),
            false => Err(format!("has a price for {} that is no number of dollars from 0 to 1000000", self.model)),
            true => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(tokens_in: u64, tokens_cached: u64, tokens_out: u64) -> Usage {
        Usage { requests: 1, tokens_in, tokens_cached, tokens_out }
    }

    #[test]
    fn published_prices() {
        let prices = Prices::load(None).unwrap();
        let cost = |model, day, usage| prices.cost(model, day, &usage);
        // 2.50 USD a million in, 1.25 cached, 10 out.
        assert_eq!(cost("gpt-4o-2024-08-06", "2024-12-31", usage(1_000_000, 400_000, 100_000)), Some(3_000_000_000));
        assert_eq!(cost("gemini-1.5-flash-002", "2024-12-31", usage(10, 10, 1)), Some(1050));
        // Launch and later.
        assert_eq!(cost("o1-mini-2024-09-12", "2024-09-12", usage(1, 0, 1)), Some(15_000));
        assert_eq!(cost("o1-mini-2024-09-12", "2025-06-01", usage(1, 0, 1)), Some(5_500));
        assert_eq!(cost("o1-mini-2024-09-12", "2024-01-01", usage(1, 0, 1)), None);
        assert_eq!(cost("gpt-4o-2024-08-06", "2024-12-31", usage(1 << 63, 0, 1 << 63)), Some(u64::MAX));
        assert_eq!(cost("another", "2024-12-31", usage(1, 0, 1)), None);
    }

    #[test]
    fn a_file_goes_over_what_comes_with_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prices.toml");
        let check = |text: &str, expected: &str| {
            std::fs::write(&path, text).unwrap();
            let said = match Prices::load(Some(&path)) {
                Ok(prices) => format!("{:?}", prices.cost("gpt-4o-2024-08-06", "2026-01-01", &usage(1, 0, 0))),
                Err(error) => error.to_string(),
            };
            assert!(said.contains(expected), "{text}: {said}");
        };
        let row = |day: &str, usd: &str| {
            format!("[[price]]\nmodel='gpt-4o-2024-08-06'\nvalid_from='{day}'\nin_usd={usd}\nout_usd=1.0\n")
        };
        check(&row("2025-01-01", "1.0"), "Some(1000)");
        check(&row("2026-01-02", "1.0"), "Some(2500)");
        check(&row("soon", "1.0"), "write YYYY-MM-DD");
        check(&row("2025-01-01", "-1.0"), "no number of dollars");
        check("prices = 1", "prices.toml unknown field `prices`");
    }
}
