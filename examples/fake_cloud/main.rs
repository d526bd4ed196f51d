//! Runs the fake Tencent Cloud, for clients in any language: nothing leaves this machine.
//!
//! ```console
//! $ fake_cloud --listen 127.0.0.1:8070 [--secret-id ID] [--secret-key KEY] [--region R] [--bucket NAME-APPID]...
//! ```
//!
//! One port serves everything: `POST` with `X-TC-Action` is the API, `/__fake__/*` is control, the rest is object storage. It prints
//! `listening http://ADDRESS` when it is ready, and runs until it is ended. Exit code 2: bad input.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod options;

use std::process::ExitCode;

use flow_testkit::cloud::FakeCloud;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let config = match options::parse(&arguments) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::from(2);
        }
    };
    match FakeCloud::start(&config).await {
        Ok(cloud) => {
            println!("listening {}", cloud.url());
            std::future::pending().await
        }
        Err(error) => {
            eprintln!("{:#}", anyhow::Error::from(error));
            ExitCode::FAILURE
        }
    }
}
