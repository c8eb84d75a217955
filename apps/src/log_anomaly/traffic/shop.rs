//! What was bought and what not, per service and hour.

use std::collections::BTreeMap;

use millstream::BoxError;
use millstream::serde::{Bincode, HasSerde, Json};
use serde::{Deserialize, Serialize};

use crate::log_anomaly::clock_text::utc_text;
use crate::log_anomaly::line::LogLine;
use crate::log_anomaly::parse::OTHER;

/// Different results of a checkout; further ones are `other`.
const STATUSES_MAX: usize = 20;
const STATUS_BYTES_MAX: usize = 64;

/// What a line says of a shop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::log_anomaly) struct Purchase {
    is_view: bool,
    cart_size: Option<u32>,
    checkout: Option<String>,
}

impl HasSerde for Purchase {
    type Serde = Bincode;
}

/// None for a line that is not about products.
pub(in crate::log_anomaly) fn purchase_of(line: &LogLine) -> Option<Purchase> {
    let is_view = line.product_id.is_some();
    let checkout = line.checkout_status.clone();
    let is_one = is_view || line.cart_size.is_some() || checkout.is_some();
    is_one.then_some(Purchase { is_view, cart_size: line.cart_size, checkout })
}

/// An hour of a shop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::log_anomaly) struct ShopHour {
    views: u64,
    carts: u64,
    cart_items: u64,
    cart_size_max: u32,
    checkouts: BTreeMap<String, u64>,
}

impl HasSerde for ShopHour {
    type Serde = Bincode;
}

impl ShopHour {
    /// Takes in a line.
    pub(in crate::log_anomaly) fn add(&mut self, purchase: Purchase) {
        self.views += u64::from(purchase.is_view);
        if let Some(size) = purchase.cart_size.filter(|size| *size > 0) {
            self.carts += 1;
            self.cart_items += u64::from(size);
            self.cart_size_max = self.cart_size_max.max(size);
        }
        if let Some(mut status) = purchase.checkout {
            status.truncate(status.floor_char_boundary(STATUS_BYTES_MAX));
            let is_known = self.checkouts.contains_key(&status);
            let has_room = is_known || self.checkouts.len() < STATUSES_MAX;
            let status = if has_room { status } else { OTHER.to_owned() };
            *self.checkouts.entry(status).or_default() += 1;
        }
    }
}

/// An hour of a shop, as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ShopMetric {
    /// `shop-1h`.
    pub series: String,
    pub service: String,
    pub from: String,
    pub to: String,
    pub views: u64,
    pub carts: u64,
    pub cart_size_mean: Option<f64>,
    pub cart_size_max: u32,
    pub checkouts: BTreeMap<String, u64>,
    /// False: the hour still takes lines.
    #[serde(rename = "final")]
    pub is_final: bool,
}

impl HasSerde for ShopMetric {
    type Serde = Json;
}

impl ShopMetric {
    /// Of an hour.
    ///
    /// # Errors
    /// If it lies beyond the year 9999.
    pub(in crate::log_anomaly) fn of(
        service: &str,
        (from, to): (i64, i64),
        hour: ShopHour,
        is_final: bool,
    ) -> Result<Self, BoxError> {
        let ShopHour { views, carts, cart_items, cart_size_max, checkouts } = hour;
        let cart_size_mean = (carts > 0).then(|| cart_items as f64 / carts as f64);
        Ok(Self {
            series: "shop-1h".to_owned(),
            service: service.to_owned(),
            from: utc_text(from)?,
            to: utc_text(to)?,
            views,
            carts,
            cart_size_mean,
            cart_size_max,
            checkouts,
            is_final,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_adds_up_and_its_statuses_are_bounded() {
        let mut hour = ShopHour::default();
        for n in 0..100_u32 {
            let checkout = Some(format!("s{n}"));
            hour.add(Purchase { is_view: true, cart_size: Some(n % 3), checkout });
        }
        assert_eq!((hour.views, hour.carts, hour.cart_items, hour.cart_size_max), (100, 66, 99, 2));
        assert_eq!((hour.checkouts.len(), hour.checkouts[OTHER]), (STATUSES_MAX + 1, 80));
        let metric = ShopMetric::of("shop", (0, 3_600_000), hour, true).unwrap();
        assert_eq!(metric.cart_size_mean, Some(1.5));
    }
}
