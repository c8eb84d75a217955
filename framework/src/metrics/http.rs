//! `/metrics`, `/healthz` and `/readyz` over HTTP, on a thread of their own: they answer also when
//! every worker is busy, which is when they are needed.

use std::fmt;
use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpResponse, HttpServer as Server, web};
use serde::Serialize;

use crate::error::{Error, Result};

/// What the server asks the instance; called on the server's thread.
pub(crate) trait Probe: Send + Sync {
    /// All metrics in Prometheus' text format.
    fn metrics(&self) -> String;
    /// The threads that give no sign of life and other reasons to start anew, each as a sentence.
    fn stuck(&self) -> Vec<String>;
    /// The state of the instance, and if it runs with all its tasks.
    fn state(&self) -> (String, bool);
    /// The brokers that the group's client is connected to, where there are any to speak of.
    fn brokers_connected(&self) -> Option<usize>;
    /// The tasks that are assigned but do not run, with their states.
    fn not_running(&self) -> Vec<(String, String)>;
    /// What the instance waits for, each as a sentence.
    fn waits_for(&self) -> Vec<String>;
    /// Where nothing goes on though there are records, each as a sentence.
    fn stalled(&self) -> Vec<String>;
}

#[derive(Serialize)]
struct Health {
    healthy: bool,
    stuck: Vec<String>,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    state: String,
    not_running: Vec<TaskLine>,
    waiting_for: Vec<String>,
    stalled: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    brokers_connected: Option<usize>,
}

#[derive(Serialize)]
struct TaskLine {
    task: String,
    state: String,
}

/// Whom the server asks. Taken away when it stops: its threads end a moment after it, and must not
/// hold the instance, with its log and its folder, until then.
struct Asked(Mutex<Option<Arc<dyn Probe>>>);

impl Asked {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<dyn Probe>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn probe(&self) -> Option<Arc<dyn Probe>> {
        self.lock().clone()
    }
}

/// The running server; dropping it stops it.
pub(crate) struct HttpServer {
    address: SocketAddr,
    asked: Arc<Asked>,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer").field("address", &self.address).finish_non_exhaustive()
    }
}

type Started = std::io::Result<(SocketAddr, ServerHandle)>;

impl HttpServer {
    /// Binds `address` (port 0: a free one) and serves from a new thread.
    ///
    /// # Errors
    /// `Config` when the address cannot be bound, `Fatal` when there is no thread to be had.
    pub(crate) fn start(address: SocketAddr, probe: Arc<dyn Probe>) -> Result<Self> {
        let (tell, told) = sync_channel(1);
        let asked = Arc::new(Asked(Mutex::new(Some(probe))));
        let served = Arc::clone(&asked);
        let thread = Builder::new()
            .name("millstream-http".to_owned())
            .spawn(move || actix_web::rt::System::new().block_on(serve(address, served, tell)))
            .map_err(|error| fatal(&error))?;
        let started = told.recv().map_err(|error| fatal(&error))?;
        let (address, handle) =
            started.map_err(|error| Error::Config(format!("http: {address}: {error}")))?;
        Ok(Self { address, asked, handle, thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        // The request is sent by the call; the future only waits for the answer.
        drop(self.handle.stop(false));
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the http thread died");
        }
        self.asked.lock().take();
    }
}

fn fatal(error: &dyn fmt::Display) -> Error {
    Error::Fatal { what: "starting the http server".to_owned(), reason: error.to_string() }
}

async fn serve(address: SocketAddr, asked: Arc<Asked>, tell: SyncSender<Started>) {
    let asked = web::Data::from(asked);
    let server = Server::new(move || {
        App::new()
            .app_data(asked.clone())
            .route("/metrics", web::get().to(metrics))
            .route("/healthz", web::get().to(health))
            .route("/readyz", web::get().to(readiness))
    })
    .workers(1)
    .disable_signals()
    .bind(address);
    let server = match server {
        Ok(server) => server,
        Err(error) => {
            // Whoever started the thread waits for this.
            let _ = tell.send(Err(error));
            return;
        }
    };
    let bound = server.addrs().first().copied().unwrap_or(address);
    let running = server.run();
    let _ = tell.send(Ok((bound, running.handle())));
    if let Err(error) = running.await {
        tracing::error!(%error, "the http server ended with an error");
    }
}

async fn metrics(asked: web::Data<Asked>) -> HttpResponse {
    let Some(probe) = asked.probe() else { return stopped() };
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(probe.metrics())
}

async fn health(asked: web::Data<Asked>) -> HttpResponse {
    let Some(probe) = asked.probe() else { return stopped() };
    let stuck = probe.stuck();
    let healthy = stuck.is_empty();
    HttpResponse::build(status(healthy)).json(Health { healthy, stuck })
}

async fn readiness(asked: web::Data<Asked>) -> HttpResponse {
    let Some(probe) = asked.probe() else { return stopped() };
    let (state, runs) = probe.state();
    let lines = probe.not_running().into_iter().map(|(task, state)| TaskLine { task, state });
    let not_running: Vec<TaskLine> = lines.collect();
    let ready = runs && not_running.is_empty();
    let brokers_connected = probe.brokers_connected();
    HttpResponse::build(status(ready)).json(Readiness {
        ready,
        state,
        not_running,
        waiting_for: probe.waits_for(),
        stalled: probe.stalled(),
        brokers_connected,
    })
}

/// A request that comes while the server ends.
fn stopped() -> HttpResponse {
    HttpResponse::ServiceUnavailable().body("stopped")
}

fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Told {
        stuck: Mutex<Vec<String>>,
        not_running: Mutex<Vec<(String, String)>>,
        connected: Mutex<Option<usize>>,
    }

