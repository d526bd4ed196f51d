use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use flow_core::{ErrorKind, StepError};
use flow_tencent::{Cos, CosConfig, Credential, Credentials, Failure};

use crate::server::{Reply, Server};
use crate::skipping_clock::SkippingClock;

/// Has none the first `failing` times.
#[derive(Debug)]
struct Late {
    kind: ErrorKind,
    failing: u32,
    asked: AtomicU32,
}

#[async_trait]
impl Credentials for Late {
    async fn credential(&self) -> Result<Credential, StepError> {
        if self.asked.fetch_add(1, Ordering::SeqCst) < self.failing {
            return Err(StepError::new(self.kind, "none yet"));
        }
        Ok(Credential::new("AKID1", "s3cret", Some("t0ken".into()))?)
    }
}

fn cos(server: &Server, kind: ErrorKind, failing: u32) -> Cos {
    let config = CosConfig {
        bucket: "site".into(),
        appid: "1250000000".into(),
        region: "ap-guangzhou".into(),
        endpoint: Some(server.url()),
    };
    let late = Late { kind, failing, asked: AtomicU32::new(0) };
    Cos::new(&config, Arc::new(late), Arc::new(SkippingClock::default())).unwrap()
}

#[tokio::test]
async fn a_credential_that_cannot_be_fetched_now_is_asked_for_again_and_its_token_is_signed() {
    let server = Server::telling([Reply::of(200, &[], "<ListBucketResult/>")]).await;
    let page = cos(&server, ErrorKind::Unavailable, 2).list("", None).await.unwrap();
    assert!(page.objects.is_empty());
    let asked = server.asked();
    assert_eq!(asked[0].header("x-cos-security-token"), Some("t0ken"));
    let signed = asked[0].header("authorization").unwrap();
    assert!(signed.contains("q-header-list=host;x-cos-security-token&"), "{signed}");
}

#[tokio::test]
async fn without_a_credential_nothing_is_sent() {
    let server = Server::telling([]).await;
    let error = cos(&server, ErrorKind::NotFound, 9).list("", None).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Auth);
    assert!(server.asked().is_empty());
}
