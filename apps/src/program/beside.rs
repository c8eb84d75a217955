//! Threads that work beside an application for as long as it runs.

use std::sync::mpsc::{Receiver, Sender};
use std::thread::{self, JoinHandle};

use super::stopping::stopping;

/// Threads, each with a way to stop it.
#[derive(Default)]
pub(crate) struct Beside {
    threads: Vec<(&'static str, JoinHandle<()>)>,
    stops: Vec<Sender<()>>,
}

impl Beside {
    /// Starts one; `what` it does completes the sentence "the thread that".
    pub(crate) fn start(
        &mut self,
        what: &'static str,
        work: impl FnOnce(&Receiver<()>) + Send + 'static,
    ) {
        let (stop, stopped) = stopping();
        self.stops.push(stop);
        self.threads.push((what, thread::spawn(move || work(&stopped))));
    }

    /// Tells all of them to end, and waits until they have.
    pub(crate) fn end(self) {
        drop(self.stops);
        for (what, thread) in self.threads {
            if thread.join().is_err() {
                tracing::error!("the thread that {what} died");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::super::stopping::pause;
    use super::*;

    /// Longer than any test waits.
    const FOREVER: Duration = Duration::from_secs(3_600);

    #[test]
    fn all_are_told_before_one_is_waited_for_and_a_dead_one_stops_nobody() {
        let ended = Arc::new(AtomicUsize::new(0));
        let mut beside = Beside::default();
        beside.start("dies", |_| panic!("on purpose"));
        for _ in 0..2 {
            let ended = Arc::clone(&ended);
            beside.start("waits", move |stop| {
                if !pause(stop, FOREVER) {
                    ended.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        beside.end();
        assert_eq!(ended.load(Ordering::Relaxed), 2);
    }
}
