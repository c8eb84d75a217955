//! The application of sign-ins as a process of the broker suite, which kills it: cargo gives a test only the programs of
//! its own package.

fn main() -> anyhow::Result<()> {
    millstream_apps::login_lake::run()
}
