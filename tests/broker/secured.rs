//! A cluster that wants TLS and a password: every client of an instance gets there, and one that is refused says so
//! within seconds. The certificate is made for the test; `docs/secured-clusters.md` shows the same settings.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use millstream_tests::kafka::{Broker, free_port};
use millstream_tests::wait;
use tempfile::TempDir;

use crate::process::{Counter, Protocol, Running};
use crate::records::Bench;

const PASSWORD: &str = "correct-horse";
const STORE_PASSWORD: &str = "battery-staple";

/// A broker that also listens with SASL over TLS.
struct Secured {
    broker: Broker,
    address: String,
    certificate: PathBuf,
    _files: TempDir,
}

impl Secured {
    fn start() -> anyhow::Result<Self> {
        let files = tempfile::tempdir()?;
        let (store, certificate) = (files.path().join("broker.p12"), files.path().join("ca.pem"));
        make_certificate(&store, &certificate)?;
        let port = free_port()?;
        let listeners = format!("SASL_SSL://127.0.0.1:{port}");
        let (store, login) =
            (store.display(), "org.apache.kafka.common.security.plain.PlainLoginModule");
        let broker = Broker::start_with(&format!(
            "listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@,{listeners}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@,SASL_SSL://localhost:{port}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL\n\
             inter.broker.listener.name=PLAINTEXT\n\
             sasl.enabled.mechanisms=PLAIN\n\
             listener.name.sasl_ssl.plain.sasl.jaas.config={login} required user_ada=\"{PASSWORD}\";\n\
             ssl.keystore.type=PKCS12\n\
             ssl.keystore.location={store}\n\
             ssl.keystore.password={STORE_PASSWORD}\n"
        ))?;
        let address = format!("localhost:{port}");
        Ok(Self { broker, address, certificate, _files: files })
    }

    fn counter(&self, application: &str, state: &Path, protocol: Protocol) -> Counter {
        // The listener has no address of IPv6, and a machine may ask for that of `localhost` first.
        Counter::new(&self.address, application, state, protocol)
            .exactly_once()
            .with("--kafka", "broker.address.family=v4")
    }

    fn logged_in(&self, counter: Counter, password: &str) -> Counter {
        counter
            .with("--kafka", "security.protocol=SASL_SSL")
            .with("--kafka", "sasl.mechanism=PLAIN")
            .with("--kafka", "sasl.username=ada")
            .with("--kafka", &format!("sasl.password={password}"))
    }

    fn trusting(&self, counter: Counter) -> Counter {
        counter.with("--kafka", &format!("ssl.ca.location={}", self.certificate.display()))
    }
}

/// A certificate that signs itself, for the broker; and the same to be trusted by clients.
fn make_certificate(store: &Path, certificate: &Path) -> anyhow::Result<()> {
    let keytool = |arguments: &[&str]| -> anyhow::Result<()> {
        let mut command = Command::new("keytool");
        command.args(arguments).arg("-keystore").arg(store);
        command.args(["-storepass", STORE_PASSWORD, "-alias", "broker"]);
        let output = command.output().context("keytool comes with Java")?;
        ensure!(output.status.success(), "keytool: {}", String::from_utf8_lossy(&output.stdout));
        Ok(())
    };
    let names = ["-dname", "CN=localhost", "-ext", "san=dns:localhost", "-ext", "bc=ca:true"];
    let key = ["-genkeypair", "-keyalg", "RSA", "-keysize", "2048", "-validity", "2"];
    keytool(&[&key[..], &["-storetype", "PKCS12"], &names].concat())?;
    keytool(&["-exportcert", "-rfc", "-file", &certificate.display().to_string()])
}

/// The error with which an instance ended, and that it did not take long.
fn end_of(mut refused: Running) -> anyhow::Result<String> {
    let begin = wait::now();
    let status = refused.wait()?;
    let output = refused.output();
    ensure!(!status.success(), "it ended well:\n{output}");
    // The machine may be slow; what is ruled out is waiting for an answer again and again.
    ensure!(begin.elapsed().as_secs() < 60, "it took {:?}:\n{output}", begin.elapsed());
    Ok(output)
}

#[test]
fn an_application_counts_each_once_over_sasl_and_tls() -> anyhow::Result<()> {
    let secured = Secured::start()?;
    for protocol in [Protocol::Classic, Protocol::Consumer] {
        let mut bench = Bench::new(&secured.broker, "secured", 2)?;
        let state = tempfile::tempdir()?;
        let counter = secured.counter(&bench.application, state.path(), protocol);
        let counter = secured.trusting(secured.logged_in(counter, PASSWORD));
        for round in 0..2 {
            bench.send(300, 20)?;
            let mut running = counter.start()?;
            running.wait_for_line("all tasks run")?;
            bench.send(300, 20)?;
            bench.assert_each_once(&bench.read_until_complete()?);
            ensure!(!running.output().contains(PASSWORD), "round {round}:\n{}", running.output());
            running.terminate()?;
        }
    }
    Ok(())
}

#[test]
fn a_refused_login_and_an_unknown_certificate_end_the_start_with_the_reason() -> anyhow::Result<()>
{
    let secured = Secured::start()?;
    let bench = Bench::new(&secured.broker, "refused", 1)?;
    let state = tempfile::tempdir()?;
    let counter = || secured.counter(&bench.application, state.path(), Protocol::Classic);

    let wrong = secured.trusting(secured.logged_in(counter(), "wrong-horse"));
    let said = end_of(wrong.start()?)?;
    ensure!(said.contains("Authentication failed: Invalid username or password"), "{said}");
    ensure!(!said.contains("wrong-horse"), "{said}");

    let unknown = secured.logged_in(counter(), PASSWORD);
    let said = end_of(unknown.start()?)?;
    ensure!(said.contains("certificate verify failed"), "{said}");
    ensure!(said.contains("ssl.ca.location"), "{said}");

    // A cluster may come up behind a wrong port: this one is waited for, but not in silence.
    let mut plain = counter().start()?;
    plain.wait_for_line("it may want TLS or a login: see kafka.security.protocol")?;
    plain.kill()
}
