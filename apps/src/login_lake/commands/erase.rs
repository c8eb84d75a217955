//! `login-lake erase`: asks for a person's erasure.

use clap::Args;
use jiff::Timestamp;
use millstream::client::Producer;
use millstream::init_logging;
use millstream::record::Record;

use super::APPLICATION;
use crate::login_lake::forget::Erasure;
use crate::login_lake::moment::Moment;
use crate::login_lake::topics;
use crate::program::{Place, say};

/// Asks for a person's erasure.
#[derive(Debug, Args)]
pub(super) struct Erase {
    #[command(flatten)]
    place: Place,
    /// The person's id
    sub: String,
}

impl Erase {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let config = self.place.configuration(&APPLICATION, &[])?;
        init_logging(&config)?;
        let log = self.place.connect(&APPLICATION, &config)?;
        let now = Timestamp::now();
        let erasure = Erasure { requested_at: Some(Moment::try_from(now)?) };
        let mut producer = Producer::<String, Erasure>::open(&log, topics::ERASURES)?;
        let at = millstream::record::Timestamp(now.as_millisecond());
        producer.send(Record::new(self.sub.clone(), erasure, at))?;
        producer.close()?;
        say("the erasure is on its way");
        Ok(())
    }
}
