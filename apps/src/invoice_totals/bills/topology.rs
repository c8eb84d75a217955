//! The part of the topology that makes bills.

use millstream::serde::{Nullable, Plain};
use millstream::{Consumed, KeyValue, Materialized, OnError, Produced, StreamsBuilder};

use super::super::text::{Name, NameSerde};
use super::super::topics;
use super::super::topology::Settings;
use super::billing::{Billing, Draft};
use super::rows::{Bill, BillRequest, Customer, Product, RowSerde};

/// Makes bills of requests.
pub(in super::super) fn bills(builder: &StreamsBuilder, settings: &Settings) {
    let policy = || OnError::from(settings.bad_invoices);
    let customers = builder.table::<Name, Customer>(
        Consumed::with_serdes(topics::CUSTOMERS, NameSerde, RowSerde).on_error(policy()),
        Materialized::with_serdes(topics::CUSTOMERS, NameSerde, RowSerde),
    );
    let products = builder.global_table::<Name, Product>(
        Consumed::with_serdes(topics::PRODUCTS, NameSerde, RowSerde).on_error(policy()),
        Materialized::with_serdes(topics::PRODUCTS, NameSerde, RowSerde),
    );
    let kept =
        builder.store(KeyValue::<Name, Bill>::with_serdes(topics::BILLS, NameSerde, RowSerde));
    let requests =
        Consumed::with_serdes(topics::BILL_REQUESTS, Nullable::<Plain>::default(), RowSerde);
    let currency = settings.currency.clone();
    builder
        .stream::<Option<Vec<u8>>, BillRequest>(requests.on_error(policy()))
        .select_key(|_, request| request.customer_id.clone())
        .repartition_with("bill-requests-by-customer", NameSerde, RowSerde)
        .left_join_table(&customers, |request, customer| Draft {
            request,
            customer: customer.cloned(),
        })
        .select_key(|_, draft| draft.request.id.clone())
        .repartition_with("bill-requests-by-id", NameSerde, RowSerde)
        .process_values("bill", (&kept, &products), move |(bills, products)| {
            Billing::new(bills, products, currency.clone())
        })
        .on_error(policy())
        .to(Produced::with_serdes(topics::BILLS, NameSerde, RowSerde));
}

#[cfg(test)]
mod tests {
    use millstream::DropReason;
    use millstream::record::{Headers, Timestamp};
    use millstream::testing::TopologyDriver;

    use super::super::super::topology::topology;
    use super::*;

    /// 2026-11-22T10:00:00Z.
    const TEN: i64 = 1_795_341_600_000;

    struct Bench(TopologyDriver);

    impl Bench {
        fn new() -> Self {
            let mut bench =
                Self(TopologyDriver::new(&topology(&Settings::default()).unwrap()).unwrap());
            bench.row(
                topics::CUSTOMERS,
                "c",
                r#"{"id":"c","name":"Café A","email":"a@b.example"}"#,
            );
            bench.row(
                topics::PRODUCTS,
                "pen",
                r#"{"id":"pen","name":"Pen","price":"1.25","quantity":9}"#,
            );
            bench
        }

        fn row(&mut self, topic: &str, key: &str, value: &str) {
            let row = (Some(key.as_bytes()), Some(value.as_bytes()));
            self.0.pipe_raw(topic, row, Timestamp(TEN), &Headers::default()).unwrap();
        }

        fn ask(&mut self, id: &str, customer: &str, product: &str) {
            let request = format!(
                r#"{{"id":"{id}","customer_id":"{customer}","lines":[{{"product_id":"pen","quantity":4}},{{"product_id":"{product}","quantity":2}}]}}"#
            );
            self.row(topics::BILL_REQUESTS, "any", &request);
        }

        fn bills(&mut self) -> Vec<String> {
            let all = self.0.read_raw(topics::BILLS).unwrap();
            all.into_iter().map(|bill| String::from_utf8(bill.value.unwrap()).unwrap()).collect()
        }

        fn counted(&self, line: &str) -> bool {
            self.0.metrics().lines().any(|found| found == line)
        }
    }

    #[test]
    fn a_bill_has_the_names_and_prices_of_its_moment() {
        let mut bench = Bench::new();
        bench.ask("1", "c", "pen");
        let first = r#"{"id":"1","billing_date":"2026-11-22","customer":{"id":"c","name":"Café A","email":"a@b.example"},"lines":[{"product_id":"pen","product_name":"Pen","quantity":4,"price":"1.25","amount":"5.00"},{"product_id":"pen","product_name":"Pen","quantity":2,"price":"1.25","amount":"2.50"}],"total":"7.50","currency":"EUR"}"#;
        assert_eq!(bench.bills(), [first]);
        bench.row(topics::PRODUCTS, "pen", r#"{"id":"pen","name":"Pencil","price":"2"}"#);
        bench.row(topics::CUSTOMERS, "c", r#"{"id":"c","name":"B"}"#);
        assert!(bench.bills().is_empty(), "a bill stays as it is");
        bench.ask("1", "c", "pen");
        assert!(bench.bills().is_empty(), "the first request of an id makes the bill");
        assert!(bench.counted(r#"invoice_totals_bills_repeated_total{application="app"} 1"#));
        bench.ask("2", "c", "pen");
        let second = bench.bills().concat();
        for part in
            [r#""name":"B","email":null"#, r#""product_name":"Pencil""#, r#""total":"12.00""#]
        {
            assert!(second.contains(part), "{part} in {second}");
        }
        assert!(bench.counted(r#"invoice_totals_bills_total{application="app"} 2"#));
    }

    #[test]
    fn who_and_what_is_unknown_has_no_name_and_is_counted() {
        let mut bench = Bench::new();
        bench.ask("1", "nobody", "nothing");
        let bill = bench.bills().concat();
        for part in [
            r#""customer":{"id":"nobody","name":null,"email":null}"#,
            r#"{"product_id":"nothing","product_name":null,"quantity":2,"price":null,"amount":null}"#,
            r#""total":"5.00""#,
        ] {
            assert!(bill.contains(part), "{part} in {bill}");
        }
        for what in ["customer", "product"] {
            let line =
                format!("invoice_totals_unknown_total{{what=\"{what}\",application=\"app\"}} 1");
            assert!(bench.counted(&line), "{line}: {}", bench.0.metrics());
        }
    }

    #[test]
    fn a_row_that_is_none_is_a_dead_letter() {
        let mut bench = Bench::new();
        let bad = r#"{"id":"pen","name":"Pen","price":1.25}"#;
        bench.row(topics::PRODUCTS, "pen", bad);
        bench.row(topics::CUSTOMERS, "c", r#"{"id":"c","name":"A\u202E"}"#);
        bench.row(topics::BILL_REQUESTS, "any", "{}");
        let letters = bench.0.read_raw(topics::DEAD_LETTERS).unwrap();
        let reasons: Vec<String> = (letters.iter())
            .map(|letter| letter.headers.last("__streams.errors.message").unwrap().to_vec())
            .map(|reason| String::from_utf8(reason).unwrap())
            .collect();
        assert_eq!(letters[0].value.as_deref(), Some(bad.as_bytes()));
        assert!(reasons[0].contains("floating point `1.25`"), "{reasons:?}");
        assert!(reasons[1].contains("turns the direction"), "{reasons:?}");
        assert!(reasons[2].contains("missing field `id`"), "{reasons:?}");
        assert_eq!(bench.0.dropped(DropReason::BadBytes), 3);
        bench.ask("1", "c", "pen");
        assert!(bench.bills().concat().contains("Café A"), "the rows before stay");
    }
}