    impl Probe for Told {
        fn metrics(&self) -> String {
            "millstream_aborts_total 0\n".to_owned()
        }
        fn stuck(&self) -> Vec<String> {
            self.stuck.lock().unwrap().clone()
        }
        fn state(&self) -> (String, bool) {
            ("running".to_owned(), true)
        }
        fn brokers_connected(&self) -> Option<usize> {
            *self.connected.lock().unwrap()
        }
        fn not_running(&self) -> Vec<(String, String)> {
            self.not_running.lock().unwrap().clone()
        }
        fn waits_for(&self) -> Vec<String> {
            vec!["the topics, for 3 s".to_owned()]
        }
        fn stalled(&self) -> Vec<String> {
            vec!["worker 0".to_owned()]
        }
    }

    fn get(address: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn started() -> (Arc<Told>, HttpServer) {
        let told = Arc::new(Told::default());
        let probe: Arc<dyn Probe> = Arc::<Told>::clone(&told);
        (told, HttpServer::start("127.0.0.1:0".parse().unwrap(), probe).unwrap())
    }

    #[test]
    fn metrics_are_served_on_the_port_it_says() {
        let (_, server) = started();
        assert_ne!(server.address().port(), 0);
        assert_eq!(
            get(server.address(), "/metrics"),
            (200, "millstream_aborts_total 0\n".to_owned())
        );
        assert_eq!(get(server.address(), "/other").0, 404);
    }

    #[test]
    fn a_stuck_worker_is_unhealthy() {
        let (told, server) = started();
        let (code, body) = get(server.address(), "/healthz");
        assert_eq!((code, body.as_str()), (200, r#"{"healthy":true,"stuck":[]}"#));
        told.stuck.lock().unwrap().push("worker 0".to_owned());
        let (code, body) = get(server.address(), "/healthz");
        assert_eq!((code, body.as_str()), (503, r#"{"healthy":false,"stuck":["worker 0"]}"#));
    }

    #[test]
    fn it_is_ready_only_when_all_tasks_run() {
        let (told, server) = started();
        assert_eq!(get(server.address(), "/readyz").0, 200);
        told.not_running.lock().unwrap().push(("0_1".to_owned(), "restoring".to_owned()));
        let (code, body) = get(server.address(), "/readyz");
        assert_eq!(code, 503);
        assert!(body.contains(r#""not_running":[{"task":"0_1","state":"restoring"}]"#), "{body}");
        assert!(
            body.contains(r#""waiting_for":["the topics, for 3 s"],"stalled":["worker 0"]"#),
            "{body}"
        );
    }

    #[test]
    fn readiness_tells_the_brokers_where_there_are_any() {
        let (told, server) = started();
        let (_, body) = get(server.address(), "/readyz");
        assert!(!body.contains("brokers_connected"), "{body}");
        *told.connected.lock().unwrap() = Some(0);
        let (code, body) = get(server.address(), "/readyz");
        assert_eq!(code, 200, "tasks that run are ready to go on when the broker is back");
        assert!(body.contains(r#""brokers_connected":0"#), "{body}");
    }

    #[test]
    fn the_port_is_free_after_the_stop_and_a_taken_one_is_said() {
        let (told, server) = started();
        let address = server.address();
        let probe: Arc<dyn Probe> = told;
        let refused = HttpServer::start(address, Arc::clone(&probe)).unwrap_err().to_string();
        assert!(refused.contains(&format!("http: {address}")), "{refused}");
        drop(server);
        let again = HttpServer::start(address, probe).unwrap();
        assert_eq!(again.address(), address);
    }
}
