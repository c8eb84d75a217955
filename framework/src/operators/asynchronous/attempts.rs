//! One record's future, with all its tries: what becomes of it on the pool.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::{BoxError, panic_text};
use crate::operators::asynchronous::options::Tries;

/// How one try ended.
enum Ended<O> {
    Well(O),
    Failed(BoxError),
    Panicked(String),
}

/// An error after several tries.
#[derive(Debug)]
struct Tried {
    tries: u32,
    last: BoxError,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tried {} times", self.tries)
    }
}

impl std::error::Error for Tried {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.last)
    }
}

/// A future whose panic is an outcome.
struct Guarded<F>(Pin<Box<F>>);

impl<O, E: Into<BoxError>, F: Future<Output = Result<O, E>>> Future for Guarded<F> {
    type Output = Ended<O>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended<O>> {
        // After a panic it is not polled again.
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(output))) => Poll::Ready(Ended::Well(output)),
            Ok(Poll::Ready(Err(error))) => Poll::Ready(Ended::Failed(error.into())),
            Err(panic) => Poll::Ready(Ended::Panicked(panic_text(&*panic))),
        }
    }
}

/// Makes a future of a record and awaits it, again where it fails. The key comes back.
pub(super) async fn attempt<K, V, O, E, F, M>(
    make: Arc<M>,
    key: K,
    value: V,
    tries: Tries,
) -> Result<(K, O), BoxError>
where
    V: Clone,
    M: Fn(&K, V) -> F,
    F: Future<Output = Result<O, E>>,
    E: Into<BoxError>,
{
    for tried in 1..=tries.retries {
        match once(&*make, &key, value.clone(), tries.timeout).await {
            Ended::Well(output) => return Ok((key, output)),
            Ended::Panicked(text) => return Err(panicked(&text)),
            Ended::Failed(_) => tokio::time::sleep(tries.wait_after(tried)).await,
        }
    }
    match once(&*make, &key, value, tries.timeout).await {
        Ended::Well(output) => Ok((key, output)),
        Ended::Panicked(text) => Err(panicked(&text)),
        Ended::Failed(last) if tries.retries > 0 => {
            Err(Tried { tries: tries.retries.saturating_add(1), last }.into())
        }
        Ended::Failed(error) => Err(error),
    }
}

/// One try. It is made before anything is awaited, so that the key is not borrowed meanwhile.
fn once<K, V, O, E, F, M>(
    make: &M,
    key: &K,
    value: V,
    timeout: Duration,
) -> impl Future<Output = Ended<O>> + use<K, V, O, E, F, M>
where
    M: Fn(&K, V) -> F,
    F: Future<Output = Result<O, E>>,
    E: Into<BoxError>,
{
    let made = catch_unwind(AssertUnwindSafe(|| make(key, value)));
    async move {
        let future = match made {
            Ok(future) => Guarded(Box::pin(future)),
            Err(panic) => return Ended::Panicked(panic_text(&*panic)),
        };
        tokio::time::timeout(timeout, future).await.unwrap_or_else(|_| {
            Ended::Failed(format!("the future was not done within {timeout:?}").into())
        })
    }
}

fn panicked(text: &str) -> BoxError {
    format!("the future panicked: {text}").into()
}
